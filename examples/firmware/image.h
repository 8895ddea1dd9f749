/* What an image has in its own way, and firmware.c asks for. */
#ifndef NIBBLE_FIRMWARE_IMAGE_H
#define NIBBLE_FIRMWARE_IMAGE_H

#include <stddef.h>

/* The model's bytes, at the start of a page where they can be; NULL where there are none.
 * model_linked.c has them in the program, model_mapped.c maps the file `path`. */
const void* image_model(const char* path, size_t* bytes);

#endif
