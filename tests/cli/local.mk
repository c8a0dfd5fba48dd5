# shell tests of whole tools: TESTS += and EXTRA_DIST +=
