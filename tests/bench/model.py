"""model.py TOKENIZER.gguf OUT.gguf: a Llama of 1B's shape (16 layers, 2048 wide, 32 heads, 8 of keys) with seeded random Q8_0
weights and another model's tokenizer: it says nothing, as fast as a real one."""
import sys
import gguf
import numpy as np

source, out = gguf.GGUFReader(sys.argv[1]), sys.argv[2]
d, ff, kv, layers = 2048, 8192, 512, 16
tokens = source.fields["tokenizer.ggml.tokens"].contents()
w = gguf.GGUFWriter(out, "llama")
w.add_name("llama-1b-shape")
w.add_context_length(8192)
w.add_embedding_length(d)
w.add_feed_forward_length(ff)
w.add_block_count(layers)
w.add_head_count(32)
w.add_head_count_kv(8)
w.add_rope_dimension_count(64)
w.add_rope_freq_base(500000.0)
w.add_layer_norm_rms_eps(1e-5)
w.add_vocab_size(len(tokens))
w.add_tokenizer_model("gpt2")
w.add_tokenizer_pre(source.fields["tokenizer.ggml.pre"].contents())
w.add_token_list(tokens)
w.add_token_types(source.fields["tokenizer.ggml.token_type"].contents())
w.add_token_merges(source.fields["tokenizer.ggml.merges"].contents())
w.add_bos_token_id(1)
w.add_eos_token_id(2)
rng = np.random.default_rng(1)
q8 = gguf.GGMLQuantizationType.Q8_0


def matrix(rows, cols):
    x = rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(cols**-0.5)
    return gguf.quants.quantize(x, q8)


one = np.ones(d, np.float32)
# the layers are equal; their bytes are there once for each all the same
layer = {"attn_q": matrix(d, d), "attn_k": matrix(kv, d), "attn_v": matrix(kv, d), "attn_output": matrix(d, d),
         "ffn_gate": matrix(ff, d), "ffn_up": matrix(ff, d), "ffn_down": matrix(d, ff)}
w.add_tensor("token_embd.weight", matrix(len(tokens), d), raw_dtype=q8)
w.add_tensor("output_norm.weight", one)
for i in range(layers):
    for name, x in layer.items():
        w.add_tensor(f"blk.{i}.{name}.weight", x, raw_dtype=q8)
    w.add_tensor(f"blk.{i}.attn_norm.weight", one)
    w.add_tensor(f"blk.{i}.ffn_norm.weight", one)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
