# One archive holds the rooms; each kernel file that needs its own machine flags adds one more.
noinst_LIBRARIES += %D%/libcommon.a
common_libcommon_a_SOURCES =
LIBS_ISA =
LIBS_COMMON = common/libcommon.a $(LIBS_ISA) common/libcommon.a \
	$(ZSTD_LIBS) $(SQLITE_LIBS) $(NETTLE_LIBS) $(PCRE2_LIBS) -lm
EXTRA_DIST += %D%/LAYERS
include common/base/local.mk
include common/os/local.mk
include common/json/local.mk
include common/record/local.mk
include common/cli/local.mk
include common/gguf/local.mk
include common/kern/local.mk
include common/stats/local.mk
include common/tok/local.mk
include common/model/local.mk
include common/sample/local.mk
include common/store/local.mk
include common/net/local.mk
include common/price/local.mk
include common/metric/local.mk
include common/llm/local.mk
