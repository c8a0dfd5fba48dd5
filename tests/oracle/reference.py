#!/usr/bin/env python3
"""What a GGUF model computes, in double precision and as plainly as numpy says it; the oracle of common/model.

    reference.py logits MODEL ID,ID,...     logits after the last id
    reference.py embed MODEL ID,ID,...      pooled vector of length 1
    reference.py golden DIR                 the lines of tests/fixtures/golden.txt for the models in DIR

Weights are dequantized by the gguf package; activations stay in double precision, so a quantized model differs from this
by the quantization of its activations alone.
"""
import glob
import math
import os
import sys

import gguf
import numpy as np

NEOX = {"seed_oss", "phi2", "starcoder2", "stablelm", "eurobert", "qwen2", "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "gemma-embedding", "phi3", "olmo2", "olmoe", "gpt-oss",
        "nomic-bert", "modern-bert"}  # fmt: skip
ENCODERS = {"bert", "nomic-bert", "modern-bert", "gemma-embedding", "neo-bert", "eurobert"}
erf = np.vectorize(math.erf)


class File:
    """A model, with an adapter added to its weights where there is one."""

    def __init__(self, path, lora=None, scale=1.0):
        self.lora = File(lora) if lora else None
        self.scale = scale
        r = gguf.GGUFReader(path)
        self.keys = {k: f.contents() for k, f in r.fields.items()}
        self.arch = self.keys["general.architecture"]
        self.raw = {t.name: t for t in r.tensors}
        self.cache = {}

    def key(self, name, default=None):
        return self.keys.get(f"{self.arch}.{name}", default)

    def get(self, name):
        """The tensor in double precision, rows last but one; None where there is none."""
        if name not in self.cache:
            t = self.raw.get(name)
            w = None if t is None else gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)
            if self.lora and name != "token_embd.weight" and name + ".lora_a" in self.lora.raw:
                a, b = self.lora.get(name + ".lora_a"), self.lora.get(name + ".lora_b")
                w = w + self.scale * self.lora.keys["adapter.lora.alpha"] / b.shape[-1] * (b @ a)
            self.cache[name] = w
        return self.cache[name]

    def embedding(self, ids):
        """Rows of the embedding, whose adapter is for looking up alone: not for logits where they are tied."""
        x, name = self.get("token_embd.weight")[ids], "token_embd.weight.lora_"
        if self.lora and name + "a" in self.lora.raw:
            a, b = self.lora.get(name + "a"), self.lora.get(name + "b")
            x = x + self.scale * self.lora.keys["adapter.lora.alpha"] / b.shape[-1] * (a[ids] @ b.T)
        return x

    def linear(self, name, x):
        y = x @ self.get(name + ".weight").T
        b = self.get(name + ".bias")
        return y if b is None else y + b


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


class Model:
    def __init__(self, path, lora=None, scale=1.0):
        self.f = f = File(path, lora, scale)
        self.arch, self.d, self.layers = f.arch, f.key("embedding_length"), f.key("block_count")
        self.heads = f.key("attention.head_count")
        self.kv = f.key("attention.head_count_kv", self.heads)
        self.hd = f.key("attention.key_length", self.d // self.heads)
        self.n_rot = f.key("rope.dimension_count", self.hd)
        rms = f.key("attention.layer_norm_rms_epsilon")
        self.rms, self.eps = rms is not None, rms if rms is not None else f.key("attention.layer_norm_epsilon")
        self.causal = self.arch not in ENCODERS
        self.window = f.key("attention.sliding_window", 0)

    def norm(self, name, x):
        w, b = self.f.get(name + ".weight"), self.f.get(name + ".bias")
        if w is None:
            return x
        if w.shape[-1] != x.shape[-1]:  # by head
            shape = x.shape
            return self.norm(name, x.reshape(*shape[:-1], -1, w.shape[-1])).reshape(shape)
        if self.rms:
            y = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        else:
            c = x - x.mean(-1, keepdims=True)
            y = c / np.sqrt((c * c).mean(-1, keepdims=True) + self.eps)
        return y * w + (0 if b is None else b)

    def local(self, i):
        """Has layer i a window?"""
        if not self.window or self.arch in ("phi3", "llama"):
            return False
        if self.arch in ("gemma2", "gpt-oss"):
            return i % 2 == 0
        if self.arch in ("gemma3", "gemma-embedding"):
            return i % 6 != 5
        if self.arch in ("olmo2", "cohere2"):
            return i % 4 != 3
        if self.arch == "modern-bert":
            return i % 3 != 0
        raise ValueError(self.arch)

    def angles(self, i, n):
        """Angle of each position and pair, and the factor on cos and sin."""
        f, pairs = self.f, self.n_rot // 2
        base, local = f.key("rope.freq_base", 10000.0), self.local(i)
        if local:
            base = f.key("rope.freq_base_swa", 10000.0 if self.arch in ("gemma3", "gemma-embedding") else base)
        freq = base ** (-np.arange(pairs) / pairs)
        kind, factor, scale = f.key("rope.scaling.type", "none"), f.key("rope.scaling.factor", 1.0), 1.0
        n_orig = f.key("rope.scaling.original_context_length", f.key("context_length"))
        if local and self.arch not in ("gemma2", "gpt-oss"):
            kind = "none"
        if f.get("rope_freqs.weight") is not None:
            freq = freq / f.get("rope_freqs.weight")
        if kind == "linear":
            freq = freq / factor
        elif kind == "longrope":
            which = "long" if f.key("context_length") > n_orig else "short"
            freq = freq / f.get(f"rope_factors_{which}.weight")
            scale = f.key("rope.scaling.attn_factor", 1.0)
        elif kind == "yarn":
            at = [self.n_rot * math.log(n_orig / (b * 2 * math.pi)) / (2 * math.log(base)) for b in (32.0, 1.0)]
            lo, hi = max(0, math.floor(at[0])), min(self.n_rot - 1, math.ceil(at[1]))
            ramp = 1 - np.clip((np.arange(pairs) - lo) / max(0.001, hi - lo), 0, 1)
            freq = freq / factor * (1 - ramp) + freq * ramp
            scale = f.key("rope.scaling.attn_factor", 1.0) * (1 + 0.1 * math.log(factor))
            scale /= 1 + 0.1 * f.key("rope.scaling.yarn_log_multiplier", 0.0) * math.log(factor)
        return np.outer(np.arange(n), freq), scale

    def rope(self, x, i):
        """x [n, heads, hd]"""
        if self.arch in ("bert", "gpt2") or (self.arch in ("smollm3", "cohere2") and (i + 1) % 4 == 0):
            return x
        a, scale = self.angles(i, len(x))
        c, s, y, p = np.cos(a)[:, None] * scale, np.sin(a)[:, None] * scale, x.copy(), self.n_rot // 2
        if self.arch in NEOX:
            u, v = slice(0, p), slice(p, 2 * p)
        else:
            u, v = slice(0, 2 * p, 2), slice(1, 2 * p, 2)
        y[..., u] = x[..., u] * c - x[..., v] * s
        y[..., v] = x[..., u] * s + x[..., v] * c
        return y

    def attention(self, i, h):
        f, b, n = self.f, f"blk.{i}.", len(h)
        nq, nk = self.heads * self.hd, self.kv * self.hd
        if f.get(b + "attn_qkv.weight") is not None:
            q, k, v = np.split(f.linear(b + "attn_qkv", h), [nq, nq + nk], -1)
        else:
            q, k, v = (f.linear(b + t, h) for t in ("attn_q", "attn_k", "attn_v"))
        q, k = self.norm(b + "attn_q_norm", q), self.norm(b + "attn_k_norm", k)
        q = self.rope(q.reshape(n, self.heads, self.hd), i)
        k = self.rope(k.reshape(n, self.kv, self.hd), i)
        if f.key("attention.temperature_scale"):
            every = f.key("rope.scaling.original_context_length")
            q = q * (1 + f.key("attention.temperature_scale") * np.log(1 + np.arange(n) // every))[:, None, None]
        v = v.reshape(n, self.kv, self.hd)
        p, j = np.arange(n)[:, None], np.arange(n)[None]
        mask = j > p if self.causal else np.zeros((n, n), bool)
        if self.local(i):
            mask |= p - j >= self.window if self.causal else abs(p - j) > self.window // 2
        scale, cap = f.key("attention.scale") or self.hd**-0.5, f.key("attn_logit_softcapping", 0)
        sinks, out = f.get(b + "attn_sinks.weight"), np.empty((n, self.heads, self.hd))
        for g in range(self.heads):
            s = q[:, g] @ k[:, g * self.kv // self.heads].T * scale
            if cap and self.arch == "gemma2":
                s = cap * np.tanh(s / cap)
            s = np.where(mask, -np.inf, s)
            if sinks is not None:
                s = np.concatenate([s, np.full((n, 1), sinks[g])], 1)
            out[:, g] = softmax(s)[:, :n] @ v[:, g * self.kv // self.heads]
        return f.linear(b + "attn_output", out.reshape(n, -1))

    def act(self, g, u):
        if self.arch in ("gemma", "gemma2", "gemma3", "gemma-embedding"):
            return gelu_tanh(g) * u
        if self.arch == "modern-bert":
            return gelu_erf(g) * u
        if self.arch == "gpt-oss":
            g, u = np.minimum(g, 7), np.clip(u, -7, 7)
            return g / (1 + np.exp(-1.702 * g)) * (u + 1)
        return silu(g) * u

    def experts(self, i, h):
        f, b, k = self.f, f"blk.{i}.", self.f.key("expert_used_count")
        p = f.linear(b + "ffn_gate_inp", h)
        if self.arch != "gpt-oss":
            p = softmax(p)
        chosen, out = np.argsort(-p, -1, kind="stable")[:, :k], np.zeros_like(h)
        w = np.take_along_axis(p, chosen, -1)
        if self.arch == "gpt-oss":
            w = softmax(w)
        elif self.arch != "olmoe":
            w = w / w.sum(-1, keepdims=True)
        gate, up, down = (f.get(b + f"ffn_{t}_exps.weight") for t in ("gate", "up", "down"))
        gb, ub, db = (f.get(b + f"ffn_{t}_exps.bias") for t in ("gate", "up", "down"))
        for t in range(len(h)):
            for r, e in enumerate(chosen[t]):
                g, u = gate[e] @ h[t], up[e] @ h[t]
                if gb is not None:
                    g, u = g + gb[e], u + ub[e]
                y = down[e] @ self.act(g, u)
                out[t] += w[t, r] * (y if db is None else y + db[e])
        return out

    def ffn(self, i, h):
        f, b = self.f, f"blk.{i}."
        if f.get(b + "ffn_gate_inp.weight") is not None:
            return self.experts(i, h)
        u = f.linear(b + "ffn_up", h)
        if self.arch in ("gpt2", "phi2", "starcoder2"):
            y = gelu_tanh(u)
        elif self.arch == "bert":
            y = gelu_erf(u)
        elif f.get(b + "ffn_gate.weight") is not None:
            y = self.act(f.linear(b + "ffn_gate", h), u)
        else:  # gate and up in one
            y = self.act(*np.split(u, 2, -1))
        return f.linear(b + "ffn_down", y)

    def hidden(self, ids):
        """Rows after the last norm [n, d]."""
        f = self.f
        x = f.embedding(ids) * f.key("embedding_scale", 1.0)
        if self.arch.startswith("gemma"):
            x = x * np.float64(np.float32(math.sqrt(self.d)))
        if f.get("token_types.weight") is not None:
            x = x + f.get("token_types.weight")[0]
        if f.get("position_embd.weight") is not None:
            x = x + f.get("position_embd.weight")[: len(ids)]
        x, r = self.norm("token_embd_norm", x), f.key("residual_scale", 1.0)
        renamed = self.arch in ("gpt-oss", "seed_oss")
        second = "post_attention_norm" if renamed else "ffn_norm"
        for i in range(self.layers):
            b = f"blk.{i}."
            h = self.norm(b + "attn_norm", x)
            a = self.attention(i, h)
            if self.arch in ("phi2", "cohere2", "stablelm") and f.get(b + "ffn_norm.weight") is None:
                x = x + a + self.ffn(i, h)
                continue
            if not renamed:
                a = self.norm(b + "post_attention_norm", a)
            x = self.norm(b + "attn_output_norm", x + r * a)
            y = self.norm(b + "post_ffw_norm", self.ffn(i, self.norm(b + second, x)))
            x = self.norm(b + "layer_output_norm", x + r * y)
        return self.norm("enc.output_norm" if self.arch == "neo-bert" else "output_norm", x)

    def logits(self, ids):
        f, h = self.f, self.hidden(ids)[-1]
        out = f.get("output.weight")
        scale = f.key("logit_scale", 1.0)
        y = (f.get("token_embd.weight") if out is None else out) @ h * (scale if self.arch == "cohere2" else 1 / scale)
        if f.get("output.bias") is not None:
            y = y + f.get("output.bias")
        cap = f.key("final_logit_softcapping", 0)
        return cap * np.tanh(y / cap) if cap else y

    def embed(self, ids):
        h = self.hidden(ids)
        if self.f.key("pooling_type") == 4:
            return self.rank(h)
        v = {1: h.mean(0), 2: h[0], 3: h[-1]}[self.f.key("pooling_type")]
        for t in ("dense_2", "dense_3"):
            if self.f.get(t + ".weight") is not None:
                v = self.f.get(t + ".weight") @ v
        return v / np.linalg.norm(v)

    def rank(self, h):
        """The scores of a reranker."""
        f = self.f
        v = h.mean(0) if self.arch == "modern-bert" else h[-1] if self.causal else h[0]
        if f.get("cls.weight") is not None:
            v = (gelu_erf if self.arch == "modern-bert" else np.tanh)(f.linear("cls", v))
        v = f.linear("cls.output", self.norm("cls.norm", v))
        return softmax(v) if self.arch == "qwen3" else v


SCALE = 1.5  # of adapters


def golden(folder, loras=None):
    """A prompt longer than every window, from a small generator of its own; vectors of encoders, logits of the others. Then
    the models that have an adapter lora-X in the folder `loras`, with it."""
    paths = sorted(glob.glob(os.path.join(folder, "tiny-*.gguf")))
    found = [(p, None) for p in paths]
    for p in paths:
        for name in (os.path.basename(p), os.path.basename(p)[5:]):
            lora = os.path.join(loras or folder, "lora-" + name)
            if os.path.exists(lora):
                found.append((p, lora))
    for path, lora in found:
        m = Model(path, lora, SCALE)
        n_vocab, s, ids = m.f.get("token_embd.weight").shape[0], 12345, []
        for _ in range(37):
            s = (s * 1103515245 + 12345) % 2**31
            ids.append(s // 65536 % n_vocab)
        kinds = ["embed"] if m.arch in ENCODERS else ["logits"]
        if m.arch not in ENCODERS and m.f.key("pooling_type"):
            kinds.append("embed")
        for kind in kinds:
            name = os.path.basename(path) + (f"+{os.path.basename(lora)}:{SCALE}" if lora else "")
            yield name, kind, ",".join(map(str, ids)), getattr(m, kind)(ids)


if __name__ == "__main__":
    if sys.argv[1] == "golden":
        for name, kind, ids, v in golden(sys.argv[2]):
            print(name, kind, ids, *(f"{x:.6g}" for x in v))
    else:
        ids = [int(x) for x in sys.argv[3].split(",")]
        print(*(f"{x:.9g}" for x in getattr(Model(sys.argv[2]), sys.argv[1])(ids)))
