#!/usr/bin/env python3
"""Writes stats_golden.h: values of scipy 1.17 and statsmodels 0.14 that stats_test.c must meet."""
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

print("/* Made by stats_golden.py. */")
rows = []
for p in (1e-300, 1e-20, 1e-6, 0.001, 0.02, 0.05, 0.3, 0.49999, 0.5, 0.7, 0.975, 0.999999):
    rows.append(("Q_NORM", p, 0, 0, stats.norm.ppf(p)))
for df in (1, 2, 3.5, 7, 30, 199, 1e6):
    for p in (1e-9, 0.001, 0.025, 0.19, 0.21, 0.4, 0.499, 0.6, 0.975, 0.9995):
        rows.append(("Q_T", p, df, 0, stats.t.ppf(p, df)))
    for t in (-40, -2.5, -0.3, 1e-3, 1, 5):
        rows.append(("C_T", t, df, 0, stats.t.cdf(t, df)))
for a, b in ((0.5, 0.5), (1, 51), (137, 64), (0.5, 50.5), (2000, 3), (1e5, 1.2e5), (5e6, 5e6)):
    for p in (1e-6, 0.025, 0.3, 0.5, 0.975):
        rows.append(("Q_BETA", p, a, b, stats.beta.ppf(p, a, b)))
    m = a / (a + b)
    for x in (m * 0.5, m, m + (1 - m) * 0.01):
        rows.append(("C_BETA", x, a, b, stats.beta.cdf(x, a, b)))
for k, n in ((137, 200), (0, 50), (50, 50), (1, 3), (999_999, 1_000_000)):
    for method, name in (("wilson", "WILSON"), ("beta", "CP")):
        lo, hi = proportion_confint(k, n, 0.05, method)
        rows.append((name + "_LO", k, n, 0, lo))
        rows.append((name + "_HI", k, n, 0, hi))
for b, c in ((17, 39), (0, 1), (5, 5), (300, 402), (0, 60)):
    rows.append(("MCNEMAR", b, c, 0, min(1.0, float(stats.binomtest(min(b, c), b + c).pvalue))))
for kind, x, y, z, v in rows:
    print(f"{{ {kind}, {float(x)!r}, {float(y)!r}, {float(z)!r}, {float(v)!r} }},")
