/* price: see HACKING for its place. */
#ifndef PRICE_PRICE_H
#define PRICE_PRICE_H

#include "base/base.h"

#endif
