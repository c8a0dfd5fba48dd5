"""The calls of tests/bench/hosted.c, from Python's asynchronous clients.

hosted.py aiohttp|httpx|openai URL N C: N chat completions with C in flight; prints the same row. `records` reads NDJSON records
from standard input and writes them with their answers, in order, as llm-generate does.
"""
import asyncio
import json
import resource
import sys
import time

BODY = "Name the capital of country number %d and say why."


async def pool(n, c, call):
    """call(i) for i in range(n), c at once; the results in order."""
    out, numbers = [None] * n, iter(range(n))

    async def worker():
        for i in numbers:
            out[i] = await call(i)

    await asyncio.gather(*(worker() for _ in range(min(c, n))))
    return out


def messages(text):
    return [{"role": "user", "content": text}]


async def run_aiohttp(url, texts, c):
    import aiohttp
    headers = {"Authorization": "Bearer sk-bench"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=c), headers=headers) as s:
        async def call(i):
            async with s.post(url + "/chat/completions", json={"model": "m", "messages": messages(texts[i])},
                              headers={"Idempotency-Key": "%032x" % i}) as r:
                return (await r.json())["choices"][0]["message"]["content"]
        return await pool(len(texts), c, call)


async def run_httpx(url, texts, c):
    import httpx
    limits = httpx.Limits(max_connections=c, max_keepalive_connections=c)
    async with httpx.AsyncClient(limits=limits, timeout=120, headers={"Authorization": "Bearer sk-bench"}) as s:
        async def call(i):
            r = await s.post(url + "/chat/completions", json={"model": "m", "messages": messages(texts[i])},
                             headers={"Idempotency-Key": "%032x" % i})
            return r.json()["choices"][0]["message"]["content"]
        return await pool(len(texts), c, call)


async def run_openai(url, texts, c):
    import httpx
    import openai
    limits = httpx.Limits(max_connections=c, max_keepalive_connections=c)
    client = openai.AsyncOpenAI(base_url=url, api_key="sk-bench", http_client=httpx.AsyncClient(limits=limits, timeout=120))

    async def call(i):
        r = await client.chat.completions.create(model="m", messages=messages(texts[i]))
        return r.choices[0].message.content
    return await pool(len(texts), c, call)


def main():
    case, url, n, c = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    run = {"aiohttp": run_aiohttp, "httpx": run_httpx, "openai": run_openai}[case]
    t0 = time.monotonic()
    if n == "records":
        records = [json.loads(line) for line in sys.stdin]
        texts = [r["prompt"] for r in records]
    else:
        texts = [BODY % i for i in range(int(n))]
    answers = asyncio.run(run(url, texts, c))
    if n == "records":
        for record, answer in zip(records, answers):
            record["output"] = answer
            print(json.dumps(record))
    ru = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"case": case, "n": c, "calls": len(texts), "wall_s": round(time.monotonic() - t0, 3),
                      "cpu_us": round((ru.ru_utime + ru.ru_stime) * 1e6 / len(texts), 2),
                      "rss_mb": round(ru.ru_maxrss / 1024, 1), "good": sum(a is not None for a in answers)}),
          file=sys.stderr if n == "records" else sys.stdout)


main()
