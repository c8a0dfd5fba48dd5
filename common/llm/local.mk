common_libcommon_a_SOURCES += %D%/llm.h %D%/registry.c %D%/pack_impl.h %D%/pack.c %D%/quantize.c %D%/feedback.c %D%/feedback_texts.inc \
	%D%/import_impl.h %D%/import.c %D%/import_arch.c %D%/import_keys.c %D%/import_st.c %D%/import_llama.c \
	%D%/import_qwen.c %D%/import_gemma.c %D%/import_gpt.c %D%/import_bert.c %D%/facts.c %D%/verify.c %D%/doctor.c
common_libcommon_a_SOURCES += %D%/llm.c %D%/gen_impl.h %D%/gen_text.c %D%/generate.c %D%/embed.c %D%/score.c \
	%D%/prompt.c %D%/params.c %D%/bench.c
common_libcommon_a_SOURCES += %D%/ask.h %D%/run.h %D%/run.c %D%/local.c %D%/local_vectors.c %D%/local_rank.c
common_libcommon_a_SOURCES += %D%/prompt_cache.h %D%/prompt_cache.c
common_libcommon_a_SOURCES += %D%/ask.h %D%/run.h %D%/run.c %D%/config_impl.h %D%/service.h %D%/service.c %D%/remote_impl.h %D%/request.c \
	%D%/reply.c %D%/remote.c %D%/local.c %D%/local_vectors.c
common_libcommon_a_SOURCES += %D%/batch.h %D%/batch.c %D%/batch_body.c \
	%D%/many.c %D%/cached.h %D%/cached_impl.h %D%/cached.c %D%/cached_key.c %D%/cached_pack.c
check_PROGRAMS += %D%/registry_test
%C%_registry_test_SOURCES = %D%/registry_test.c
%C%_registry_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/registry_test
check_PROGRAMS += %D%/import_test
%C%_import_test_SOURCES = %D%/import_test.c tests/import_folder.h
%C%_import_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/import_test
check_PROGRAMS += %D%/import_forms_test
%C%_import_forms_test_SOURCES = %D%/import_forms_test.c tests/import_folder.h
%C%_import_forms_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/import_forms_test
check_PROGRAMS += %D%/gen_test
%C%_gen_test_SOURCES = %D%/gen_test.c
%C%_gen_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/gen_test
check_PROGRAMS += %D%/cached_test
%C%_cached_test_SOURCES = %D%/cached_test.c
%C%_cached_test_LDADD = $(LIBS_COMMON)
TESTS += %D%/cached_test
