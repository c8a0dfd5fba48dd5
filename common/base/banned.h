/* banned: functions that hide a bug: no bounds, no errors, hidden state or a locale. */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison atoi atol atoll atof strtok sprintf vsprintf strcpy strcat strncpy strncat \
	gmtime localtime ctime asctime mktemp tmpnam gets

#endif
