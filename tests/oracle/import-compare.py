#!/usr/bin/env python3
"""What `llm-model import` makes of every architecture, against transformers and llama.cpp.

    import-compare.py [--bin DIR] [--src DIR] [--build DIR] [--keep DIR] [NAME...]

For each folder of import-models.py: imported as f32; then the numbers of transformers (f32, eager) for the same ids against
ours (NMSE at most 1e-6, 1e-3 where experts are MXFP4 and their inputs go in 8 bits) and against llama.cpp's on the same file
(at most 1e-3: it keeps tables of GELU and f16 caches). Ids are a hundred tokens of the GPL-3.
"""
import argparse
import importlib
import os
import subprocess
import sys
import tempfile

import numpy as np
import tokenizers
import torch
import transformers as T

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
models = importlib.import_module("import-models")
TEXT = open("/usr/share/common-licenses/GPL-3", encoding="utf-8").read()[700:1400]


def numbers(cmd, ids):
    env = dict(os.environ, KV_F32="1", N_CTX="256")
    p = subprocess.run(cmd, input=" ".join(map(str, ids)) + "\n", capture_output=True, text=True, env=env)
    return np.array(p.stdout.split(), float) if p.returncode == 0 else p.stderr.strip()[-300:]


def truth(folder, name, ids):
    kind = getattr(T, models.MODELS[name.removesuffix("-mxfp4")][0])
    extra = dict(quantization_config=T.Mxfp4Config(dequantize=True)) if name.endswith("-mxfp4") else {}
    if name == "qwen3-embedding":
        kind = T.Qwen3Model
    if name == "nomic-bert":  # which transformers reads by other names
        extra = dict(config=T.NomicBertConfig.from_json_file(folder + "/transformers.json"))
    m = kind.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32, **extra).eval()
    with torch.no_grad():
        out = m(torch.tensor([ids]))
    if name == "qwen3-rerank":
        return out.logits[0, -1, [models.YES, models.NO]].double().softmax(0).numpy()
    if hasattr(out, "logits"):
        x = out.logits[0] if "rerank" in name else out.logits[0, -1]
        return x.double().numpy()[0] if "rerank" in name and x.ndim > 1 else x.double().numpy()
    h = out.last_hidden_state[0]
    x = {"mean": h.mean(0), "cls": h[0], "lasttoken": h[-1]}[models.POOLED[name]]
    if name == "gemma-embedding":
        from safetensors.torch import load_file
        for k in (2, 3):
            x = load_file(f"{folder}/{k}_Dense/model.safetensors")["linear.weight"] @ x
    return (x / x.norm()).double().numpy()


def nmse(got, want):
    if isinstance(got, str) or len(got) != len(want):
        return got if isinstance(got, str) else f"{len(got)} numbers for {len(want)}"
    return ((got - want) ** 2).sum() / (want**2).sum()


def check(a, base, name, theirs):
    folder, path = f"{base}/{name}", f"{base}/{name}.gguf"
    p = subprocess.run([a.build + "/tools/llm-model", "import", folder, "-o", path, "--type", "f32"], capture_output=True, text=True)
    if p.returncode:
        return False, p.stderr.strip()[-300:]
    ids = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json").encode(TEXT).ids[:100]
    mode = "embed" if name in models.POOLED or "rerank" in name else "logits"
    want = truth(folder, name, ids)
    ours = nmse(numbers([a.build + "/tests/oracle/model-numbers", "-c", "F32", path, mode], ids), want)
    peer = nmse(numbers([theirs, path, mode], ids), want)
    # llama.cpp rounds the bounds of gpt-oss's ramp of frequencies, transformers (truncate: false) and we do not
    limits = (1e-3 if "mxfp4" in name else 1e-6, 1 if "gpt-oss" in name else 1e-3)
    good = all(not isinstance(x, str) and x <= y for x, y in zip((ours, peer), limits))
    return good, f"{ours if isinstance(ours, str) else format(ours, '.2g'):>10s} {peer if isinstance(peer, str) else format(peer, '.2g'):>10s}"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bin", default="/opt/peers/build/bin")
    p.add_argument("--src", default="/opt/peers/llamacpp/llama.cpp")
    p.add_argument("--build", default=".", help="our build directory")
    p.add_argument("--keep", help="the folders are made here, and stay")
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    T.logging.set_verbosity_error()
    T.utils.logging.disable_progress_bar()
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        base = a.keep or tmp
        theirs = tmp + "/llama-numbers"
        subprocess.run(["cc", "-O2", f"-I{a.src}/include", f"-I{a.src}/ggml/include", HERE + "/llama-numbers.c", "-o", theirs,
                        f"-L{a.bin}", "-lllama", "-lggml", "-lggml-base", "-lm", f"-Wl,-rpath,{a.bin}"], check=True)  # fmt: skip
        for name in a.names or [n for m in models.MODELS for n in ([m, m + "-mxfp4"] if m == "gpt-oss" else [m])]:
            if not os.path.exists(f"{base}/{name}"):
                models.make(base, name.removesuffix("-mxfp4"))
            good, text = check(a, base, name, theirs)
            bad += not good
            print("ok " if good else "BAD", f"{name:24s}", text, flush=True)
    sys.exit(int(bad > 0))


if __name__ == "__main__":
    main()
