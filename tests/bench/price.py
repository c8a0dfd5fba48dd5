"""price.py FILE: prices the records with genai-prices and writes each with its cost, as llm-cost does; the sum on stderr."""
import json, sys
from decimal import Decimal
from genai_prices import Usage, calc_price

total = Decimal(0)
for line in open(sys.argv[1], encoding="utf-8"):
    r = json.loads(line)
    u = r["usage"]
    p = calc_price(Usage(input_tokens=u["prompt_tokens"], output_tokens=u["completion_tokens"]), model_ref=r["model"])
    total += p.total_price
    r["cost"] = {"input": str(p.input_price), "output": str(p.output_price), "total": str(p.total_price)}
    print(json.dumps(r))
print(total, file=sys.stderr)
