/* The model that `nibblec compile --emit-object` made and the linker put into the program. */
#include "image.h"

extern const unsigned char nibble_model[];
extern const size_t nibble_model_bytes;

const void* image_model(const char* path, size_t* bytes) {
  (void)path;
  *bytes = nibble_model_bytes;
  return nibble_model;
}
