"""embed_golden.py MODEL_FOLDER > embed_golden.ndjson: vectors of sentence-transformers for texts of several languages."""
import base64, json, sys
import numpy as np
from sentence_transformers import SentenceTransformer

texts = [
    "The quick brown fox jumps over the lazy dog.",
    "A man is eating food.",
    "Die Katze sitzt auf der Fensterbank und schaut dem Regen zu.",
    "Les glaciers contiennent la plus grande partie de l'eau douce de la Terre.",
    "El perro corre por la playa, ¿verdad?",
    "Всё течёт, всё меняется.",
    "東京は日本の首都です。",
    "기차가 곧 출발합니다.",
    "What is the capital of France? Paris -- of course; isn't it?",
    "naïve café, Ångström, 3.14159, e-mail@example.com, #hashtag, $5,000.00",
    "word " * 300,
    "a",
]
model = SentenceTransformer(sys.argv[1], device="cpu")
for i, (text, v) in enumerate(zip(texts, model.encode(texts, normalize_embeddings=True))):
    print(json.dumps({"id": f"t{i}", "text": text, "embedding": base64.b64encode(np.asarray(v, "<f4").tobytes()).decode()}, ensure_ascii=False))
