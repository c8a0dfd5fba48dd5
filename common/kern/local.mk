common_libcommon_a_SOURCES += %D%/kern.h %D%/kern.c %D%/kern_blas.c %D%/kern_cpu.c \
	%D%/kern_impl.h %D%/kern_attn_impl.h %D%/kern_dot_impl.h %D%/kern_mul_impl.h %D%/kern_ops_impl.h \
	%D%/kern_row_impl.h %D%/kern_scan_impl.h %D%/kern_unpack_impl.h
# FMA happens where it is written and nowhere else: the sets agree to the bit.
KERN_CFLAGS = $(AM_CFLAGS) -ffp-contract=off -fno-trapping-math
noinst_LIBRARIES += %D%/libkern_scalar.a
%C%_libkern_scalar_a_SOURCES = %D%/kern_format.c %D%/kern_kquantize.c %D%/kern_quantize.c %D%/kern_scalar.c \
	%D%/kern_vec_scalar.h
%C%_libkern_scalar_a_CFLAGS = $(KERN_CFLAGS)
LIBS_ISA += %D%/libkern_scalar.a
EXTRA_DIST += %D%/kern_vec_avx2.h %D%/kern_vec_avx512.h %D%/kern_vec_neon.h
if X86_64
noinst_LIBRARIES += %D%/libkern_avx2.a %D%/libkern_avx512.a %D%/libkern_avx512bf16.a
%C%_libkern_avx2_a_SOURCES = %D%/kern_avx2.c
%C%_libkern_avx2_a_CFLAGS = $(KERN_CFLAGS) -mavx2 -mfma -mf16c
%C%_libkern_avx512_a_SOURCES = %D%/kern_avx512.c
KERN_AVX512 = -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mprefer-vector-width=512
%C%_libkern_avx512_a_CFLAGS = $(KERN_CFLAGS) $(KERN_AVX512)
%C%_libkern_avx512bf16_a_SOURCES = %D%/kern_avx512bf16.c
%C%_libkern_avx512bf16_a_CFLAGS = $(KERN_CFLAGS) $(KERN_AVX512) -mavx512bf16
LIBS_ISA += %D%/libkern_avx2.a %D%/libkern_avx512.a %D%/libkern_avx512bf16.a
endif
if AARCH64
noinst_LIBRARIES += %D%/libkern_neon.a %D%/libkern_i8mm.a
%C%_libkern_neon_a_SOURCES = %D%/kern_neon.c
%C%_libkern_neon_a_CFLAGS = $(KERN_CFLAGS) -march=armv8.2-a+dotprod
%C%_libkern_i8mm_a_SOURCES = %D%/kern_i8mm.c
%C%_libkern_i8mm_a_CFLAGS = $(KERN_CFLAGS) -march=armv8.2-a+dotprod+i8mm
LIBS_ISA += %D%/libkern_neon.a %D%/libkern_i8mm.a
endif
check_PROGRAMS += %D%/kern_test
TESTS += %D%/kern_test
%C%_kern_test_SOURCES = %D%/kern_test.c
%C%_kern_test_LDADD = $(LIBS_COMMON)
EXTRA_DIST += tests/fixtures/kern/kern.golden tests/fixtures/kern/make-kern.py
EXTRA_PROGRAMS += tests/bench/bench-kern
tests_bench_bench_kern_SOURCES = tests/bench/bench-kern.c
tests_bench_bench_kern_LDADD = $(LIBS_COMMON)
