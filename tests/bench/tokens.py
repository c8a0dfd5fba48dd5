"""tokens.py hf|tiktoken MODEL.gguf FILE: MB a second of encoding FILE with that library and the model's own byte-level BPE
(SmolLM2), and the number of tokens; one thread, tables built before the clock starts."""
import os, sys, time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import gguf

engine, model, path = sys.argv[1:]
fields = gguf.GGUFReader(model).fields
tokens = fields["tokenizer.ggml.tokens"].contents()
text = open(path, encoding="utf-8", newline="").read()
if engine == "hf":
    from tokenizers import Tokenizer, models, pre_tokenizers

    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    t = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(tokens)}, merges=merges))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    encode = lambda: len(t.encode(text).ids)
else:
    import tiktoken

    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    byte = {chr(b): b for b in keep}
    byte.update((chr(256 + i), b) for i, b in enumerate(b for b in range(256) if b not in keep))
    kinds = fields["tokenizer.ggml.token_type"].contents()
    ranks = {bytes(byte[c] for c in s): i for i, (s, kind) in enumerate(zip(tokens, kinds)) if kind == 1}
    for b in range(256):  # bytes that the vocabulary lacks; they do not occur
        ranks.setdefault(bytes([b]), len(tokens) + b)
    t = tiktoken.Encoding(
        "smollm",
        pat_str=r"\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+",
        mergeable_ranks=ranks,
        special_tokens={},
    )
    encode = lambda: len(t.encode_ordinary(text))
start = time.perf_counter()
n = encode()
print(f"{len(text.encode()) / 1e6 / (time.perf_counter() - start):.3f} {n}")
