"""vectors.py DIR N DIMS QUERIES: clustered unit vectors, fixed seed, as NDJSON (base64), .npy and .f32 for the others.
vectors.py DIR FILE.ndjson QUERIES: the same of embedded records; the last are the queries."""
import base64, json, sys
import numpy as np

out, nq = sys.argv[1], int(sys.argv[-1])
if len(sys.argv) == 5:
    n, d = int(sys.argv[2]), int(sys.argv[3])
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((200, d), dtype=np.float32)
    x = centres[rng.integers(200, size=n + nq)] + 0.8 * rng.standard_normal((n + nq, d), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
else:
    x = np.stack([np.frombuffer(base64.b64decode(json.loads(l)["embedding"]), "<f4") for l in open(sys.argv[2], "rb")])
    n = len(x) - nq
np.save(f"{out}/base.npy", x[:n])
np.save(f"{out}/queries.npy", x[n:])
x[n:].tofile(f"{out}/queries.f32")
for name, rows in (("vectors", x[:n]), ("queries", x[n:])):
    with open(f"{out}/{name}.ndjson", "w") as f:
        for i, v in enumerate(rows):
            f.write(json.dumps({"id": f"v{i}", "embedding": base64.b64encode(v.astype("<f4").tobytes()).decode()}) + "\n")
