#!/bin/sh
# llm-model: what it shows, finds, refuses and makes.
. "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}/tests/lib.sh"
bert=$fixtures/tiny-bert.gguf
llama=$fixtures/tiny-llama.gguf
cd "$scratch" || exit 1

# field NAME: a number or string of the JSON line in $scratch/out
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p" "$scratch/out"; }

status 2 'a type that there is not' llm-model quantize a b --type none
is "$(sed -n 's/.*none of //p' "$scratch/err" | tr ' ' '|')" \
	"$(llm-model --completion bash | sed -n "s/.*--type).*-W '\([^']*\)'.*/\1/p" | tr ' ' '|')" 'completion knows each'
status 0 'show' llm-model show "$llama"
has "$scratch/out" '^architecture  llama, 2 layers' 'the architecture'
has "$scratch/out" "^sha256        $(sha256sum "$llama" | cut -c1-64)$" 'the digest is that of sha256sum'
status 0 'show --json' llm-model show --json "$bert"
is "$(field architecture) $(field layers) $(field pooling) $(field kv_bytes_per_token)" 'bert 2 mean 0' 'its members'
status 0 'show --tensors' llm-model show --tensors "$bert"
is "$(wc -l <"$scratch/out" | tr -d ' ')" 37 'a line a tensor'
has "$scratch/out" '^blk\.1\.ffn_up\.weight +F16 +48 x 96$' 'name, type, shape'
status 0 'show --keys --json' llm-model show --keys --json "$bert"
has "$scratch/out" '^\{"key":"bert.pooling_type","value":1\}$' 'a key as JSON'
has "$scratch/out" '^\{"key":"tokenizer.ggml.tokens","value":\["' 'an array whole'

status 5 'a file that is none' llm-model show "$top_srcdir/README"
has "$scratch/err" 'not a GGUF file' 'says so'
status 5 'a file that is not there' llm-model show ./none.gguf
has "$scratch/err" 'none.gguf: No such file' 'says so'
status 2 'no operand' llm-model show
status 2 'two operands' llm-model show a b
status 2 'no such verb' llm-model shwo a

status 0 'list of nothing' llm-model list
is "$(cat "$scratch/out")" '' 'is empty'
mkdir -p "$XDG_DATA_HOME/llm-utils/models"
cp "$bert" "$XDG_DATA_HOME/llm-utils/models/small.gguf"
status 0 'list' llm-model list --json
is "$(field name) $(field source) $(field bytes)" "small llm-utils $(wc -c <"$bert" | tr -d ' ')" 'a model by name'
status 0 'a name is found' llm-model digest small
has "$scratch/out" "^$(sha256sum "$bert" | cut -c1-64)  .*/small.gguf$" 'its digest'
status 5 'an unknown name' llm-model show smal
has "$scratch/err" 'no model is named "smal".*one of 1: small' 'and what there is'

status 0 'verify a good file' llm-model verify "$bert"
is "$(cat "$scratch/out")" "$bert: good" 'says so'
status 0 'verify --json' llm-model verify --json "$llama"
has "$scratch/out" '^\{"ok":true,"problems":0,"sha256":"[0-9a-f]{64}"\}$' 'as JSON'
cp "$bert" bad.gguf
size=$(wc -c <bad.gguf)
# the last tensor's last f32 becomes a NaN
llm-model show --tensors bad.gguf | tail -n 1 >last
printf '\377\377\377\177' | dd of=bad.gguf bs=1 seek=$((size - size % 32 - 32)) conv=notrunc 2>/dev/null
status 5 'a value that is not finite' llm-model verify bad.gguf
has "$scratch/err" 'tensor .* holds values that are not finite' 'the tensor is named'
head -c $((size / 2)) "$bert" >cut.gguf
status 5 'half a file' llm-model verify cut.gguf
has "$scratch/err" 'not whole' 'is not whole'
{ cat "$bert" && head -c 64 /dev/zero; } >long.gguf
status 5 'a file with more behind it' llm-model verify long.gguf
has "$scratch/err" '64 bytes behind the last tensor' 'says how much'
cp "$bert" sum.gguf
sha256sum sum.gguf >sum.gguf.sha256
status 0 'a digest recorded beside the file' llm-model verify ./sum.gguf
sed 's/^./x/; s/^x/0/; s/^0\(.\)/f\1/' sum.gguf.sha256 >t && mv t sum.gguf.sha256
status 5 'another digest' llm-model verify ./sum.gguf
has "$scratch/err" 'SHA-256 is [0-9a-f]+, .*sum.gguf.sha256 says f' 'both are shown'
status 5 '--sha256' llm-model verify "$bert" --sha256 0000
status 0 '--sha256 that fits' llm-model verify "$bert" --sha256 "$(sha256sum "$bert" | cut -c1-64)"

status 0 'quantize' llm-model quantize "$bert" q8.gguf --type q8_0
status 0 'what it made' llm-model show --json q8.gguf
has "$scratch/out" '"types":\{"F32":\{"tensors":23,.*"Q8_0"' 'norms stay, weights become Q8_0'
status 0 'is good' llm-model verify q8.gguf
status 0 'with one thread' llm-model -v quantize "$bert" q8b.gguf --type Q8_0 -t 1
has "$scratch/err" 'writing q8b.gguf as q8_0' '-v tells the steps'
cmp -s q8.gguf q8b.gguf
ok $? 'the same bytes'
status 0 'the same type again is a copy' llm-model quantize q8.gguf q8c.gguf --type q8_0
cmp -s q8.gguf q8c.gguf
ok $? 'byte for byte'
status 0 'weights rounded by what they meet' llm-model quantize "$bert" fit.gguf --type q8_0 --fit
status 0 'the same with one thread' llm-model quantize "$bert" fit1.gguf --type q8_0 --fit -t 1
cmp -s fit.gguf fit1.gguf && ! cmp -s fit.gguf q8.gguf
ok $? 'are the same on any number of threads, and others than the nearest'
has_key() { llm-model show --keys "$1" | grep -q '^llmu.fitted'; }
has_key fit.gguf && ! has_key q8.gguf && llm-model quantize -q fit.gguf fit2.gguf --type q8_0 && ! has_key fit2.gguf
ok $? 'the file says so, and one made of it does not'
status 2 'no fitting of other types' llm-model quantize "$bert" x.gguf --type q4_0 --fit
has "$scratch/err" 'fit is for encoders and q8_0' 'says for what it is'
status 2 'an unknown type' llm-model quantize "$bert" x.gguf --type q9
has "$scratch/err" 'none of f32 f16' 'the types are listed'
status 2 'no type' llm-model quantize "$bert" x.gguf
status 5 'quantizing what is quantized' llm-model quantize "$llama" x.gguf --type q8_0
has "$scratch/err" 'already; quantize from' 'says from what instead'
[ ! -e x.gguf ]
ok $? 'nothing is left behind'
status 5 'a folder that is not there' llm-model quantize "$bert" none/x.gguf --type q8_0

status 5 'import of no folder' llm-model import ./none -o x.gguf
status 5 'import of a file' llm-model import "$bert" -o x.gguf
has "$scratch/err" 'not a folder' 'says so'
status 2 'import to nowhere' llm-model import .
mkdir hf
status 5 'import of an empty folder' llm-model import hf -o x.gguf
has "$scratch/err" 'config.json' 'names what is missing'
echo '{"architectures":["FancyModel"]}' >hf/config.json
status 5 'import of the unknown' llm-model import hf -o x.gguf
has "$scratch/err" '"FancyModel" is not imported; known are LlamaForCausalLM' 'lists the known'
[ ! -e x.gguf ]
ok $? 'nothing is left behind'
status 5 'doctor without models' llm-model doctor
has "$scratch/out" '^ok   processor ' 'the processor is good'
has "$scratch/out" '^BAD  price book .*LLMU_DATADIR' 'and how to find the prices'
has "$scratch/out" '^BAD  decoder .*fetch-models|^BAD  decoder .*no model is set' 'says how to get one'
LLMU_MODEL_GENERATE=$llama LLMU_MODEL_EMBED=$bert
export LLMU_MODEL_GENERATE LLMU_MODEL_EMBED
status 0 'doctor with models and data' env LLMU_DATADIR="$top_srcdir/data" llm-model doctor --json -t 1
has "$scratch/out" '^\{"check":"generation","ok":true,"text":"[0-9.]+ tokens a second' 'tells the speed'
has "$scratch/out" '^\{"check":"embedding","ok":true' 'of both kinds'
# of_case NAME MEMBER: a number of the lines of that case
of_case() { sed -n "s/^{\"case\":\"$1\".*\"$2\":\([^,}]*\).*/\1/p" "$scratch/out" | tr '\n' ' '; }
status 0 'bench of a decoder' llm-model bench "$llama" --json -t 1 --runs 1 --prompt 40 --predict 8 --batch 3
is "$(sed 's/^{"case":"\([a-z]*\)".*/\1/' "$scratch/out" | tr '\n' ' ')" 'first machine kernels prefill decode batch memory ' 'its cases'
has "$scratch/out" '"types":\[\{"type":"F32","products":"f32","bytes":[0-9]+\},\{"type":"Q4_0","products":"int8","bytes":[0-9]+\},' 'which kernels ran'
is "$(of_case prefill tokens)$(of_case decode tokens)$(of_case batch tokens)$(of_case batch sequences)" '40 8 8 3 ' 'what was asked for'
share=$(of_case prefill share_of_peak)$(of_case decode share_of_peak)$(of_case batch share_of_peak)
echo "$share" | awk '{ exit !(NF == 3 && $1 > 0 && $1 < 1 && $2 > 0 && $2 < 1 && $3 > 0 && $3 < 1) }'
ok $? "shares of the peak are between 0 and 1: $share"
status 0 'bench without decoding' llm-model bench "$llama" -t 1 --runs 1 --predict 0
has "$scratch/out" '^prefill +1 x +512 tokens: +[0-9.]+ tokens/s, +[0-9.]+ % of peak$' 'as text'
is "$(grep -c '^decode' "$scratch/out")" 0 'no decoding'
status 2 'a prompt over the context' llm-model bench "$llama" --prompt 513 --runs 1
has "$scratch/err" '513 tokens are more than the context of tiny-llama, 512' 'says both'
status 0 'bench of an encoder' llm-model bench "$bert" --json -t 2 --runs 1
is "$(of_case embed tokens)$(of_case embed threads)" '32 256 2 2 ' 'short and long documents'
status 2 'no runs' llm-model bench "$llama" --runs 0
status 2 'too many at once' llm-model bench "$llama" --batch 1000
if [ -w /dev/full ]; then
	llm-model show "$bert" >/dev/full 2>"$scratch/err"
	is $? 4 'a full disk'
fi
done_testing
