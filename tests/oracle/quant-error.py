#!/usr/bin/env python3
"""Quantizers on real weights: old types byte by byte against PyPI's gguf, K types by their error against llama.cpp's.

    quant-error.py [--bin DIR of llama-quantize] [--build DIR of ours] MODEL...     MODEL: GGUF files, of any type

Each model becomes F32 first. Of the K types the tensors count that both sides give that type; the figure is our squared
error over theirs, summed over a model, which must not be above 1; the worst tensor stands beside it.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

OLD = {"q8_0": Q.Q8_0, "q4_0": Q.Q4_0, "q4_1": Q.Q4_1, "q5_0": Q.Q5_0, "q5_1": Q.Q5_1}
K = {"q4_k_s": Q.Q4_K, "q5_k_s": Q.Q5_K, "q6_k": Q.Q6_K}


def tensors(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def values(t):
    return gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)


def same_bytes(source, made, qtype):
    n = bad = 0
    for name, t in tensors(made).items():
        if t.tensor_type == qtype:
            n += 1
            bad += not np.array_equal(t.data, gguf.quants.quantize(values(source[name]).astype(np.float32), qtype))
    return n, bad


def error_ratio(source, ours, theirs, qtype):
    ours, theirs, e = tensors(ours), tensors(theirs), []
    for name, t in ours.items():
        if t.tensor_type == qtype == theirs[name].tensor_type:
            w = values(source[name])
            e.append([((values(x) - w) ** 2).sum() for x in (t, theirs[name])])
    e = np.array(e)
    return len(e), e[:, 0].sum() / e[:, 1].sum(), (e[:, 0] / e[:, 1]).max()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bin", default="/opt/peers/build/bin")
    p.add_argument("--build", default=".")
    p.add_argument("models", nargs="+")
    a = p.parse_args()
    good = True
    for model in a.models:
        with tempfile.TemporaryDirectory() as tmp:
            f32, made, theirs = (os.path.join(tmp, n) for n in ("f32.gguf", "ours.gguf", "theirs.gguf"))
            tool = [a.build + "/tools/llm-model", "quantize"]
            subprocess.run([*tool, model, f32, "--type", "f32"], check=True)
            source = tensors(f32)
            for name, qtype in (OLD | K).items():
                subprocess.run([*tool, f32, made, "--type", name], check=True)
                what = f"{os.path.basename(model)} {name}:"
                if name in OLD:
                    n, bad = same_bytes(source, made, qtype)
                    good &= n > 0 and not bad
                    print("ok " if n and not bad else "BAD", what, f"{n - bad} of {n} tensors have gguf's bytes", flush=True)
                else:
                    subprocess.run([a.bin + "/llama-quantize", "--pure", f32, theirs, name.upper()], check=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
                    n, ratio, worst = error_ratio(source, made, theirs, qtype)
                    good &= n > 0 and ratio <= 1
                    print("ok " if n and ratio <= 1 else "BAD", what, f"{n} tensors, error {ratio:.3f} of llama.cpp's, "
                          f"the worst {worst:.3f}", flush=True)  # fmt: skip
                os.unlink(made)
    sys.exit(not good)


if __name__ == "__main__":
    main()
