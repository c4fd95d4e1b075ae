/* Video files into a dataset: each source is decoded, brought to the size and at most the rate of the dataset, split at
 * shot cuts and where its clock jumps or pictures are lost, measured, and committed as a whole. What a source was
 * turned into is permanent once the next one starts; running again skips it.
 */
#ifndef LT_DATA_INGEST_H
#define LT_DATA_INGEST_H

#include "data/dataset.h"
#include "data/roles.h"
#include "data/sources.h"
#include "data/video_reader.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_ingest_options {
    int64_t clip_frames;   /* longest clip; 0: any length */
    double clip_seconds;   /* the same in seconds; 0: any length */
    int64_t min_frames;    /* shorter clips are dropped */
    bool split_cuts;       /* start a new clip where a shot cut is found */
    bool strict;           /* the first bad source ends it all */
    int threads;           /* of the decoder; 0: as many as it likes */
    lt_role_shares shares; /* of groups that the dataset does not hold yet */
} lt_ingest_options;

/* One minute at most and 8 frames at least, cuts split, default shares. */
lt_ingest_options lt_ingest_defaults(void);

typedef enum lt_ingest_outcome { LT_INGEST_ADDED, LT_INGEST_KNOWN, LT_INGEST_BAD } lt_ingest_outcome;

/* What became of one source. */
typedef struct lt_ingest_result {
    lt_ingest_outcome outcome;
    const char *reason;    /* of LT_INGEST_BAD: a message that starts with the path */
    int64_t clips, frames; /* added */
    int64_t cuts;          /* found */
    int64_t dropped;       /* frames of pieces shorter than min_frames */
    int64_t repeated;      /* source frames that repeat their predecessor */
    lt_video_info video;   /* what was met in it */
} lt_ingest_result;

/* Hears about each source as it is done. */
typedef void (*lt_ingest_report)(const lt_source *source, const lt_ingest_result *result, int64_t done,
                                 int64_t total, void *user);

/* LT_INPUT: a bad source and options->strict, or no good source at all; LT_FAILED: the dataset cannot be written;
 * LT_INTERRUPTED: lt_interrupted() came true. Finished sources stay in every case. */
lt_status lt_ingest(lt_dataset *set, const lt_sources *sources, const lt_ingest_options *options,
                    lt_ingest_report report, void *user);

#ifdef __cplusplus
}
#endif
#endif
