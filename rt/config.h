/* nibble: the options of an engine, and the memory that it takes. Part of rt/nibble.h, which
 * includes it. */
#ifndef NBL_CONFIG_H
#define NBL_CONFIG_H

#include <stddef.h>
#include <stdint.h>

/* A function pointer as vkGetInstanceProcAddr returns it; cast the loader's to this type. */
typedef void (*nbl_void_fn)(void);
typedef nbl_void_fn (*nbl_get_instance_proc_addr)(void* instance, const char* name);

/* Called with one line of text at a time, during nbl_open() only. */
typedef void (*nbl_log_fn)(void* user, const char* line);

/* Pipeline cache: load returns how many bytes it wrote to `data` (at most `size`; 0 = none), store
 * gets the bytes to keep. Both are called during nbl_open() only. */
typedef size_t (*nbl_cache_load_fn)(void* user, void* data, size_t size);
typedef void (*nbl_cache_store_fn)(void* user, const void* data, size_t size);

enum {
  NBL_LOGITS_NONE = 0, /* nothing is read back but token ids */
  NBL_LOGITS_LAST = 1, /* the logits of the last token of each evaluation can be read */
  NBL_LOGITS_ALL = 2   /* of every token */
};

enum {
  NBL_FLAG_FLOOR_KERNELS = 1u << 0, /* only kernels inside Vulkan 1.1's minimums */
  NBL_FLAG_TIMESTAMPS = 1u << 1,    /* GPU time of each dispatch: rt/timings.h */
  NBL_FLAG_VERIFY_HASHES = 1u << 2, /* check every weight segment's SHA-256 in nbl_open() */
  NBL_FLAG_NO_IMPORT = 1u << 3,     /* never import the model's memory, always copy */
  NBL_FLAG_REFUSE_DRIVER_ALLOCATIONS = 1u << 4, /* refuse driver host memory after nbl_open() */
  NBL_FLAG_STAGE_WEIGHTS = 1u << 5,   /* copy weights through the staging window even where the
                                         device memory can be written directly */
  NBL_FLAG_FLOAT32 = 1u << 7,         /* no matrix kernels, whose operands are rounded to f16 */
  NBL_FLAG_GPU_KERNELS = 1u << 6,     /* choose kernels as for a GPU on CPU implementations too:
                                         for tests */
  NBL_FLAG_TEXTURE_WEIGHTS = 1u << 8, /* read 4-bit weights from images wherever one can hold them;
                                         without it, where that is known to be fast */
  NBL_FLAG_BUFFER_WEIGHTS = 1u << 9,  /* never; wins over the one above, as NBL_FLAG_FLOOR_KERNELS
                                         does */
  NBL_FLAG_CHAIN = 1u << 10,   /* run the layers of a decode step in one dispatch wherever the model
                                  allows; without it, where work-groups run side by side for sure */
  NBL_FLAG_NO_CHAIN = 1u << 11 /* never; wins over the one above, as NBL_FLAG_FLOOR_KERNELS does */
};

/* What happens where the context has no room for the next token. */
enum {
  NBL_ON_FULL_ERROR = 0, /* the call fails with context_full */
  NBL_ON_FULL_STOP = 1,  /* nbl_generate() succeeds with *count = 0; nbl_evaluate() fails */
  /* The first sink_tokens positions stay, and the oldest quarter of the others is dropped, as often
   * as there is need. What follows moves up, its keys turned back as if it had always stood there:
   * keys of f16 and int8 caches are rounded once more by it, three times at most before they are
   * dropped. A prompt may be longer than the context. */
  NBL_ON_FULL_SLIDE = 2
};
#define NBL_NO_SINKS 0xffffffffu

/* Zero means "the default" in every field but the first three. */
typedef struct nbl_config {
  nbl_get_instance_proc_addr get_instance_proc_addr;
  const void* model; /* borrowed until nbl_close(); 64-byte aligned, page-aligned to be imported */
  size_t model_bytes;
  void* arena; /* 64-byte aligned; borrowed as the model is, or during nbl_memory_needed() */
  size_t arena_bytes;

  int32_t device; /* 1 + index in vkEnumeratePhysicalDevices order; 0 = first that fits,
                     GPUs before CPU implementations */
  uint32_t flags;
  uint32_t context;             /* positions; default and limit: the model's context length */
  uint32_t prefill_chunk;       /* tokens a prefill step takes; default: the model's */
  uint32_t max_burst;           /* decode steps a submit may hold; default 32 */
  uint32_t logits;              /* NBL_LOGITS_* */
  uint32_t driver_pool_bytes;   /* host memory set aside for the driver; default 8 MiB */
  uint32_t staging_bytes;       /* window for copying weights; default 4 MiB */
  uint32_t timeout_ms;          /* a submit that takes longer is an error; default 60000 */
  uint64_t device_memory_limit; /* bytes; 0 = none */

  nbl_log_fn log;
  nbl_cache_load_fn cache_load;
  nbl_cache_store_fn cache_store;
  void* user; /* handed to the three above */

  uint32_t on_full;     /* NBL_ON_FULL_* */
  uint32_t sink_tokens; /* NBL_ON_FULL_SLIDE: positions that stay; default 4, NBL_NO_SINKS: none */
} nbl_config;

/* What an engine takes, exactly. */
typedef struct nbl_memory {
  uint64_t host_bytes;        /* the arena, everything included */
  uint64_t driver_pool_bytes; /* the part of it set aside for the driver */
  uint64_t weight_bytes;      /* device memory */
  uint64_t kv_bytes;
  uint64_t activation_bytes;
  uint64_t io_bytes;
  uint64_t device_bytes;   /* all of the four above as allocated, rounding included */
  uint64_t staging_bytes;  /* given back at the end of nbl_open(), not part of device_bytes */
  uint64_t imported_bytes; /* weights read where the model lies: no device memory */
  uint64_t image_bytes;    /* the part of weight_bytes that is images */
} nbl_memory;

#endif /* NBL_CONFIG_H */
