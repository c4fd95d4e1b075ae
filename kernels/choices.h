/* Which algorithm runs a large GEMM, where measuring decided it: a table per open device, which a run keeps as
 * algorithms.json and reads again, so that it goes on with the same bits (DESIGN section 5). kernels/cuda_blas.cu fills
 * it; on other devices it stays empty. Call these between the device's ops, in the thread that runs them.
 */
#ifndef LT_KERNELS_CHOICES_H
#define LT_KERNELS_CHOICES_H

#include "core/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `key` is all that a choice depends on; `algorithm` means something to one version of the library on one GPU. */
enum { LT_CHOICE_KEY = 14, LT_CHOICE_WORDS = 8 };
typedef struct lt_choice {
    int64_t key[LT_CHOICE_KEY];
    uint64_t algorithm[LT_CHOICE_WORDS];
    double first, taken; /* microseconds of the library's own first choice and of this one; 0: not measured */
} lt_choice;

/* How many choices the device holds: made or read. */
int lt_choices_count(const lt_device *device);
/* In the order of their first use; valid until the next change. */
const lt_choice *lt_choices_at(const lt_device *device, int index);
const lt_choice *lt_choices_find(const lt_device *device, const int64_t key[LT_CHOICE_KEY]); /* or NULL */
/* Adds it, or replaces the one of its key. Without memory for it the GEMM is measured again. */
void lt_choices_put(lt_device *device, const lt_choice *choice);
/* Forgets all. */
void lt_choices_clear(lt_device *device);
/* Changes when choices were read or cleared: what was looked up before must be looked up again. Never 0. */
int lt_choices_epoch(const lt_device *device);

/* All choices as JSON; the caller frees it. */
lt_status lt_choices_text(const lt_device *device, char **text, size_t *size);
/* Adds those of such a text. LT_INPUT, and nothing is added, when it is damaged or comes from another GPU or version;
 * the message begins with `name`. */
lt_status lt_choices_parse(lt_device *device, const char *text, size_t size, const char *name);

#define LT_CHOICES_NAME "algorithms.json" /* in the folder of a run */
/* Writes the file, or none where there are no choices. */
lt_status lt_choices_save(const lt_device *device, const char *path);
/* Adds those of the file, if it is there. What cannot be used is left out with a warning: GEMMs are measured anew
 * then. */
void lt_choices_load(lt_device *device, const char *path);

#ifdef __cplusplus
}
#endif
#endif
