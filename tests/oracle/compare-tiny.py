#!/usr/bin/env python3
"""Every tiny model, committed or not: common/model and llama.cpp against double precision (reference.py).

    compare-tiny.py [--bin DIR] [--src DIR] [--build DIR]

Prints the normalised squared errors; ours must be below 1e-6 (1e-3 where activations go in 8 bits), llama.cpp's below 2e-3,
which shows that the reference itself computes what the models mean.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import reference  # noqa: E402

FIXTURES = os.path.join(HERE, "..", "fixtures")
IN_8_BITS = {"tiny-llama.gguf", "tiny-kquant.gguf", "tiny-mixtral.gguf", "tiny-gpt-oss.gguf"}


def numbers(cmd, ids, **more):
    env = dict(os.environ, KV_F32="1", N_CTX="256", **more)
    p = subprocess.run(cmd, input=ids.replace(",", " ") + "\n", capture_output=True, text=True, env=env)
    return np.array(p.stdout.split(), float) if p.returncode == 0 else p.stderr.strip()[-200:]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bin", default="/opt/peers/build/bin")
    p.add_argument("--src", default="/opt/peers/llamacpp/llama.cpp")
    p.add_argument("--build", default=".", help="our build directory")
    a = p.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        theirs = tmp + "/llama-numbers"
        subprocess.run(["cc", "-O2", f"-I{a.src}/include", f"-I{a.src}/ggml/include", HERE + "/llama-numbers.c", "-o", theirs,
                        f"-L{a.bin}", "-lllama", "-lggml", "-lggml-base", "-lm", f"-Wl,-rpath,{a.bin}"], check=True)  # fmt: skip
        subprocess.run([sys.executable, FIXTURES + "/make-models.py", "--extra", tmp], check=True, stdout=subprocess.DEVNULL)
        for folder in (FIXTURES, tmp):
            for name, kind, ids, want in reference.golden(folder, tmp):
                name, _, lora = name.partition("+")
                lora, _, scale = lora.partition(":")
                path, lora = os.path.join(folder, name), lora and os.path.join(tmp, lora)
                with_lora = (["-l", lora, "-s", scale], {"LORA": lora, "LORA_SCALE": scale}) if lora else ([], {})
                got = numbers([a.build + "/tests/oracle/model-numbers", "-c", "F32", *with_lora[0], path, kind], ids)
                peer = numbers([theirs, path, kind], ids, **with_lora[1])
                kind += " +lora" if lora else ""
                err = [x if isinstance(x, str) else ((x - want) ** 2).sum() / (want**2).sum() for x in (got, peer)]
                limits = (1e-3 if name in IN_8_BITS else 1e-6, 2e-3)
                good = all(not isinstance(x, str) and x <= y for x, y in zip(err, limits))
                bad += not good
                print("ok " if good else "BAD", f"{name:30s} {kind:13s}", *err)
    sys.exit(int(bad > 0))


if __name__ == "__main__":
    main()
