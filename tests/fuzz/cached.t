#!/bin/sh
# Replays a kept answer, questions and inputs of Batch lines, and mutations of each.
d=$(mktemp -d "${TMPDIR:-/tmp}/llmu.XXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
here=$PWD
cd "$d" || exit 1
# a kept value: its key, eight empty strings, seven numbers, one answer of five strings, a vector, no scores
{
	printf '\0'
	head -c 32 /dev/zero
	i=0
	while [ $i -lt 8 ]; do
		printf '\0\0\0\0\0\0\0\0\0'
		i=$((i + 1))
	done
	head -c 56 /dev/zero
	printf '\1\0\0\0\0\0\0\0'
	printf '\2\0\0\0\0\0\0\0hi\0''\4\0\0\0\0\0\0\0stop\0''\0\0\0\0\0\0\0\0\0''\0\0\0\0\0\0\0\0\0''\0\0\0\0\0\0\0\0\0'
	printf '\1\0\0\0\0\0\0\0\0\0\200\77''\0\0\0\0\0\0\0\0'
} >value
printf '\1{"model":"m","messages":[{"role":"user","content":"a  \\u201cb\\u201d"}],"seed":9007199254740993,"x":1.50e3,"x":-0}' >question
printf '\2{"body":{"input":"A\\u00e9 \\n b","temperature":0.0},"b":[true,null,{"z":1,"a":2}]}' >folded
printf '\3["free",\t"software"]' >texts
printf '\3[[1,2],[3]]' >ids
cd "$here" || exit 1
"$top_builddir/tests/fuzz/cached_fuzz" -mutate 1500 "$d"
