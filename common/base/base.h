/*
 * base: what every room stands on. Links libc (and nettle for SHA-256) alone, prints nothing, never exits.
 *
 * Conventions of the tree, stated once:
 *  - A function that can fail returns 0 or -1 and fills a `struct err` that its caller owns; `err` is last.
 *    Output parameters come first and are named `out`.
 *  - Sizes in memory are size_t, counts and offsets of files uint64_t, token ids int32_t.
 *  - Everything that grows has a maximum.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "base/buf.h"
#include "base/arena.h"
#include "base/ckd.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/num.h"
#include "base/rng.h"
#include "base/tally.h"
#include "base/timeutil.h"
#include "base/topk.h"
#include "base/utf8.h"
#include "base/banned.h"

#endif
