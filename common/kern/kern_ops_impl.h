/* kern_ops_impl: the table of an ISA file, last of its includes. */
#define OPS_(name) kern_ops_##name
#define OPS(name) OPS_(name)
const struct kern_ops OPS(VEC_NAME) = {
	.mul = mul,
	.act_prepare = act_prepare,
	.rms_norm = rms_norm,
	.layer_norm = layer_norm,
	.add = add,
	.mul_add = mul_add,
	.scale = scale_by,
	.silu_mul = silu_mul,
	.gelu_mul = gelu_mul,
	.gelu_erf = gelu_erf,
	.gelu_tanh = gelu_tanh,
	.softcap = softcap,
	.max = max_of,
	.exp_sum = exp_sum,
	.rope = rope,
	.all_finite = all_finite,
	.attn = attn,
	.kv_store = kv_store,
	.dot = dot,
	.dots = dots,
	.dots_u8s8 = dots_u8s8,
	.peak = peak,
};
