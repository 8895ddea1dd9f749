/* What gcc's C++ library for glibc asks of it and musl has not got: enough for a program of one
 * thread that throws nothing across musl's own code. */
#include <stddef.h>

void* __dso_handle = NULL;

/* Atomic counters may be plain ones. */
char __libc_single_threaded = 1;

/* Not found: the unwinder looks among the program's headers then. */
int _dl_find_object(void* address, void* result) {
  (void)address;
  (void)result;
  return -1;
}
