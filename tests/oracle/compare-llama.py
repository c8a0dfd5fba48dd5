#!/usr/bin/env python3
"""common/model against llama.cpp on a real model: greedy ids of raw prompts and the perplexity of a text.

    compare-llama.py MODEL [--bin DIR] [--src DIR] [--build DIR] [--prompts N] [--steps N] [--text FILE]

Needs a build of llama.cpp (--src its tree, --bin its build/bin). Our ids must be llama.cpp's up to the first step where its two best
log probabilities differ by less than 0.1. llama.cpp rounds activations to 8 bits, and any change in the order of a sum redraws
that rounding: it is run twice, with its cache in F16 and in F32, and where we part from it, it
must part from itself about as often.
Perplexities (context 512) within 0.5 %.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PROMPTS = """The capital of France is
Once upon a time, in a small village by the sea,
def fibonacci(n):
The three laws of motion are
Dear Sir or Madam,
Water boils at a temperature of
In 1969, the first human being
To make a good cup of coffee, you need
The quick brown fox
SELECT name, age FROM
The meaning of life is
Photosynthesis is the process by which
My favourite book is
if (x > 0) {
The stock market fell sharply today after
Once the treaty was signed, both kingdoms
Ingredients: two eggs, 200 g of flour,
The patient complained of
Q: What is the largest planet? A:
Ein Haus am See ist""".split("\n")


def run(cmd, text=""):
    p = subprocess.run(cmd, input=text, capture_output=True, text=True)
    if p.returncode:
        sys.exit(f"{cmd[0]}: {p.stderr[-500:]}")
    return p.stdout + (p.stderr if "perplexity" in cmd[0] else "")


def ids_of(a, text):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write(text)
        f.flush()
        out = run([a.bin + "/llama-tokenize", "-m", a.model, "-f", f.name, "--ids", "--log-disable"])
    return re.search(r"\[([^\]]*)\]", out).group(1).replace(" ", "")


def parting(want, got):
    """Steps up to llama.cpp's first near tie, or to the first id that differs; its gap there (0: none differs)."""
    for i, (x, y) in enumerate(zip(want.split(), got.split())):
        tok, gap = x.split(":")
        if float(gap) < 0.1:
            return i, 0.0
        if tok != y.split(":")[0]:
            return i, float(gap)
    return len(want.split()), 0.0


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--bin", default="/opt/peers/build/bin")
    p.add_argument("--src", default="/opt/peers/llamacpp/llama.cpp")
    p.add_argument("--build", default=".", help="our build directory")
    p.add_argument("--prompts", type=int, default=20)
    p.add_argument("--steps", type=int, default=64)
    p.add_argument("--text", default="/usr/share/common-licenses/GPL-3")
    p.add_argument("--bos", default="-1", help="id that begins each window, where the model wants one")
    a = p.parse_args()
    ours = a.build + "/tests/oracle/model-numbers"
    with tempfile.TemporaryDirectory() as tmp:
        theirs = tmp + "/llama-numbers"
        run(["cc", "-O2", f"-I{a.src}/include", f"-I{a.src}/ggml/include", HERE + "/llama-numbers.c", "-o", theirs,
             f"-L{a.bin}", "-lllama", "-lggml", "-lggml-base", "-lm", f"-Wl,-rpath,{a.bin}"])  # fmt: skip
        lines = "\n".join(ids_of(a, t) for t in PROMPTS[: a.prompts]) + "\n"
        want = run([theirs, a.model, "greedy", str(a.steps)], lines).splitlines()
        os.environ["KV_F32"] = "1"
        again = run([theirs, a.model, "greedy", str(a.steps)], lines).splitlines()
    got = run([ours, a.model, "greedy", str(a.steps)], lines).splitlines()
    allowed = sum(parting(w, g)[1] > 0 for w, g in zip(want, again))
    bad = 0
    for prompt, w, g in zip(PROMPTS, want, got):
        same, gap = parting(w, g)
        bad += gap > 0
        print(f"{same:3d} steps" + (f", then another id (gap {gap})" if gap else "") + f": {prompt}")
    print(f"{bad} prompts part where llama.cpp was sure; with the other cache it parts from itself in {allowed}")
    ids = ids_of(a, open(a.text, encoding="utf-8").read())
    mine = run([ours, "-B", a.bos, a.model, "perplexity", "512"], ids)
    print("ours:", mine.strip(), flush=True)
    out = run([a.bin + "/llama-perplexity", "-m", a.model, "-f", a.text, "-c", "512", "-t", "2"])
    theirs = re.search(r"PPL = ([0-9.]+)", out).group(1)
    print("llama.cpp:", theirs)
    ratio = float(mine.split()[1]) / float(theirs)
    sys.exit(int(bad > 2 * allowed or abs(ratio - 1) > 0.005))


if __name__ == "__main__":
    main()
