#!/usr/bin/env python3
"""Compares llm-tokenize with Hugging Face's tokenizers and with SentencePiece on real text in some twenty scripts.

    python3 tok-oracle.py BUILD [pieces | MODEL...]

BUILD is the build folder (with tools/llm-tokenize and, for `pieces`, `make tests/oracle/tok_pieces`). `pieces` compares every
pre-tokenizer. A MODEL is a GGUF file with a vocabulary (byte-level BPE: rebuilt with `tokenizers` from its merges and the
pattern of its pre-tokenizer; SentencePiece: rebuilt as a .model) or a tokenizer.json. Text: the manual pages, message
catalogues and Python sources of this machine (manpages-de, -fr, -es, -ja, -pl, -ru, -zh make it better), hard strings and
random ones. Needs tokenizers, sentencepiece, gguf.
"""
import glob
import gettext
import gzip
import json
import os
import random
import subprocess
import sys

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

import pretokenizers

ALPHABET = [
    "a", "B", "é", "e\u0301", "中", "文", "か", "カ", "한", "ก", "ำ", "क", "्", "ا", "َ", "א", "Σ", "ſ", "İ", "ǅ", "ʰ", "ª", "0", "9",
    "٣", "½", "Ⅷ", "一", " ", "  ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u3000", "\u2028", "\x85", "\x0b", "'", "’", "s", "t",
    "ll", "'S", "'re", ".", ",", "!", "?", "/", "//", "-", "_", "$", "+", "`", "~", "(", ")", "|", "<", ">", "^", "…", "。", "，",
    "、", "」", "€", "😀", "\u200d", "\ufe0f", "\u200b", "\u0301", "\x01", "\u00ad", "\ufffd", "HELLO", "wOrd", "\U0001F1E9", "㐀",
    "ㄅ", "〇", "⺀", "々", "ㆎ", "ᄀ", "IMGIMG", "A", "Z", "<sentinel:1>", "123", "𝟘", "𐒀", "▁", "<s>", "[MASK]"]
HARD = [
    "สวัสดีครับ ๑๒๓ บาท", "नमस्ते दुनिया! क्षत्रिय १२३", "مرحبا بالعالم، كيف حالك؟ ١٢٣ لَا", "מַה נִּשְׁמַע? 123", "안녕하세요 가각갂 ᄀ",
    "Ἐν ἀρχῇ ἦν ὁ λόγος, ᾧ ΑΣΣ Σ", "👩‍👩‍👧‍👦🏳️‍🌈 👍🏽 1️⃣ 🇩🇪", "ﬁ Å ² Ⅷ ㋿ ﷺ", "O'Neil's CAN'T i'LL 'ſ", "x\u0301\u0327y İ ẞ ǅ", "a" * 200,
    "中" * 150, " " * 100 + "x", "1" * 100, "\n" * 30, "\U00020000\U0002b820\U0002b920 㐀豈 ﾊﾝ ｶﾞ", "▁a ▁ b▁",
    "<s> </s> <unk> [CLS] <|endoftext|> <0x0A>", ""]


def pieces_of(text, size):
    out = ""
    for line in text.splitlines(True):
        out += line
        if len(out) > size:
            yield out
            out = ""
    if out:
        yield out


def corpus():
    rng = random.Random(1)
    yield "hard", HARD
    yield "random", ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 24))) for _ in range(6000)]
    for lang in ["", "de", "fr", "es", "ja", "pl", "ru", "zh_CN"]:
        texts = []
        for f in sorted(glob.glob(os.path.join("/usr/share/man", lang, "man[1-8]", "*.gz")))[:40]:
            texts += pieces_of(gzip.open(f).read().decode("utf-8", "ignore").replace("\0", ""), 1500)
        yield "man " + (lang or "en"), texts[:300]
    for lang in "ko el th he ar hi uk vi ka zh_TW tr bn ta ml fa sr".split():
        texts = []
        for f in sorted(glob.glob(f"/usr/share/locale/{lang}/LC_MESSAGES/*.mo")):
            if len(texts) < 400:
                catalogue = gettext.GNUTranslations(open(f, "rb"))._catalog
                texts += pieces_of("\n".join(v for v in catalogue.values() if isinstance(v, str)), 300)
        yield "messages " + lang, texts[:400]
    texts = []
    for f in sorted(glob.glob("/usr/lib/python3*/*.py"))[:60]:
        texts += pieces_of(open(f, encoding="utf-8").read(), 1500)
    yield "python", texts[:300]


def compare_pieces(build):
    for name in pretokenizers.PATTERNS:
        split, n, bad = pretokenizers.splitter(name), 0, 0
        for kind, texts in corpus():
            texts = texts if kind in ("hard", "random") else texts[:12]
            out = subprocess.run([f"{build}/tests/oracle/tok_pieces", name], stdout=subprocess.PIPE, check=True,
                                 input=b"".join(t.encode() + b"\0" for t in texts)).stdout.decode().split("\n")
            for text, line in zip(texts, out):
                n += 1
                if [int(x) for x in line.split()] != pretokenizers.piece_ends(split, text):
                    bad += 1
                    print("   ", name, repr(text[:100]), line[:100])
        print(f"{name}: {bad} of {n} texts differ", flush=True)


def rebuild_bpe(get):
    pre = get("tokenizer.ggml.pre")
    tokens, types = get("tokenizer.ggml.tokens"), get("tokenizer.ggml.token_type")
    vocab = {t: i for i, t in enumerate(tokens) if types[i] == 1}
    merges = [tuple(m.split(" ", 1)) for m in get("tokenizer.ggml.merges")]
    merges = [m for m in merges if m[0] in vocab and m[1] in vocab and m[0] + m[1] in vocab]
    same = {"starcoder": "smollm", "refact": "smollm", "command-r": "smollm", "mpt": "gpt-2"}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=pre in ("llama-bpe", "tekken", "youtu", "minicpm5")))
    if pre in ("qwen2", "mpt", "command-r"):
        tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([pretokenizers.splitter(same.get(pre, pre)),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return lambda text: tok.encode(text, add_special_tokens=False).ids


def rebuild_spm(get):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    m = sentencepiece_model_pb2.ModelProto()
    for text, score, kind in zip(get("tokenizer.ggml.tokens"), get("tokenizer.ggml.scores"), get("tokenizer.ggml.token_type")):
        p = m.pieces.add()
        p.piece, p.score, p.type = text.replace(" ", "▁") if kind == 4 else text, score, kind
    t = m.trainer_spec
    t.model_type, t.byte_fallback, t.pad_id, t.vocab_size = 2, True, -1, len(m.pieces)
    t.unk_id, t.bos_id, t.eos_id = (get(f"tokenizer.ggml.{x}_token_id") for x in ("unknown", "bos", "eos"))
    n = m.normalizer_spec
    prefix = get("tokenizer.ggml.add_space_prefix")
    n.name, n.remove_extra_whitespaces, n.add_dummy_prefix = "identity", False, prefix is None or prefix
    return sentencepiece.SentencePieceProcessor(model_proto=m.SerializeToString()).EncodeAsIds


def reference(path):
    if path.endswith(".json"):
        tok = Tokenizer.from_file(path)
        tok.no_truncation()
        tok.no_padding()
        tok.encode_special_tokens = True
        return lambda text: tok.encode(text, add_special_tokens=False).ids
    from gguf import GGUFReader
    fields = GGUFReader(path).fields

    def get(key):
        return fields[key].contents() if key in fields else None
    return rebuild_spm(get) if get("tokenizer.ggml.model") == "llama" else rebuild_bpe(get)


def compare_ids(build, path):
    ref, n, tokens, bad = reference(path), 0, 0, 0
    for kind, texts in corpus():
        out = subprocess.run([f"{build}/tools/llm-tokenize", "-m", path, "--records", "--ids", "--no-bos", "--only"],
                             input="".join(json.dumps({"text": t}) + "\n" for t in texts).encode(),
                             stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
        for text, line in zip(texts, out):
            want = ref(text)
            n += 1
            tokens += len(want)
            if json.loads(line)["tokens"] != want:
                bad += 1
                print("   ", kind, repr(text[:100]))
    print(f"{path}: {bad} of {n} texts differ ({tokens} tokens)", flush=True)


if __name__ == "__main__":
    build, *what = sys.argv[1:]
    for x in what:
        compare_pieces(build) if x == "pieces" else compare_ids(build, x)
