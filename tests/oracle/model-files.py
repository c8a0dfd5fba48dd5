#!/usr/bin/env python3
"""Compares the files that llm-model makes with those of gguf-py and llama.cpp, byte by byte.

    python3 model-files.py LLM_MODEL                      quantize, against PyPI's gguf (needs numpy, gguf)
    python3 model-files.py LLM_MODEL LLAMA_CPP HF_DIR     and import, against LLAMA_CPP/convert_hf_to_gguf.py

Seeded; prints a line a case and ends with 1 when one differs.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import gguf
from gguf import GGMLQuantizationType as Q

TYPES = {"f16": Q.F16, "bf16": Q.BF16, "q8_0": Q.Q8_0, "q4_0": Q.Q4_0, "q4_1": Q.Q4_1, "q5_0": Q.Q5_0, "q5_1": Q.Q5_1}


def samples():
    """Rows as weights have them, and those that trip quantizers: zeros, ties, one outlier, tiny, huge."""
    rng = np.random.default_rng(7)
    x = rng.normal(0, 0.02, (512, 512)).astype(np.float32)
    x[0] = 0
    x[1] = 1
    x[2, ::32] = 1000
    x[3] = np.tile(np.arange(-16, 16, dtype=np.float32), 16)
    x[4] = np.tile(np.arange(-8, 8, dtype=np.float32) / 2, 32)
    x[5] *= 1e-6
    x[6] *= 1e5
    x[7] *= 1e-30
    x[8] = np.where(rng.random(512) < 0.5, -1, 1)
    x[9] = -np.abs(x[9])
    x[10] = np.abs(x[10])
    return x


def check(what, same):
    print(("ok" if same else "DIFFERENT"), what)
    return same


def check_quantize(tool, folder):
    x, good = samples(), True
    source = os.path.join(folder, "f32.gguf")
    w = gguf.GGUFWriter(source, "llama")
    w.add_block_count(1)
    w.add_tensor("blk.0.ffn_up.weight", x)
    w.add_tensor("blk.0.attn_norm.weight", x[11])
    w.add_tensor("output.weight", x[:32])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    for name, qtype in TYPES.items():
        made = os.path.join(folder, name + ".gguf")
        subprocess.run([tool, "quantize", source, made, "--type", name], check=True)
        tensors = {t.name: t for t in gguf.GGUFReader(made).tensors}
        up = tensors["blk.0.ffn_up.weight"]
        want = gguf.quants.quantize(x, qtype)
        good &= check(f"quantize {name}", up.tensor_type == qtype and up.data.tobytes() == want.tobytes())
        norm = tensors["blk.0.attn_norm.weight"]
        good &= norm.tensor_type == Q.F32 and norm.data.tobytes() == x[11].tobytes()
        back = os.path.join(folder, "back.gguf")
        subprocess.run([tool, "quantize", made, back, "--type", "f32"], check=True)
        got = {t.name: t for t in gguf.GGUFReader(back).tensors}["blk.0.ffn_up.weight"].data
        good &= check(f"dequantize {name}", np.array_equal(got, gguf.quants.dequantize(want, qtype)))
    return good


def check_import(tool, folder, llama_cpp, hf):
    good = True
    for name in ("f32", "f16", "bf16", "q8_0"):
        ours, theirs = os.path.join(folder, "ours.gguf"), os.path.join(folder, "theirs.gguf")
        subprocess.run([tool, "import", hf, "-o", ours, "--type", name], check=True)
        subprocess.run([sys.executable, os.path.join(llama_cpp, "convert_hf_to_gguf.py"), hf, "--outtype", name,
                        "--outfile", theirs], check=True, stderr=subprocess.DEVNULL)
        a, b = gguf.GGUFReader(ours), gguf.GGUFReader(theirs)
        ta, tb = ({t.name: t for t in r.tensors} for r in (a, b))
        differ = [n for n in ta.keys() | tb.keys() if n not in ta or n not in tb or
                  ta[n].tensor_type != tb[n].tensor_type or ta[n].data.tobytes() != tb[n].data.tobytes()]
        good &= check(f"import {name}: {len(ta)} tensors {differ}", not differ)
        ka, kb = ({k: f.contents() for k, f in r.fields.items() if not k.startswith(("general.", "GGUF.", "llmu."))}
                  for r in (a, b))
        for k in sorted(ka.keys() | kb.keys()):
            if ka.get(k) != kb.get(k):
                print("  key", k, "ours", str(ka.get(k))[:70], "theirs", str(kb.get(k))[:70])
    return good


def main():
    tool = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        good = check_quantize(tool, folder)
        if len(sys.argv) > 3:
            good &= check_import(tool, folder, sys.argv[2], sys.argv[3])
    sys.exit(0 if good else 1)


main()
