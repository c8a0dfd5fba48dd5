"""search.py ENGINE DIR K THREADS HOW: queries a second over DIR/base.npy. ENGINE: llm-index (DIR/kb.db), faiss, sqlite-vec.

HOW: one    data loaded and warm, one query at a time (llm-index: through its pipe, JSON in and out; the others: arrays)
     batch  all queries in one call (llm-index: a process with its start, a file of JSON in, JSON out; the others: arrays)
     json   as batch, the others with the same lines in and out by Python's json
     once   prints nothing: a process that opens the index from disk and answers one query
     make, make-json   prints nothing: write the index, of the arrays or of vectors.ndjson
What is found must be the exact nearest (one in a hundred may differ by rounding). sqlite-vec answers 20 queries at most."""
import base64, json, os, subprocess, sys, time
import numpy as np

engine, work, k, threads, how = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
q = np.load(f"{work}/queries.npy") if how != "once" else np.load(f"{work}/queries.npy", mmap_mode="r")[:1]
tool = ["llm-index", "search", f"{work}/kb.db", "-k", str(k), "-t", str(threads)]
ids_of = lambda line: [int(h["id"][1:]) for h in json.loads(line)["hits"]]

if engine == "llm-index":
    lines = open(f"{work}/queries.ndjson", "rb").read().splitlines(keepends=True)
    if how == "one":
        p = subprocess.Popen(tool + ["-j1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def one(i):
            p.stdin.write(lines[i])
            p.stdin.flush()
            return ids_of(p.stdout.readline())

    else:
        many = lambda: subprocess.run(tool + [f"{work}/queries.ndjson"], stdout=subprocess.PIPE, check=True).stdout
elif engine == "faiss":
    import faiss
    faiss.omp_set_num_threads(threads)
    if how == "once":
        index = faiss.read_index(f"{work}/faiss.index", faiss.IO_FLAG_MMAP_IFC)
    else:
        index = faiss.IndexFlatIP(q.shape[1])
        index.add(np.load(f"{work}/base.npy"))
    many = lambda: index.search(q, k)
    one = lambda i: index.search(q[i : i + 1], k)[1][0].tolist()
    if how == "make":
        faiss.write_index(index, f"{work}/faiss.index")
else:
    import sqlite3, sqlite_vec
    q = q[:20]
    db = sqlite3.connect(f"{work}/vec.db")
    db.enable_load_extension(True)
    sqlite_vec.load(db)
    db.execute("PRAGMA mmap_size=2147418112")
    if how.startswith("make"):
        if how == "make":
            rows = (r.tobytes() for r in np.load(f"{work}/base.npy"))
        else:
            rows = (base64.b64decode(json.loads(line)["embedding"]) for line in open(f"{work}/vectors.ndjson", "rb"))
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(f"CREATE VIRTUAL TABLE v USING vec0(e float[{q.shape[1]}] distance_metric=cosine)")
        db.executemany("INSERT INTO v(rowid, e) VALUES(?, ?)", enumerate(rows))
        db.commit()
    ask = lambda v: db.execute("SELECT rowid, distance FROM v WHERE e MATCH ? AND k = ?", (v.tobytes(), k)).fetchall()
    one = lambda i: [r[0] for r in ask(q[i])]

    def many():
        found = [ask(v) for v in q]
        return 1 - np.array([[r[1] for r in f] for f in found]), np.array([[r[0] for r in f] for f in found])


def many_json():
    """The work of the tool: lines in, lines out."""
    global q
    queries = [json.loads(line) for line in open(f"{work}/queries.ndjson", "rb")][: len(q)]
    q = np.stack([np.frombuffer(base64.b64decode(r["embedding"]), "<f4") for r in queries])
    score, ids = many()
    with open(os.devnull, "w") as out:
        for r, s, h in zip(queries, score.tolist(), ids.tolist()):
            r["hits"] = [{"rank": n + 1, "id": f"v{i}", "score": x} for n, (i, x) in enumerate(zip(h, s))]
            out.write(json.dumps(r) + "\n")
    return score, ids


if how in ("make", "make-json", "once"):
    how == "once" and one(0)
    sys.exit()
if how == "one":
    for i in range(4):
        one(i)
    n = min(len(q), 100)
    start = time.perf_counter()
    found = [one(i) for i in range(n)]
    seconds = time.perf_counter() - start
else:
    n = len(q)
    start = time.perf_counter()
    found = many_json() if how == "json" and engine != "llm-index" else many()
    seconds = time.perf_counter() - start
    found = [ids_of(line) for line in found.splitlines()] if engine == "llm-index" else found[1].tolist()
few = min(n, 20)
exact = np.argsort(-(q[:few] @ np.load(f"{work}/base.npy").T), axis=1)[:, :k]
right = sum(len(set(f) & set(e)) for f, e in zip(found, exact.tolist()))
if right < 0.99 * k * few:
    sys.exit(f"{engine}: only {right} of {k * few} hits are right")
print(f"{n / seconds:.3f}")
