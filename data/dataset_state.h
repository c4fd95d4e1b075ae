/* What an open dataset holds in memory. Private to data/dataset*.c and data/check.c. */
#ifndef LT_DATA_DATASET_STATE_H
#define LT_DATA_DATASET_STATE_H

#include "data/clip_index.h"
#include "data/dataset.h"
#include "data/h5.h"

#define LT_FEATURE_COUNT 2

typedef struct lt_feature_state {
    bool present;
    lt_feature_spec spec;
    int64_t row_values;
    int values, rows; /* array ids: the rows, and [clips, 2] (first row, rows) */
} lt_feature_state;

struct lt_dataset {
    lt_h5 *h5;
    int64_t version; /* of the schema; from 2 on there are checksums of content */
    lt_dataset_spec spec;
    int frames, table, flow; /* array ids */
    lt_clip *clips;
    int64_t clip_count, clip_capacity;
    lt_clip_index by_group, by_source;
    int64_t committed_clips; /* rows of the table in the file */
    int64_t frame_end;       /* frames that belong to clips */
    lt_feature_state features[LT_FEATURE_COUNT];
};

/* The table of clips: a record each. */
lt_h5_layout lt_clip_layout(int64_t version);
/* The hash of the checksums of a clip's frames. */
lt_status lt_dataset_hash_frames(lt_dataset *set, const lt_clip *clip, uint64_t *out);

/* Binds /latents and /text where the file has them. */
lt_status lt_dataset_features_open(lt_dataset *set);

/* A row's own fields are sound; LT_USAGE says which is not. */
lt_status lt_clip_check(const lt_clip *clip);

#endif
