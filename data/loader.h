/* Training batches from a dataset: windows of consecutive frames, shuffled, read ahead by a thread.
 *
 *     lt_loader_spec spec = {.role = "train", .domains = names, .domain_count = 2, .frames = 48, .batch = 8,
 *                            .ranks = 1, .align = 8, .seed = 7};
 *     LT_TRY(lt_loader_open(set, &spec, step, &loader));
 *     LT_TRY(lt_loader_next(loader, &batch));        batch->step == step, then step + 1, ...
 *     lt_loader_close(loader);
 *
 * The batch of a step is a pure function of the clips, the spec and the step: to resume, open at that step.
 * Position p = step * batch + k is place p mod N of the permutation number p / N (the epoch) of the N clips
 * that qualify, so each epoch holds every clip once. Rank r of R takes positions r * batch / R .. (r + 1) *
 * batch / R - 1 of every batch: together R ranks see exactly what one rank sees.
 */
#ifndef LT_DATA_LOADER_H
#define LT_DATA_LOADER_H

#include "data/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_loader lt_loader;

/* Which clips of a dataset: NULL and 0 mean any. */
typedef struct lt_clip_filter {
    const char *role;
    const char *const *domains;
    int domain_count;
    int64_t min_frames;
} lt_clip_filter;

/* Indices of the clips that qualify, ascending; the caller frees them. LT_INPUT when there are none, or none
 * of a domain that was named; the message says what the file holds. */
lt_status lt_select_clips(const lt_dataset *set, const lt_clip_filter *filter, int64_t **out, int64_t *count);

typedef struct lt_loader_spec {
    const char *role;
    const char *const *domains;
    int domain_count; /* 0: all */
    int64_t frames;   /* per window; shorter clips are left out */
    int64_t align;    /* windows begin at multiples of this frame number; 0 counts as 1 */
    /* 0: frames are read. Else that many rows of /latents per window in their place, from row first frame / align */
    int64_t rows;
    int batch;       /* clips per step over all ranks; a multiple of `ranks` */
    int rank, ranks; /* 0 <= rank < ranks */
    int ahead;       /* batches read ahead, 1 to 64; 0: 2 */
    uint64_t seed;
} lt_loader_spec;

typedef struct lt_sample {
    int64_t clip;        /* index in the dataset */
    int64_t first_frame; /* of the window, counted from the clip's start */
    int64_t epoch;
    const lt_clip *row; /* caption, domain, cuts (data/shots.h); the dataset's, see lt_dataset_clip */
} lt_sample;

typedef struct lt_batch {
    int64_t step;
    int count; /* clips of this rank: batch / ranks */
    int64_t frames;
    int height, width;
    const uint8_t *rgb;       /* [count, frames, height, width, 3]; NULL where latents are read */
    const uint16_t *latents;  /* [count, rows, ...] half bits as the file has them; else NULL */
    const lt_sample *samples; /* [count] */
} lt_batch;

/* Opens a loader whose first batch is that of `step`. The dataset must stay open and must not be appended to.
 * LT_USAGE for a bad spec, LT_INPUT when no clip qualifies. */
lt_status lt_loader_open(lt_dataset *set, const lt_loader_spec *spec, int64_t step, lt_loader **out);
/* Stops reading ahead (waits for at most one clip) and frees everything. NULL is fine. */
void lt_loader_close(lt_loader *loader);

/* The next batch, valid until the next call. A failure to read names the clip and comes at the step it
 * belongs to; the loader then stays at that step and repeats the failure. */
lt_status lt_loader_next(lt_loader *loader, const lt_batch **out);

/* What the batch of any step holds, without reading frames: samples[batch / ranks]. */
void lt_loader_plan(lt_loader *loader, int64_t step, lt_sample *samples);

/* Clips that qualify: positions per epoch. */
int64_t lt_loader_clips(const lt_loader *loader);
/* Seconds that lt_loader_next has waited for frames so far. */
double lt_loader_wait_seconds(const lt_loader *loader);

#ifdef __cplusplus
}
#endif
#endif
