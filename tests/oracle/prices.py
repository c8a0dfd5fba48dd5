#!/usr/bin/env python3
"""Compares llm-cost with PyPI genai-prices (Decimal): every model of its own data that has one price for all times, made
into a price book, on random usage. Usage: prices.py [path of llm-cost]. Not part of `make check`."""
import decimal
import json
import random
import subprocess
import sys
import tempfile
from decimal import Decimal

from genai_prices import Usage
from genai_prices import data
from genai_prices.types import ModelPrice, TieredPrices

UNITS = {"input_mtok": "input_tokens", "cache_read_mtok": "cache_read_tokens", "cache_write_mtok": "cache_write_tokens",
         "output_mtok": "output_tokens", "input_audio_mtok": "input_audio_tokens",
         "cache_audio_read_mtok": "cache_read_audio_tokens", "output_audio_mtok": "output_audio_tokens"}
KNOWN = set(UNITS) | {"cache_write_1h_mtok", "web_searches_kcount", "storage_searches_kcount", "code_executions_kcount"}
tool = sys.argv[1] if len(sys.argv) > 1 else "llm-cost"
random.seed(1)
decimal.getcontext().prec = 60


def price_lines(sku, price):
    for field, unit in UNITS.items():
        p = getattr(price, field, None)
        if p is None:
            continue
        line = {"sku": f"{sku}/{unit}", "match": [{"exact": sku}], "provider": "x", "unit": unit}
        if isinstance(p, TieredPrices):
            line["price"] = str(p.base)
            line["tiers"] = [{"over": t.start, "price": str(t.price)} for t in p.tiers]
        else:
            line["price"] = str(p)
        if any(-Decimal(q).as_tuple().exponent > 12 for q in [line["price"]] + [t["price"] for t in line.get("tiers", [])]):
            return None
        yield line


def usage_of(have):
    n = random.choice([0, 1, 999, 128001, 200000, 200001, random.randrange(2 * 10**6)])
    cached = random.randrange(n + 1) if "cache_read_tokens" in have else 0
    written = random.randrange(n - cached + 1) if "cache_write_tokens" in have else 0
    out = random.randrange(20000) if "output_tokens" in have else 0
    return n, cached, written, out


book, calls, want = [], [], []
for provider in data.providers:
    for m in provider.models:
        if not isinstance(m.prices, ModelPrice) or any(v is not None and f not in KNOWN for f, v in vars(m.prices).items()):
            continue
        sku = f"oracle/{provider.id}/{m.id}"
        lines = list(price_lines(sku, m.prices) or [])
        have = {line["unit"] for line in lines}
        if "input_tokens" not in have or len(have) != sum(getattr(m.prices, f, None) is not None for f in UNITS):
            continue
        kept = False
        for _ in range(4):
            n, cached, written, out = usage_of(have)
            try:
                total = m.prices.calc_price(Usage(input_tokens=n, cache_read_tokens=cached, cache_write_tokens=written,
                                                  output_tokens=out))["total_price"]
            except Exception:  # a shape that it refuses
                continue
            calls.append({"id": len(calls), "model": sku, "provider": "x", "created": "2026-06-01",
                          "usage": {"prompt_tokens": n, "completion_tokens": out,
                                    "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written}}})
            want.append(total)
            kept = True
        if kept:
            book += lines
with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as f:
    f.write("".join(json.dumps(line) + "\n" for line in book))
    f.flush()
    got = subprocess.run([tool, "price", "-B", f.name], input="".join(json.dumps(c) + "\n" for c in calls), text=True,
                         capture_output=True).stdout.splitlines()
bad = 0
for call, total, line in zip(calls, want, got):
    record = json.loads(line, parse_float=Decimal, parse_int=Decimal)
    if "error" in record or record["cost"]["total"] != total:
        bad += 1
        if bad <= 10:
            print("differs:", call, "theirs", total, "ours", record.get("cost"), record.get("error"))
print(f"{len(got)} calls of {len(set(c['model'] for c in calls))} models, {bad} differ")
sys.exit(bad > 0 or len(got) != len(calls) or not calls)
