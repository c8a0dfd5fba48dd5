/* pretok_scan: the scanners, to be named in the table of pretok.c. Private to tok. */
#ifndef TOK_PRETOK_SCAN_IMPL_H
#define TOK_PRETOK_SCAN_IMPL_H

#include "tok/pretok_impl.h"

pre_fn scan_gpt2, scan_llama3, scan_o200k, scan_deepseek3, scan_exaone_moe, scan_ranges, scan_blank_ranges,
	scan_blank_class, scan_newline, scan_line, scan_digits, scan_three, scan_falcon_punct, scan_last_blanks,
	scan_right_threes, scan_threes, scan_zero_threes, scan_bloom, scan_chameleon, scan_chameleon_blanks, scan_punct, scan_spaces,
	scan_not_blank, scan_words, scan_bert, scan_metaspace;

#endif
