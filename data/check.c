#include "data/dataset_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct check {
    lt_dataset *set;
    lt_check_report report;
    void *user;
    int64_t faults;
} check;

static void fault(check *c, const char *fmt, ...) LT_PRINTF(2, 3);
static void fault(check *c, const char *fmt, ...) {
    char line[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    c->faults++;
    if (c->report) c->report(line, c->user);
}

/* " (clips 3 to 4)": those that have frames among first .. last; "" when there are none. */
static const char *clips_of(const lt_dataset *set, int64_t first, int64_t last, char text[64]) {
    int64_t from = -1, to = -1;
    for (int64_t i = 0; i < set->clip_count; i++) {
        const lt_clip *clip = &set->clips[i];
        if (clip->first_frame > last || clip->first_frame + clip->frames <= first) continue;
        if (from < 0) from = i;
        to = i;
    }
    if (from < 0) text[0] = 0;
    else if (from == to) snprintf(text, 64, " (clip %lld)", (long long)from);
    else snprintf(text, 64, " (clips %lld to %lld)", (long long)from, (long long)to);
    return text;
}

/* Reads an array in runs of `piece` rows, which are whole chunks: every checksum is compared. */
static lt_status read_chunks(check *c, int id, int64_t row_bytes, int64_t piece, lt_check_progress progress) {
    int64_t rows = lt_h5_rows(c->set->h5, id);
    uint8_t *buffer = malloc((size_t)(piece * row_bytes));
    LT_CHECK(buffer, LT_FAILED, "%s: no memory for %lld bytes", lt_h5_path(c->set->h5),
             (long long)(piece * row_bytes));
    for (int64_t at = 0; at < rows; at += piece) {
        int64_t count = rows - at < piece ? rows - at : piece;
        if (lt_h5_read(c->set->h5, id, at, count, buffer) != LT_OK) {
            char clips[64] = "";
            if (id == c->set->frames) clips_of(c->set, at, at + count - 1, clips);
            fault(c, "%s%s", lt_error(), clips);
        }
        if (progress) progress(at + count, rows, c->user);
    }
    free(buffer);
    return LT_OK;
}

static int by_first_frame(const void *a, const void *b) {
    const lt_clip *x = *(const lt_clip *const *)a, *y = *(const lt_clip *const *)b;
    return (x->first_frame > y->first_frame) - (x->first_frame < y->first_frame);
}

static int by_group(const void *a, const void *b) {
    const lt_clip *x = *(const lt_clip *const *)a, *y = *(const lt_clip *const *)b;
    return strcmp(x->group, y->group);
}

/* Overlaps between neighbours in frame order; two roles between neighbours in group order. */
static lt_status check_clips(check *c) {
    const lt_dataset *set = c->set;
    int64_t count = set->clip_count;
    const lt_clip **order = malloc((size_t)count * sizeof *order + 1);
    LT_CHECK(order, LT_FAILED, "%s: no memory for %lld clips", lt_h5_path(set->h5), (long long)count);
    for (int64_t i = 0; i < count; i++) order[i] = &set->clips[i];
    qsort(order, (size_t)count, sizeof *order, by_first_frame);
    for (int64_t i = 1; i < count; i++)
        if (order[i - 1]->first_frame + order[i - 1]->frames > order[i]->first_frame)
            fault(c, "clips %lld and %lld share frames", (long long)(order[i - 1] - set->clips),
                  (long long)(order[i] - set->clips));
    qsort(order, (size_t)count, sizeof *order, by_group);
    for (int64_t i = 1; i < count; i++)
        if (by_group(&order[i - 1], &order[i]) == 0 && strcmp(order[i - 1]->role, order[i]->role) != 0)
            fault(c, "group \"%s\" has two roles: %s (clip %lld) and %s (clip %lld)", order[i]->group,
                  order[i - 1]->role, (long long)(order[i - 1] - set->clips), order[i]->role,
                  (long long)(order[i] - set->clips));
    for (int64_t i = 0; i < count; i++)
        if (set->clips[i].flags & LT_CLIP_HAS_FLOW && !set->spec.flow)
            fault(c, "clip %lld says it has true flow, but the file has no /flow", (long long)i);
    free(order);
    return LT_OK;
}

/* That the table and the checksums belong together. */
static void check_hashes(check *c) {
    for (int64_t i = 0; i < c->set->clip_count && c->set->version >= 2; i++) {
        uint64_t hash;
        if (lt_dataset_hash_frames(c->set, &c->set->clips[i], &hash) != LT_OK) fault(c, "%s", lt_error());
        else if (hash != c->set->clips[i].frames_hash)
            fault(c, "the checksums of clip %lld's frames are not those that it was added with",
                  (long long)i);
    }
}

static lt_status check_feature(check *c, lt_feature feature) {
    static const char *names[LT_FEATURE_COUNT] = {"/latents", "/text"};
    const lt_feature_state *state = &c->set->features[feature];
    if (!state->present) return LT_OK;
    int64_t all = lt_h5_rows(c->set->h5, state->values), clips = lt_h5_rows(c->set->h5, state->rows);
    if (clips > c->set->clip_count)
        fault(c, "%s_rows has %lld rows for %lld clips", names[feature], (long long)clips,
              (long long)c->set->clip_count);
    for (int64_t i = 0; i < clips; i++) {
        int64_t row[2];
        if (lt_h5_read(c->set->h5, state->rows, i, 1, row) != LT_OK) fault(c, "%s", lt_error());
        else if (row[0] < 0 || row[1] < 0 || row[1] > all || row[0] > all - row[1])
            fault(c, "%s of clip %lld lie outside the array", names[feature], (long long)i);
    }
    return read_chunks(c, state->values, 2 * state->row_values, 64, NULL);
}

static lt_status check_all(check *c, lt_check_progress progress) {
    lt_dataset *set = c->set;
    int64_t pixels = (int64_t)set->spec.width * set->spec.height;
    int64_t frames = lt_h5_rows(set->h5, set->frames);
    LT_TRY(check_clips(c));
    check_hashes(c);
    LT_TRY(read_chunks(c, set->frames, 3 * pixels, LT_DATASET_CHUNK, progress));
    if (set->spec.flow) {
        if (lt_h5_rows(set->h5, set->flow) != frames)
            fault(c, "/flow has %lld rows for %lld frames", (long long)lt_h5_rows(set->h5, set->flow),
                  (long long)frames);
        LT_TRY(read_chunks(c, set->flow, 4 * pixels, LT_DATASET_CHUNK, NULL));
    }
    for (int f = 0; f < LT_FEATURE_COUNT; f++) LT_TRY(check_feature(c, (lt_feature)f));
    return LT_OK;
}

lt_status lt_dataset_check(lt_dataset *set, lt_check_report report, lt_check_progress progress, void *user) {
    check c = {set, report, user, 0};
    lt_h5_set_thorough(set->h5, true);
    lt_status status = check_all(&c, progress);
    lt_h5_set_thorough(set->h5, false);
    LT_TRY(status);
    LT_CHECK(c.faults == 0, LT_INPUT, "%s: %lld %s", lt_h5_path(set->h5), (long long)c.faults,
             c.faults == 1 ? "fault" : "faults");
    return LT_OK;
}
