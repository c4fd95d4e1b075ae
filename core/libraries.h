/* Versions of the libraries that this build uses, for records and `longtake version`. */
#ifndef LT_CORE_LIBRARIES_H
#define LT_CORE_LIBRARIES_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_library {
    const char *name;
    char version[128]; /* "": this build does without it */
} lt_library;

/* cJSON, OpenBLAS, CUDA, MPI, NCCL. Returns how many; `out` has space for 8. */
int lt_core_libraries(lt_library out[]);

#ifdef __cplusplus
}
#endif
#endif
