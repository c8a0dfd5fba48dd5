#!/usr/bin/env python3
"""Tiny seeded models of every architecture that `llm-model import` takes, as Hugging Face folders.

    import-models.py DIR [NAME...]     needs torch, transformers, safetensors; used by import-compare.py

Each is a real class of transformers with random weights (seed 0, norms not 1, biases not 0), saved as its authors save theirs,
beside one of the tokenizers of tests/fixtures.
"""
import json
import os
import shutil
import sys

import torch
import transformers as T
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "fixtures")

D, HEADS, KV, HD, FF = 64, 4, 2, 16, 96
SIZE = dict(hidden_size=D, num_attention_heads=HEADS, num_key_value_heads=KV, intermediate_size=FF, num_hidden_layers=2)
SIZE |= dict(max_position_embeddings=256, pad_token_id=0, bos_token_id=0, eos_token_id=1)
WIDE = SIZE | dict(head_dim=24)  # not hidden_size / heads
ENCODER = {k: v for k, v in SIZE.items() if k not in ("num_key_value_heads", "bos_token_id", "eos_token_id")}


def rope(**k):
    return dict(rope_parameters=dict(rope_theta=10000.0) | k)


LLAMA3 = rope(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
YARN = rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
LONG = rope(rope_type="longrope", short_factor=[1.0 + i / 10 for i in range(8)], long_factor=[1.0 + i for i in range(8)])
GRANITE = dict(embedding_multiplier=12.0, residual_multiplier=0.22, attention_multiplier=0.2, logits_scaling=4.0)
GEMMA3_ROPE = dict(rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
                                        sliding_attention=dict(rope_type="default", rope_theta=1e4)))  # fmt: skip
GEMMA3 = WIDE | dict(num_hidden_layers=7, sliding_window=8, query_pre_attn_scalar=24) | GEMMA3_ROPE

# name: (class, config, options, tokenizer)
MODELS = {
    "llama": ("LlamaForCausalLM", SIZE | dict(tie_word_embeddings=False, attention_bias=True), "bpe"),
    "llama-tied": ("LlamaForCausalLM", WIDE | dict(tie_word_embeddings=True), "llama2"),
    "llama-linear": ("LlamaForCausalLM", SIZE | rope(rope_type="linear", factor=4.0), "bpe"),
    "llama3": ("LlamaForCausalLM", SIZE | LLAMA3, "bpe"),
    "llama-yarn": ("LlamaForCausalLM", SIZE | YARN, "bpe"),
    "mistral": ("MistralForCausalLM", SIZE | dict(sliding_window=None), "llama2"),
    "mixtral": ("MixtralForCausalLM", SIZE | dict(num_local_experts=5, num_experts_per_tok=2, sliding_window=None), "llama2"),
    "ministral3": ("Ministral3ForCausalLM", SIZE | rope(
        rope_type="yarn", factor=16.0, beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0,
        original_max_position_embeddings=8, llama_4_scaling_beta=0.1), "bpe"),
    "mistral3-vision": ("Mistral3ForConditionalGeneration", dict(
        text_config=dict(model_type="mistral", sliding_window=None) | SIZE, vision_config=dict(
            model_type="pixtral", hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            image_size=28, patch_size=14)), "bpe"),
    "smollm3": ("SmolLM3ForCausalLM", SIZE | dict(num_hidden_layers=5, no_rope_layer_interval=4), "bpe"),
    "granite": ("GraniteForCausalLM", SIZE | GRANITE, "bpe"),
    "granitemoe": ("GraniteMoeForCausalLM", SIZE | GRANITE | dict(num_local_experts=5, num_experts_per_tok=2), "bpe"),
    "olmo2": ("Olmo2ForCausalLM", SIZE, "bpe"),
    "olmo3": ("Olmo3ForCausalLM", SIZE | dict(num_hidden_layers=4, sliding_window=8), "bpe"),
    "olmoe": ("OlmoeForCausalLM", SIZE | dict(num_key_value_heads=HEADS, num_experts=6, num_experts_per_tok=3, norm_topk_prob=False), "bpe"),
    "seed_oss": ("SeedOssForCausalLM", WIDE | dict(attention_bias=True), "bpe"),
    "ernie4_5": ("Ernie4_5ForCausalLM", WIDE, "bpe"),
    "qwen2": ("Qwen2ForCausalLM", SIZE, "bpe"),
    "qwen3": ("Qwen3ForCausalLM", WIDE, "bpe"),
    "qwen3moe": ("Qwen3MoeForCausalLM", WIDE | dict(
        num_experts=6, num_experts_per_tok=2, moe_intermediate_size=32, norm_topk_prob=True, decoder_sparse_step=1), "bpe"),
    "gemma": ("GemmaForCausalLM", WIDE | dict(hidden_activation="gelu_pytorch_tanh"), "llama2"),
    "gemma2": ("Gemma2ForCausalLM", WIDE | dict(
        sliding_window=8, query_pre_attn_scalar=24, attn_logit_softcapping=5.0, final_logit_softcapping=3.0), "llama2"),
    "gemma3": ("Gemma3ForCausalLM", GEMMA3, "llama2"),
    "phi3": ("Phi3ForCausalLM", SIZE | dict(sliding_window=None), "llama2"),
    "phi3-long": ("Phi3ForCausalLM", SIZE | LONG | dict(original_max_position_embeddings=64), "llama2"),
    "gpt2": ("GPT2LMHeadModel", dict(n_embd=D, n_head=HEADS, n_layer=2, n_positions=256, bos_token_id=0, eos_token_id=1), "bpe"),
    "gpt-oss": ("GptOssForCausalLM", SIZE | dict(
        head_dim=16, num_local_experts=5, num_experts_per_tok=2, sliding_window=8, intermediate_size=32) | rope(
            rope_type="yarn", factor=32.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
            original_max_position_embeddings=64), "bpe"),
    "starcoder2": ("Starcoder2ForCausalLM", SIZE | dict(sliding_window=None), "bpe"),
    "phi2": ("PhiForCausalLM", SIZE | dict(num_key_value_heads=HEADS, **rope(partial_rotary_factor=0.5)), "bpe"),
    "stablelm": ("StableLmForCausalLM", SIZE | rope(partial_rotary_factor=0.25) | dict(use_qkv_bias=True), "bpe"),
    "cohere2": ("Cohere2ForCausalLM", SIZE | dict(num_hidden_layers=4, sliding_window=8, logit_scale=0.25), "bpe"),
    "bert": ("BertModel", ENCODER, "wordpiece"),
    "bert-rerank": ("BertForSequenceClassification", ENCODER | dict(num_labels=1), "wordpiece"),
    "distilbert": ("DistilBertModel", dict(
        dim=D, n_heads=HEADS, n_layers=2, hidden_dim=FF, max_position_embeddings=256, pad_token_id=0), "wordpiece"),
    "roberta": ("RobertaModel", ENCODER | dict(pad_token_id=1, max_position_embeddings=258, type_vocab_size=1), "bpe-ends"),
    "xlmr": ("XLMRobertaModel", ENCODER | dict(pad_token_id=1, max_position_embeddings=258, type_vocab_size=1), "unigram-ends"),
    "xlmr-rerank": ("XLMRobertaForSequenceClassification", ENCODER | dict(
        pad_token_id=1, max_position_embeddings=258, type_vocab_size=1, num_labels=1), "unigram-ends"),
    "nomic-bert": ("NomicBertModel", ENCODER | dict(type_vocab_size=2, **rope(rope_theta=1000.0)), "wordpiece"),
    "modern-bert": ("ModernBertModel", ENCODER | dict(
        num_hidden_layers=4, local_attention=12, global_attn_every_n_layers=3), "bpe-ends"),
    "modern-bert-rerank": ("ModernBertForSequenceClassification", ENCODER | dict(
        num_hidden_layers=4, local_attention=12, global_attn_every_n_layers=3, num_labels=1,
        classifier_pooling="mean"), "bpe-ends"),
    "modern-bert-rerank-cls": ("ModernBertForSequenceClassification", ENCODER | dict(
        num_hidden_layers=4, local_attention=12, global_attn_every_n_layers=3, num_labels=3,
        classifier_pooling="cls"), "bpe-ends"),
    "eurobert": ("EuroBertModel", SIZE, "bpe-ends"),
    "gemma-embedding": ("Gemma3TextModel", GEMMA3 | dict(use_bidirectional_attention=True, sliding_window=16), "llama2"),
    "qwen3-embedding": ("Qwen3ForCausalLM", WIDE | dict(tie_word_embeddings=True), "bpe-ends"),
    "qwen3-rerank": ("Qwen3ForCausalLM", WIDE | dict(tie_word_embeddings=True), "bpe"),
    "gemma3-vision": ("Gemma3ForConditionalGeneration", dict(text_config=GEMMA3, vision_config=dict(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)), "llama2"),
}  # fmt: skip

YES, NO = 77, 50
POOLED = {"bert": "mean", "distilbert": "mean", "roberta": "cls", "xlmr": "mean", "nomic-bert": "mean", "modern-bert": "cls", "eurobert": "mean",
          "gemma-embedding": "mean", "qwen3-embedding": "lasttoken"}  # fmt: skip


def tokenizer(kind):
    """The text of a tokenizer.json; "-ends": with a token at both ends, as encoders of that kind have."""
    name, _, ends = kind.partition("-")
    j = json.load(open(f"{FIXTURES}/tok_{name}.json"))
    if name == "unigram":  # SentencePiece's own normalizer, as XLM-R has it
        j["normalizer"]["normalizers"] = [n for n in j["normalizer"]["normalizers"] if n["type"] != "NFKC"]
    if name == "llama2":  # a token that llama.cpp looks for in every Phi 3
        j["added_tokens"].append(dict(j["added_tokens"][0], id=len(j["model"]["vocab"]), content="<|endoftext|>"))
    if ends:
        head, tail = ("<unk>", "</s>") if name == "unigram" else ("<s>", "<|end|>")
        ids = {a["content"]: a["id"] for a in j["added_tokens"]}
        seq = [{"SpecialToken": {"id": head, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": tail, "type_id": 0}}]  # fmt: skip
        special = {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in (head, tail)}
        j["post_processor"] = {"type": "TemplateProcessing", "single": seq, "pair": seq, "special_tokens": special}
    return j


def n_tokens(j):
    v = j["model"]["vocab"]
    return max(len(v), 1 + max(a["id"] for a in j["added_tokens"]))


def mxfp4(folder):
    """gpt-oss as published: the experts in blocks of 32 four-bit numbers with a common exponent, two to a byte."""
    path = folder + "/model.safetensors"
    tensors, out = load_file(path), {}
    gen = torch.Generator().manual_seed(1)
    for name, t in tensors.items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            e, cols, rows = t.shape
            out[name + "_blocks"] = torch.randint(0, 256, (e, rows, cols // 32, 16), generator=gen, dtype=torch.uint8)
            out[name + "_scales"] = torch.randint(122, 126, (e, rows, cols // 32), generator=gen, dtype=torch.uint8)
        else:
            out[name] = t
    save_file(out, path, {"format": "pt"})
    config = json.load(open(folder + "/config.json"))
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    json.dump(config, open(folder + "/config.json", "w"))


def modules(folder, name, d):
    """What sentence-transformers keeps beside an encoder."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if name == "gemma-embedding":
        kinds += [("2_Dense", "Dense"), ("3_Dense", "Dense")]
    kinds += [("9_Normalize", "Normalize")]
    json.dump([{"idx": i, "name": str(i), "path": p, "type": f"sentence_transformers.models.{t}"} for i, (p, t) in
               enumerate(kinds)], open(folder + "/modules.json", "w"))  # fmt: skip
    os.makedirs(folder + "/1_Pooling", exist_ok=True)
    modes = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
    json.dump({"word_embedding_dimension": d} | {"pooling_mode_" + v: k == POOLED[name] for k, v in modes.items()},
              open(folder + "/1_Pooling/config.json", "w"))  # fmt: skip
    json.dump({"prompts": {"query": "query: ", "document": "passage: "}}, open(folder + "/config_sentence_transformers.json", "w"))
    for p, t in kinds:
        if t == "Dense":
            n_in, n_out = (d, 2 * d) if p == "2_Dense" else (2 * d, d)
            os.makedirs(f"{folder}/{p}", exist_ok=True)
            json.dump({"in_features": n_in, "out_features": n_out, "bias": False,
                       "activation_function": "torch.nn.modules.linear.Identity"}, open(f"{folder}/{p}/config.json", "w"))  # fmt: skip
            save_file({"linear.weight": torch.randn(n_out, n_in) * n_in**-0.5}, f"{folder}/{p}/model.safetensors", {"format": "pt"})


def nomic(folder):
    """The names that nomic-embed-text's own config.json has."""
    names = {"hidden_size": "n_embd", "num_attention_heads": "n_head", "num_hidden_layers": "n_layer", "intermediate_size": "n_inner",
             "max_position_embeddings": "n_positions", "layer_norm_eps": "layer_norm_epsilon"}  # fmt: skip
    path = folder + "/config.json"
    shutil.copy(path, folder + "/transformers.json")
    c = json.load(open(path))
    out = {names.get(k, k): v for k, v in c.items() if k not in ("hidden_act", "rope_parameters", "head_dim")}
    out |= dict(activation_function="swiglu", rotary_emb_base=1000, rotary_emb_fraction=1.0, max_trained_positions=128,
                prenorm=False, rotary_emb_interleaved=False)  # fmt: skip
    json.dump(out, open(path, "w"))


def make(base, name):
    cls, config, tok = MODELS[name]
    folder = os.path.join(base, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    torch.manual_seed(0)
    j = tokenizer(tok)
    kind = getattr(T, cls)
    if "text_config" in config:
        config = config | dict(text_config=config["text_config"] | dict(vocab_size=n_tokens(j)))
    else:
        config = config | dict(vocab_size=n_tokens(j))
    model = kind(kind.config_class(**config)).float()
    with torch.no_grad():
        for n, p in model.named_parameters():
            flat = p.ndim == 1 or "bias" in n
            p.copy_((0.1 if flat else 1.0 if "embed" in n or "wte" in n else p.shape[-1] ** -0.5) * torch.randn_like(p))
            if flat and "norm" in n.lower() + "norm" * ("ln_" in n) and n.endswith("weight") and "gemma" not in name:
                p.add_(1)
    model.eval()
    model.save_pretrained(folder)
    json.dump(j, open(folder + "/tokenizer.json", "w"))
    json.dump({"chat_template": "{{ messages }}"} if not name in POOLED else {}, open(folder + "/tokenizer_config.json", "w"))
    if name in POOLED:
        modules(folder, name, D)
    if name == "qwen3-rerank":  # as sentence-transformers keeps one: the scores are the logits of two tokens
        json.dump([{"idx": 0, "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
                   {"idx": 1, "path": "1_LogitScore", "type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"}],
                  open(folder + "/modules.json", "w"))  # fmt: skip
        os.makedirs(folder + "/1_LogitScore")
        json.dump({"true_token_id": YES, "false_token_id": NO}, open(folder + "/1_LogitScore/config.json", "w"))
    if name == "nomic-bert":
        nomic(folder)
    if name == "gpt-oss":
        shutil.copytree(folder, folder + "-mxfp4", dirs_exist_ok=True)
        mxfp4(folder + "-mxfp4")
    return folder


if __name__ == "__main__":
    for each in sys.argv[2:] or MODELS:
        try:
            make(sys.argv[1], each)
        except Exception as e:  # noqa: BLE001
            print("FAILED", each, repr(e)[:300])
