/* nibble: statuses and errors. Part of rt/nibble.h, which includes it. */
#ifndef NBL_ERROR_H
#define NBL_ERROR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 0 is success. Low 8 bits: a code from rt/base/status.def; the rest: which op, tensor or call. */
typedef uint32_t nbl_status;

typedef struct nbl_error {
  nbl_status status;
  uint64_t value;
  uint64_t limit;
  char name[64];
} nbl_error;

/* Writes one clear sentence, zero-terminated and cut to text_bytes; returns its length. */
size_t nbl_error_text(const nbl_error* error, char* text, size_t text_bytes);

/* The name of a status's code: "context_full". Static storage. */
const char* nbl_status_name(nbl_status status);

typedef struct nbl_engine nbl_engine;

#ifdef __cplusplus
}
#endif

#endif /* NBL_ERROR_H */
