#!/usr/bin/env python3
"""Writes price_golden.h: count x price x multiplier / per, to 1e-18 half-even, by Python's integers."""
import random
from decimal import Decimal, getcontext
from fractions import Fraction

random.seed(20260801)
getcontext().prec = 60
print("/* Made by price_golden.py. */")
pers = [1, 1000, 3600, 10**6, 10**6, 10**6, 10**9, 7, 333]
for i in range(80):
    count = Decimal(random.randrange(10 ** random.randrange(1, 13)))
    if i % 3 == 0:
        count += Decimal(random.randrange(10**6)).scaleb(-6)
    price = Decimal(random.randrange(10 ** random.randrange(1, 14))).scaleb(-random.randrange(7, 13))
    per = random.choice(pers)
    num, den = random.choice([(1, 1), (1, 2), (11, 10), (3, 7), (997, 1000)])
    exact = Fraction(count) * Fraction(price) * Fraction(num, den) / per * 10**18
    cost = round(exact)  # half to even
    text = format(Decimal(cost).scaleb(-18), "f").rstrip("0").rstrip(".") if cost else "0"
    rounded = "true" if exact.denominator != 1 else "false"
    print(f'{{ "{count}", "{price:f}", {per}, "{num}/{den}", "{text}", {rounded} }},')
