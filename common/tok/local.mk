common_libcommon_a_SOURCES += %D%/tok.h %D%/tok_impl.h %D%/tok.c %D%/tok_vocab.c %D%/tok_gguf.c %D%/tok_put.c %D%/tok_json.c %D%/tok_json_parts.c\
	%D%/tok_json_impl.h %D%/tok_tiktoken.c %D%/tok_enc.c %D%/tok_bpe.c \
	%D%/tok_wpm.c %D%/tok_ugm.c %D%/tok_norm.c %D%/tok_special.c %D%/tok_cut.c %D%/pretok_impl.h %D%/pretok.c %D%/pretok_scan_impl.h %D%/pretok_scan.c \
	%D%/unicode_impl.h %D%/unicode.c %D%/unicode_props.c %D%/unicode_canon.c %D%/unicode_compat.c

check_PROGRAMS += %D%/tok_test
common_tok_tok_test_SOURCES = %D%/tok_test.c
common_tok_tok_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/tok_test

# templates
common_libcommon_a_SOURCES += %D%/jinja_impl.h %D%/jinja_lex.c %D%/jinja_parse.c %D%/jinja_val.c %D%/jinja_op.c \
	%D%/jinja_text.c %D%/jinja_filter.c %D%/jinja_method.c %D%/jinja_eval.c %D%/jinja_tmpl.c
check_PROGRAMS += %D%/jinja_test
common_tok_jinja_test_SOURCES = %D%/jinja_test.c
common_tok_jinja_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/jinja_test
check_PROGRAMS += %D%/unicode_test
common_tok_unicode_test_SOURCES = %D%/unicode_test.c
common_tok_unicode_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/unicode_test
