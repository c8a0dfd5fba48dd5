/* store: see HACKING for its place. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/base.h"

#endif
