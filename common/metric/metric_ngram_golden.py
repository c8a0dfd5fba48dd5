#!/usr/bin/env python3
"""Writes metric_ngram_golden.h: scores of sacrebleu 2.6.0 and rouge-score 0.1.2 on made-up text."""
import json
import random

from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF

random.seed(5)
PAIRS = [("The cat sat on the mat.", ["The cat is sitting on the mat."]),
         ("Prices rose 3.5% in May, he said.", ["He said prices rose by 3.5% in May."]),
         ("red green blue", ["blue red green"]),
         ("nothing matches here at all", ["completely different words"]),
         ("", ["An empty answer."])]
words = ("the a of (hi) U.S. 5,000.00 3-4 a-b &quot;x&quot; &amp;lt; rock'n'roll 日本語 naïve ÄÖÜ end. ...! 1. .5 x,y a.b,c-1 -- <skipped> "
         "über Σας \u00a0 e\u0301").split(" ")
for _ in range(40):
    base = random.choices(words, k=random.randrange(1, 14))
    hyp = [w for w in base if random.random() < .8] + random.choices(words, k=random.randrange(3))
    refs = [" ".join(base)] + [" ".join(random.sample(base, len(base))) for _ in range(random.randrange(3))]
    PAIRS.append((" ".join(hyp) + random.choice(["", " ", "\n"]), refs))


def c(s):
    return json.dumps(s, ensure_ascii=False)


bleu = {s: BLEU(effective_order=True, smooth_method=s) for s in ("exp", "floor", "add-k", "none")}
toks = {t: BLEU(effective_order=True, tokenize=t) for t in ("none", "char")}
low = BLEU(effective_order=True, lowercase=True)
chrf, chrfpp, chrfl = CHRF(), CHRF(word_order=2), CHRF(lowercase=True)
rouge = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
print("/* Made by metric_ngram_golden.py. */\n#ifdef GOLDEN_SENTENCES")
for hyp, refs in PAIRS:
    r = rouge.score_multi(refs, hyp)
    v = [b.sentence_score(hyp, refs).score for b in (*bleu.values(), *toks.values(), low, chrf, chrfpp, chrfl)]
    v += [r[k].fmeasure for k in ("rouge1", "rouge2", "rougeL")]
    print(f'{{ {c(hyp)}, {{ {", ".join(map(c, refs))} }}, {{ {", ".join(map(repr, v))} }} }},')
print("#endif\n#ifdef GOLDEN_CORPUS")
n = max(len(r) for _, r in PAIRS)
for rows in (PAIRS[:5], [PAIRS[2]], PAIRS):
    hyps = [h for h, _ in rows]
    refs = [[r[i] if i < len(r) else None for _, r in rows] for i in range(max(len(r) for _, r in rows))]
    v = [BLEU(smooth_method=s).corpus_score(hyps, refs).score for s in bleu]
    v += [chrf.corpus_score(hyps, refs).score, chrfpp.corpus_score(hyps, refs).score]
    print(f'{{ {PAIRS.index(rows[0])}, {len(rows)}, {{ {", ".join(map(repr, v))} }} }},')
print("#endif")
