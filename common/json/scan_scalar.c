/* The scanner without vectors: what every other one is tested against. */
#include "config.h"
#include "json/json_impl.h"

#define SCAN(name) name##_scalar
#define SCAN_NAME "scalar"
#define SCAN_TARGET
#define SCAN_WIDTH 1
#include "json/scan_body.h"
