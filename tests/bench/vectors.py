"""vectors.py DIR N DIMS QUERIES: clustered unit vectors, fixed seed, as NDJSON (base64) and .npy for the peers."""
import base64, json, sys
import numpy as np

out, n, d, nq = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rng = np.random.default_rng(1)
centres = rng.standard_normal((200, d), dtype=np.float32)
x = centres[rng.integers(200, size=n + nq)] + 0.8 * rng.standard_normal((n + nq, d), dtype=np.float32)
x /= np.linalg.norm(x, axis=1, keepdims=True)
np.save(f"{out}/base.npy", x[:n])
np.save(f"{out}/queries.npy", x[n:])
for name, rows in (("vectors", x[:n]), ("queries", x[n:])):
    with open(f"{out}/{name}.ndjson", "w") as f:
        for i, v in enumerate(rows):
            f.write(json.dumps({"id": f"{name[0]}{i}", "embedding": base64.b64encode(v.astype("<f4").tobytes()).decode()}) + "\n")
