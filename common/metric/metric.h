/* metric: see HACKING for its place. */
#ifndef METRIC_METRIC_H
#define METRIC_METRIC_H

#include "base/base.h"

#endif
