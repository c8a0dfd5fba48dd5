/* os_impl: what the sources of this room share. */
#ifndef OS_OS_IMPL_H
#define OS_OS_IMPL_H

#include "os/os.h"

/* Readable once a stop signal has come; -1 before os_signals_init(). */
int os_stop_fd(void);

/* The map that holds addr, or NULL. Async-signal-safe. */
const char *os_map_path_at(const void *addr);

/* Temp files to remove when the process dies of a signal: a slot, or -1 when all are taken. */
int os_temp_add(const char *path);
void os_temp_drop(int slot);
/* Async-signal-safe. */
void os_temps_unlink(void);

/* Wait until fd is ready (POLLIN, POLLOUT); false when a stop signal came first. */
bool os_wait_fd(int fd, short events, bool heed_stop);

#endif
