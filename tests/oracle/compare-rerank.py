#!/usr/bin/env python3
"""Scores of rerankers: llm-embed --rerank against transformers (BERT with its segments) and llama.cpp (Qwen3's template).

    compare-rerank.py [--bin DIR] [--src DIR] [--build DIR] [--golden]

--golden writes tests/fixtures/rerank_golden.ndjson: records of one document, with the score that transformers gives it.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import tokenizers
import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "fixtures")
GOLDEN = os.path.join(FIXTURES, "rerank_golden.ndjson")
QUERIES = {
    "what is free software": ["Free software is a matter of liberty, not price.", "The cat sat on the mat.", "software",
                              "what is free software", "Think of free speech, not free beer! " * 9],
    "Who may copy this program?": ["You may convey verbatim copies of the Program's source code as you receive it.", "no one", "?"],
}  # fmt: skip


def ours(build, model, queries):
    lines = [json.dumps({"id": i, "query": q, "documents": d}) for i, (q, d) in enumerate(queries.items())]
    p = subprocess.run([build + "/tools/llm-embed", "--rerank", "-m", model, "--only"], input="\n".join(lines) + "\n",
                       capture_output=True, text=True, check=True)  # fmt: skip
    out = []
    for line in p.stdout.splitlines():
        out += [r["relevance_score"] for r in sorted(json.loads(line)["results"], key=lambda r: r["index"])]
    return np.array(out)


def bert_of(path, tmp):
    """The file's tensors in transformers' own class, its vocabulary in transformers' own tokenizer."""
    r = gguf.GGUFReader(path)
    key = {k: f.contents() for k, f in r.fields.items()}
    t = {x.name: torch.tensor(gguf.quants.dequantize(x.data, x.tensor_type).astype(np.float32)) for x in r.tensors}
    with open(tmp + "/vocab.txt", "w") as f:
        for i, s in enumerate(key["tokenizer.ggml.tokens"]):
            f.write((s if s.startswith("[") and i < 5 else s[1:] if s[0] == "\u2581" else "##" + s) + "\n")
    c = transformers.BertConfig(vocab_size=len(key["tokenizer.ggml.tokens"]), hidden_size=key["bert.embedding_length"],
                                num_hidden_layers=key["bert.block_count"], num_attention_heads=key["bert.attention.head_count"],
                                intermediate_size=key["bert.feed_forward_length"], max_position_embeddings=key["bert.context_length"],
                                layer_norm_eps=key["bert.attention.layer_norm_epsilon"], num_labels=1)  # fmt: skip
    names = [("token_embd", "bert.embeddings.word_embeddings"), ("token_types", "bert.embeddings.token_type_embeddings"),
             ("position_embd", "bert.embeddings.position_embeddings"), ("token_embd_norm", "bert.embeddings.LayerNorm"),
             ("cls.output", "classifier"), ("cls", "bert.pooler.dense")]  # fmt: skip
    layer = [("attn_q", "attention.self.query"), ("attn_k", "attention.self.key"), ("attn_v", "attention.self.value"),
             ("attn_output", "attention.output.dense"), ("attn_output_norm", "attention.output.LayerNorm"),
             ("ffn_up", "intermediate.dense"), ("ffn_down", "output.dense"), ("layer_output_norm", "output.LayerNorm")]  # fmt: skip
    for i in range(c.num_hidden_layers):
        names += [(f"blk.{i}.{a}", f"bert.encoder.layer.{i}.{b}") for a, b in layer]
    state = {f"{b}.{k}": t[f"{a}.{k}"] for a, b in names for k in ("weight", "bias") if f"{a}.{k}" in t}
    m = transformers.BertForSequenceClassification(c).eval()
    missing, extra = m.load_state_dict(state, strict=False)
    assert not extra and all("position_ids" in x for x in missing), (missing, extra)
    return m, transformers.BertTokenizer(tmp + "/vocab.txt", do_lower_case=True)


def hf_scores(m, tok, queries):
    out = []
    with torch.no_grad():
        for q, docs in queries.items():
            for d in docs:
                x = tok(q, d, return_tensors="pt", truncation="only_second", max_length=m.config.max_position_embeddings)
                out.append(m(**x).logits[0, 0].item())
    return np.array(out)


# how each family puts a pair together: separators between the texts, segment of the second one
PAIRS = {"bert-rerank": (1, 1), "xlmr-rerank": (2, 0), "modern-bert-rerank": (1, 0)}


def imported_scores(folder, queries, between, segment):
    """A folder of Hugging Face; the texts are tokenized by its tokenizer, the pair is put together here."""
    m = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tok, out = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json"), []
    head, tail = tok.encode("").ids
    with torch.no_grad():
        for q, docs in queries.items():
            for d in docs:
                a, b = (tok.encode(x, add_special_tokens=False).ids for x in (q, d))
                first, second = [head, *a] + [tail] * between, [*b, tail]
                x = {"input_ids": torch.tensor([first + second]), "attention_mask": torch.ones(1, len(first + second), dtype=torch.long)}
                if segment:
                    x["token_type_ids"] = torch.tensor([[0] * len(first) + [1] * len(second)])
                if between == 2:  # the tiny tokenizer's </s> has the number of XLM-R's padding, which has no position
                    x["position_ids"] = torch.arange(len(first + second))[None] + m.config.pad_token_id + 1
                out.append(m(**x).logits[0, 0].item())
    return np.array(out)


def llama_scores(a, tmp, model, queries):
    """The template is filled here; ids are those of our tokenizer, which other tests compare with llama.cpp's."""
    template = gguf.GGUFReader(model).fields["tokenizer.chat_template.rerank"].contents()
    exe, lines = tmp + "/llama-numbers", ""
    subprocess.run(["cc", "-O2", f"-I{a.src}/include", f"-I{a.src}/ggml/include", HERE + "/llama-numbers.c", "-o", exe,
                    f"-L{a.bin}", "-lllama", "-lggml", "-lggml-base", "-lm", f"-Wl,-rpath,{a.bin}"], check=True)  # fmt: skip
    for q, docs in queries.items():
        for d in docs:
            text = json.dumps({"id": 1, "text": template.replace("{query}", q).replace("{document}", d)})
            p = subprocess.run([a.build + "/tools/llm-tokenize", "-m", model, "--special=all", "--ids", "--only"], input=text + "\n",
                               capture_output=True, text=True, check=True)  # fmt: skip
            lines += " ".join(map(str, json.loads(p.stdout)["tokens"])) + "\n"
    p = subprocess.run([exe, model, "embed"], input=lines, capture_output=True, text=True, check=True, env=dict(os.environ, KV_F32="1"))
    return np.array([float(line.split()[0]) for line in p.stdout.splitlines()])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bin", default="/opt/peers/build/bin")
    p.add_argument("--src", default="/opt/peers/llamacpp/llama.cpp")
    p.add_argument("--build", default=".")
    p.add_argument("--golden", action="store_true")
    a = p.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        model = FIXTURES + "/tiny-rerank.gguf"
        want = hf_scores(*bert_of(model, tmp), QUERIES)
        if a.golden:
            with open(GOLDEN, "w") as f:
                pairs = [(q, d) for q, docs in QUERIES.items() for d in docs]
                for (q, d), x in zip(pairs, want):
                    f.write(json.dumps({"query": q, "documents": [d], "want": round(x, 5)}) + "\n")
        subprocess.run([sys.executable, FIXTURES + "/make-models.py", "--extra", tmp, "extra-qwen3-rerank"], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        qwen = tmp + "/tiny-qwen3-rerank.gguf"
        subprocess.run([sys.executable, HERE + "/import-models.py", tmp, *PAIRS], check=True, capture_output=True)
        short = {q: [d.strip() for d in docs] for q, docs in QUERIES.items()}
        cases = []
        for name, how in PAIRS.items():
            made = f"{tmp}/{name}.gguf"
            subprocess.run([a.build + "/tools/llm-model", "import", f"{tmp}/{name}", "-o", made, "--type", "f32"], check=True, capture_output=True)
            few = {q: [d for d in docs if len(d) < 100] for q, docs in QUERIES.items()}
            cases.append((name + " imported, transformers", ours(a.build, made, few), imported_scores(f"{tmp}/{name}", few, *how), 1e-3))
        for name, got, wanted, limit in (
            *cases,
            ("BERT, transformers", ours(a.build, model, QUERIES), want, 1e-3),
            ("Qwen3, llama.cpp", ours(a.build, qwen, short), llama_scores(a, tmp, qwen, short), 1e-3),
        ):
            worst = np.abs(got - wanted).max()
            bad += not worst <= limit
            print("ok " if worst <= limit else "BAD", f"{name}: {len(got)} scores from {got.min():.3f} to {got.max():.3f},",
                  f"at most {worst:.2g} apart")  # fmt: skip
    sys.exit(int(bad > 0))


if __name__ == "__main__":
    main()
