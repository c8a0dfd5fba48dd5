#!/usr/bin/env python3
"""Writes num_pow10.h (powers of ten, 128 bits each) and hash_crc32c.h. Run it here; both files are committed."""

FIRST, LAST = -342, 324


def pow10(k):
    """floor(10^k * 2^s) with s such that the result has exactly 128 bits."""
    num, den = (10**k, 1) if k >= 0 else (1, 10**-k)
    shift = 128 - (num.bit_length() - den.bit_length() + 1)
    while True:
        v = (num << shift) // den if shift >= 0 else num // (den << -shift)
        if v.bit_length() == 128:
            return v
        shift += 1 if v.bit_length() < 128 else -1


def crc32c(byte):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


with open("num_pow10.h", "w") as f:
    f.write("/* Made by num_tables.py: the 128 leading bits of 10^k, cut off, high word first; exact for 0 <= k <= 55. */\n")
    f.write("#define POW10_FIRST (%d)\n#define POW10_LAST %d\n" % (FIRST, LAST))
    f.write("static const uint64_t pow10_128[POW10_LAST - POW10_FIRST + 1][2] = {\n")
    for k in range(FIRST, LAST + 1):
        v = pow10(k)
        f.write("\t{ 0x%016x, 0x%016x }, /* %d */\n" % (v >> 64, v & (2**64 - 1), k))
    f.write("};\n")

with open("hash_crc32c.h", "w") as f:
    f.write("/* Made by num_tables.py: CRC-32C of each byte, reflected polynomial 0x82F63B78. */\n")
    f.write("static const uint32_t crc32c_table[256] = {\n")
    for i in range(0, 256, 8):
        f.write("\t" + " ".join("0x%08x," % crc32c(b) for b in range(i, i + 8)) + "\n")
    f.write("};\n")
