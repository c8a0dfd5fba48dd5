"""server.py LLAMA_SERVER MODEL RECORDS SYSTEM THREADS: records a second of llama.cpp's server, its prompt cache on, for records
with `text` under one system prompt, 16 tokens each, 16 at once; its start is not counted, its first prompt is."""

import concurrent.futures
import json
import subprocess
import sys
import time
import urllib.request

server, model, records, system, threads = sys.argv[1:]
url = "http://127.0.0.1:18417"
p = subprocess.Popen([server, "-m", model, "--port", "18417", "-t", threads, "-tb", threads, "-np", "16", "-c", "32768", "-fa", "on"],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
try:
    while True:
        try:
            urllib.request.urlopen(url + "/health").read()
            break
        except OSError:
            if p.poll() is not None:
                sys.exit("the server does not start")
            time.sleep(0.1)
    asks = [json.loads(l)["text"] for l in open(records, encoding="utf-8")]
    instruction = open(system, encoding="utf-8").read()

    def ask(text):
        body = {"messages": [{"role": "system", "content": instruction}, {"role": "user", "content": text}],
                "max_tokens": 16, "temperature": 0, "cache_prompt": True}  # fmt: skip
        q = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(q))["choices"][0]["message"]["content"]

    t = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        out = list(pool.map(ask, asks))
    print(len(out) / (time.perf_counter() - t))
finally:
    p.kill()
