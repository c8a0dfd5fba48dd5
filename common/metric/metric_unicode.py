#!/usr/bin/env python3
"""Writes metric_unicode.h: Unicode properties as Python's str sees them (lower, isalnum), in ranges.

LOWER: first, last, step, delta: every step-th code point becomes itself + delta. CASED and IGNORABLE decide the final
sigma. WORD is what \\w matches beside the underscore. ASCII is left out of WORD.
"""
import sys
import unicodedata

N = range(0x110000)


def ranges(pred):
    out = []
    for c in N:
        if 0xD800 <= c < 0xE000 or not pred(chr(c)):
            continue
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def table(name, rows, per, kind="range"):
    print(f"static const struct {kind} {name}[] = {{")
    for i in range(0, len(rows), per):
        print("\t" + " ".join("{ " + ", ".join(hex(v) if k < 2 else str(v) for k, v in enumerate(r)) + " }," for r in rows[i:i + per]))
    print("};")


lower = []
for c in N:
    if 0xD800 <= c < 0xE000:
        continue
    low = chr(c).lower()
    if low == chr(c) or len(low) != 1:  # only U+0130 has two
        continue
    d = ord(low) - c
    last = lower[-1] if lower else None
    if last and last[3] == d and c - last[1] in (1, 2) and (last[0] == last[1] or c - last[1] == last[2]):
        last[2] = c - last[1]
        last[1] = c
    else:
        lower.append([c, c, 1, d])
print(f"/* Made by metric_unicode.py: Unicode {unicodedata.unidata_version}, Python {sys.version_info.major}.{sys.version_info.minor}. */")
table("lower_map", lower, 4, "lower")
table("cased", ranges(lambda c: (c + "Σ").lower()[-1] == "ς"), 7)
table("ignorable", ranges(lambda c: (c + "Σ").lower()[-1] != "ς" and ("A" + c + "Σ").lower()[-1] == "ς"), 7)
table("word", ranges(lambda c: ord(c) > 127 and c.isalnum()), 7)
