/* The model as a file of the image's file system, mapped and never copied. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"

const void* image_model(const char* path, size_t* bytes) {
  struct stat status;
  const int file = path != NULL ? open(path, O_RDONLY) : -1;
  if (file < 0) return NULL;
  void* model = MAP_FAILED;
  if (fstat(file, &status) == 0 && status.st_size > 0) {
    *bytes = (size_t)status.st_size;
    model = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, file, 0);
  }
  close(file);
  return model == MAP_FAILED ? NULL : model;
}
