/* What gcc's C++ library for glibc asks of it and musl has not got: enough for a program of one
 * thread that throws nothing across musl's own code. */
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void* __dso_handle = NULL;

/* Atomic counters may be plain ones. */
char __libc_single_threaded = 1;

/* Not found: the unwinder looks among the program's headers then. */
int _dl_find_object(void* address, void* result) {
  (void)address;
  (void)result;
  return -1;
}

/* musl's offsets have 64 bits anyway; since 1.2.4 it links no other names for that. */
FILE* fopen64(const char* path, const char* mode) {
  return fopen(path, mode);
}
int fstat64(int file, struct stat* status) {
  return fstat(file, status);
}
off_t lseek64(int file, off_t offset, int from) {
  return lseek(file, offset, from);
}
