#!/usr/bin/env python3
"""common/model against sentence-transformers: cosines of the vectors of one encoder.

    compare-st.py FOLDER MODEL.gguf [--build DIR] [--least COSINE]

FOLDER is the model as sentence-transformers reads it, MODEL.gguf the same one imported.
"""
import argparse
import subprocess
import sys

import numpy as np
from sentence_transformers import SentenceTransformer

TEXTS = [
    "The cat sits outside", "A man is playing guitar", "The new movie is awesome", "x", "How do I reset my password?",
    "Berlin ist die Hauptstadt von Deutschland.", "SELECT * FROM t WHERE a = 'b';", "1234567890", "naïve café — “quoted”",
    *open("/usr/share/common-licenses/GPL-3", encoding="utf-8").read().split("\n\n")[:40],
]  # fmt: skip


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("model")
    p.add_argument("--build", default=".")
    p.add_argument("--least", type=float, default=0.99999)
    a = p.parse_args()
    st = SentenceTransformer(a.folder, device="cpu")
    want = st.encode(TEXTS, normalize_embeddings=True)
    ids = [st.tokenizer(t, truncation=True, max_length=st.max_seq_length)["input_ids"] for t in TEXTS]
    lines = "\n".join(",".join(map(str, i)) for i in ids) + "\n"
    out = subprocess.run([a.build + "/tests/oracle/model-numbers", a.model, "embed"], input=lines, capture_output=True, text=True)
    if out.returncode:
        sys.exit(out.stderr)
    got = np.array([line.split() for line in out.stdout.splitlines()], float)
    cos = (want.astype(np.float64) * got).sum(1) / np.linalg.norm(want, axis=1)
    print(f"{len(TEXTS)} texts, cosine least {cos.min():.8f}, mean {cos.mean():.8f}")
    sys.exit(int(cos.min() < a.least))


if __name__ == "__main__":
    main()
