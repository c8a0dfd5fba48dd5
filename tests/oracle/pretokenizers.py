"""The models' own patterns for each GGUF pre-tokenizer name: [regex, …], each a Split(Isolated) inside the pieces before."""
from tokenizers import Regex, pre_tokenizers

CI = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
X = r"[^\r\n\p{L}\p{N}]?"
W = X + r"\p{L}+"
P = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
PS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
NL = r"\s*[\r\n]+"
WS = r"\s+(?!\S)|\s+"
U = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LO = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
N3 = r"\p{N}{1,3}"
G2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|" + WS


def llama3(digits):
    return "|".join([CI, W, digits, P, NL, WS])


def o200k(digits, c):
    return "|".join([X + U + "*" + LO + "+" + c, X + U + "+" + LO + "*" + c, digits, PS, NL, WS])


def ranges(text):
    out = ""
    for x in text.split():
        a, _, b = x.partition("-")
        out += r"\x{%s}-\x{%s}" % (a, b or a)
    return "[" + out + "]"


DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
             r" ?[\p{P}\p{S}]+[\r\n]*|" + NL + "|" + WS)
CJK = ranges("4E00-9FA5 0800-4E00 AC00-D7FF")
HAN_KANA = ranges("4E00-9FA5 3040-309F 30A0-30FF")
LETTERS = ranges("""
0041-005A 0061-007A 00B5 00C0-00D6 00D8-00F6 00F8-01BA 01BC-01BF 01C4-0293 0295-02AF 0370-0373 0376 0377 037B-037D
037F 0386 0388-038A 038C 038E-03A1 03A3-03F5 03F7-0481 048A-052F 0531-0556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA
1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D
1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113
2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4
2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A
FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943""")
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
NO_HAN = r"&&[^\p{Han}]]"

PATTERNS = {
    "gpt-2": [G2],
    "smollm": [r"\p{N}", G2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", G2, "[0-9][0-9][0-9]"],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", G2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "llama-bpe": [llama3(N3)],
    "qwen2": [llama3(r"\p{N}")],
    "minicpm5": [N3, llama3(r"\p{N}+")],
    "qwen35": ["|".join([CI, X + r"[\p{L}\p{M}]+", r"\p{N}", r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", NL, WS])],
    "jais-2": ["|".join([CI, W, N3, P, NL] + [r"\s{%d}(?!\S)" % n for n in (512, 256, 128, 64, 32, 16, 8, 4)]
                        + [r"\s{1,2}(?!\S)", r"\s{1}"])],
    "laguna": [r"[^\n]+|[\n]+", llama3(r"\p{N}")],
    "gpt-4o": [o200k(N3, CI + "?")],
    "tekken": [o200k(r"\p{N}", "")],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", o200k(N3, CI + "?")],
    "youtu": ["|".join(ranges(x) + "+" for x in (
        "AC00-D7A3 3131-318E", "FF01 2026 201C 201D 2018 2019 2014 FF1A FF1B FF0C 3001-303F FE30-FE4F", "3105-312F",
        "4E00-9FA5 3040-309F 30A0-30FF")), o200k(r"\p{N}", CI + "?")],
    "kimi-k2": ["|".join([r"[\p{Han}]+", X + "[" + U + NO_HAN + "*[" + LO + NO_HAN + "+" + CI + "?",
                          X + "[" + U + NO_HAN + "+[" + LO + NO_HAN + "*" + CI + "?", N3, P, NL, WS])],
    "deepseek-v3": [N3, HAN_KANA + "+", DEEPSEEK3],
    "deepseek-llm": [r"[\r\n]", r"\s?" + LETTERS + "+",
                     r"\s?" + ranges("0021-002F 003A-007E FF01-FF0F FF1A-FF5E 2018-201F 3000-3002") + "+", r"\s+$", CJK + "+",
                     r"\p{N}+"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK + "+", r"\p{N}"],
    "bailingmoe": ["|".join([r"'(?i:[sdmt]|ll|ve|re)", r"[^\r\n\p{L}\p{N}]?+\p{L}+", r"\p{N}", r" ?[^\s\p{L}\p{N}]++[\r\n]*",
                             r"\s*[\r\n]", WS])],
    "seed-coder": ["|".join([CI, W, r"\p{N}{1}", r" ?[^\s\p{L}\p{N}\r\n]+", NL, WS])],
    "exaone-moe": ["|".join([CI, X + r"(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+", r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n/]?",
                             r"\s*[\r\n]", WS])],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "chameleon": ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"([\t\n]|    |  )", r"\p{N}",
                  r"[\p{P}!-/:-@\[-`{-~]", G2],
    "ufakzeka": ["|".join([W, r"\p{N}", P, NL, WS])],
    "gemma4": [r"[^\n]+|[\n]+"],
}


def splitter(name):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r), "isolated") for r in PATTERNS[name]])


def byte_offsets(text):
    """Place of each code point in UTF-8, and the end."""
    out = [0]
    for c in text:
        out.append(out[-1] + len(c.encode()))
    return out


def piece_ends(pre, text):
    place = byte_offsets(text)
    return [place[b] for _, (_, b) in pre.pre_tokenize_str(text)]
