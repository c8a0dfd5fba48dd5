"""search.py ours|sqlite-vec|faiss DIR: queries a second, one query at a time, k = 10, one thread, data loaded and warm. What is
found must be the exact nearest (one in a hundred may differ by rounding)."""
import json, os, subprocess, sys, time
import numpy as np

engine, work = sys.argv[1], sys.argv[2]
q = np.load(f"{work}/queries.npy")
if engine == "ours":
    p = subprocess.Popen(["llm-index", "search", f"{work}/kb.db", "-k", "10", "-t1", "-j1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lines = open(f"{work}/queries.ndjson", "rb").read().splitlines(keepends=True)


    def run(i):
        p.stdin.write(lines[i])
        p.stdin.flush()
        return [int(h["id"][1:]) for h in json.loads(p.stdout.readline())["hits"]]

elif engine == "sqlite-vec":
    import sqlite3, sqlite_vec
    path = f"{work}/vec.db"
    new = not os.path.exists(path)
    db = sqlite3.connect(path)
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    db.execute("PRAGMA mmap_size=2147418112")
    if new:
        base = np.load(f"{work}/base.npy")
        db.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{q.shape[1]}] distance_metric=cosine)")
        db.executemany("INSERT INTO v(rowid, e) VALUES(?, ?)", ((i, r.tobytes()) for i, r in enumerate(base)))
        db.commit()
    run = lambda i: [r[0] for r in db.execute("SELECT rowid, distance FROM v WHERE e MATCH ? AND k = 10", (q[i].tobytes(),))]
else:
    import faiss
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(q.shape[1])
    index.add(np.load(f"{work}/base.npy"))
    run = lambda i: index.search(q[i : i + 1], 10)[1][0].tolist()
run(0)
n = min(len(q), 20)
start = time.perf_counter()
found = [run(i) for i in range(n)]
seconds = time.perf_counter() - start
exact = np.argsort(-(q[:n] @ np.load(f"{work}/base.npy").T), axis=1)[:, :10]
right = sum(len(set(f) & set(e)) for f, e in zip(found, exact.tolist()))
if right < 0.99 * 10 * n:
    sys.exit(f"{engine}: only {right} of {10 * n} hits are right")
print(f"{n / seconds:.3f}")
