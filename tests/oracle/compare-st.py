#!/usr/bin/env python3
"""common/model against sentence-transformers: cosines of the vectors of one encoder.

    compare-st.py FOLDER MODEL.gguf [--build DIR] [--least COSINE] [--texts N]

FOLDER is the model as sentence-transformers reads it, MODEL.gguf the same one imported or quantized. The texts are
paragraphs of the manual pages in many languages and descriptions of packages, as this machine has them, and a few of ours.
The vectors of a Q8_0 file are to be held to --least 0.9995.
"""
import argparse
import glob
import gzip
import random
import re
import subprocess
import sys

import numpy as np
from sentence_transformers import SentenceTransformer

TEXTS = [
    "The cat sits outside", "A man is playing guitar", "The new movie is awesome", "x", "How do I reset my password?",
    "Berlin ist die Hauptstadt von Deutschland.", "SELECT * FROM t WHERE a = 'b';", "1234567890", "naïve café — “quoted”",
    "word " * 300,
    *open("/usr/share/common-licenses/GPL-3", encoding="utf-8").read().split("\n\n")[:40],
]  # fmt: skip
LANGUAGES = "cs da de es fr it ja ko nl pl pt_BR ro ru sv tr uk zh_CN".split()


def plain(roff):
    """A paragraph of a manual page without its requests and escapes."""
    lines = ["" if s.startswith(('.\\"', "'\\\"")) else re.sub(r"^\.[A-Za-z]+ ?", "", s) for s in roff.split("\n")]
    text = re.sub(r"\\f\(..|\\f\[?[A-Z]*\]?|\\s[-+]?\d", "", "\n".join(lines))
    return text.replace("\\-", "-").replace("\\&", "").replace("\\(aq", "'").replace("\\e", "\\").strip()


def real_texts(n):
    rng, texts = random.Random(7), []
    for lang in LANGUAGES:
        pages, mine = sorted(glob.glob(f"/usr/share/man/{lang}/man*/*.gz")), []
        rng.shuffle(pages)
        for page in pages[:80]:
            with gzip.open(page, "rt", encoding="utf-8", errors="replace") as f:
                parts = [plain(p) for p in re.split(r"\n\.(?:PP|P|SH.*|TP.*|IP.*|sp)\n", f.read())]
            mine += rng.sample(parts, min(4, len(parts)))
        texts += [t for t in mine if 15 < len(t) < 2500][: n // 20 + 1]
    status = open("/var/lib/dpkg/status", encoding="utf-8").read()
    texts += re.findall(r"^Description: (.*(?:\n .*)*)", status, re.M)[: n // 5]
    rng.shuffle(texts)
    return texts[:n]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("model")
    p.add_argument("--build", default=".")
    p.add_argument("--least", type=float, default=0.99999)
    p.add_argument("--texts", type=int, default=1000, help="real texts beside ours")
    a = p.parse_args()
    texts = TEXTS + real_texts(a.texts)
    st = SentenceTransformer(a.folder, device="cpu")
    want = st.encode(texts, normalize_embeddings=True)
    ids = [st.tokenizer(t, truncation=True, max_length=st.max_seq_length)["input_ids"] for t in texts]
    lines = "\n".join(",".join(map(str, i)) for i in ids) + "\n"
    out = subprocess.run([a.build + "/tests/oracle/model-numbers", a.model, "embed"], input=lines, capture_output=True, text=True)
    if out.returncode:
        sys.exit(out.stderr)
    got = np.array([line.split() for line in out.stdout.splitlines()], float)
    cos = (want.astype(np.float64) * got).sum(1) / np.linalg.norm(want, axis=1) / np.linalg.norm(got, axis=1)
    print(f"{len(texts)} texts, cosine least {cos.min():.8f}, mean {cos.mean():.8f}, {(cos < a.least).sum()} below {a.least}")
    for i in np.argsort(cos)[:3]:
        print(f"  {cos[i]:.8f} {texts[i][:70]!r}")
    sys.exit(int(cos.min() < a.least))


if __name__ == "__main__":
    main()
