"""Our JSON against Python's: the same texts accepted, the same values read.

usage: json_python.py JSON_ECHO [TEXTS [SEED]]

Python differs by intent in three things, which are set aside: it takes NaN and Infinity, it has no limit of depth
but its own stack's, and it reads a lone surrogate where we say "?".
"""
import base64
import json
import random
import subprocess
import sys

echo = sys.argv[1]
count = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
rnd = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)


def number():
    text = rnd.choice(["", "", "-", "+", "0"]) + str(rnd.getrandbits(rnd.choice([1, 3, 10, 53, 64, 200])))
    if rnd.random() < 0.4:
        text += "." + rnd.choice(["", str(rnd.getrandbits(rnd.choice([1, 20, 64])))] + ["5"] * 8)
    if rnd.random() < 0.3:
        text += rnd.choice("eE") + rnd.choice(["", "+", "-"]) + rnd.choice(["", "7", "07", "300"])
    return text


def string():
    parts = ["a", "word ", "\\n", "\\\"", "\\\\", "\\/", "\\u00e9", "\\ud83d\\ude00", "\u00e9", "\U0001f600", "\u20ac",
             "x" * 33, "y" * 64, "\\u0000", "\x7f"]
    rare = ["\\ud800", "\\udc00", "\\x", "\\u12", "\x01", "\n", "\t", "\\", "\"", "\ud800", "'"]
    return '"' + "".join(rnd.choice(rare if rnd.random() < 0.02 else parts) for _ in range(rnd.randrange(8))) + '"'


def blank():
    return rnd.choice(["", "", "", " ", "\n", "\t \r", "\v" if rnd.random() < 0.01 else ""])


def value(depth):
    kind = rnd.randrange(8 if depth else 5)
    if kind < 2:
        return string()
    if kind < 4:
        return number()
    if kind == 4:
        return rnd.choice(["true", "false", "null", "NaN", "tru", "nullx"] if rnd.random() < 0.1 else
                          ["true", "false", "null"])
    items = []
    for _ in range(rnd.randrange(5)):
        item = blank() + value(depth - 1) + blank()
        if kind > 5:
            item = blank() + string() + blank() + ":" + item
        items.append(item)
    tail = "," if rnd.random() < 0.02 else ""
    return ("[%s]" if kind == 5 else "{%s}") % (",".join(items) + tail)


def text():
    raw = (blank() + value(4) + blank()).encode("utf-8", "surrogatepass")
    if rnd.random() < 0.3 and raw:  # one byte changed, lost or doubled
        at = rnd.randrange(len(raw))
        raw = raw[:at] + rnd.choice([b"", raw[at:at + 1] * 2, bytes([rnd.randrange(256)])]) + raw[at + 1:]
    return raw


def refuse(word):
    raise ValueError(word)


def python(raw):
    try:
        return True, json.loads(raw.decode("utf-8"), parse_int=str, parse_float=str, parse_constant=refuse,
                                object_pairs_hook=lambda pairs: ("object", pairs))
    except ValueError:
        return False, None


def surrogate(v):
    if isinstance(v, str):
        return any(0xD800 <= ord(c) < 0xE000 for c in v)
    return any(map(surrogate, v)) if isinstance(v, (list, tuple)) else False


texts = [text() for _ in range(count)]
lines = b"".join(base64.b64encode(t) + b"\n" for t in texts)
answers = subprocess.run([echo], input=lines, stdout=subprocess.PIPE, check=True).stdout.split(b"\n")
accepted = wrong = 0
for t, ours in zip(texts, answers):
    good, v = python(t)
    accepted += good
    if ours.startswith(b"+"):
        same = good and python(ours[1:]) == (True, v)
    else:
        same = surrogate(v) if ours == b"?" else not good
    if not same:
        wrong += 1
        print("# %r: ours %r, Python's %r" % (t, ours, v))
assert len(answers) == count + 1
print("%sok 1 - %d texts, %d valid: the same as Python's json" % ("not " if wrong else "", count, accepted))
print("1..1")
sys.exit(wrong != 0)
