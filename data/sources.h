/* The video files that an ingest works through: named files, and the video files below named folders, in the order of
 * their names. Beside NAME.mp4, NAME.txt holds its caption and NAME.group the name of its group, both UTF-8 (a byte
 * order mark is left out).
 */
#ifndef LT_DATA_SOURCES_H
#define LT_DATA_SOURCES_H

#include "data/clip.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What one group is, where no sidecar says so: "source": each file; "folder": the files of a folder; "prefix:S": files
 * whose names agree up to the first S. */
typedef struct lt_grouping {
    enum { LT_GROUP_SOURCE, LT_GROUP_FOLDER, LT_GROUP_PREFIX } by;
    char separator[16];
} lt_grouping;

/* "source", "folder" or "prefix:S"; LT_USAGE otherwise. */
lt_status lt_grouping_parse(const char *text, lt_grouping *out);

typedef struct lt_source {
    char *path;
    char domain[32];
    char group[128];
    bool named;    /* on the command line: not found in a folder */
    char *problem; /* why it cannot be used, NULL: none known: a pipe, a folder that cannot be read, ... */
} lt_source;

typedef struct lt_sources {
    lt_source *items;
    int64_t count, capacity;
} lt_sources;

/* The endings of video files, in small letters without the dot; NULL after the last. */
const char *const *lt_source_endings(void);

/* LT_INPUT unless `path` is a regular file: a video is read twice, so pipes and devices, which may never end, are not
 * waited for. */
lt_status lt_source_check(const char *path);

/* Adds what NAME=PATH names. In folders, files without the ending of a video file and hidden ones are passed over, and
 * so are links that lead back to a folder they are in. What cannot be read there is added with its problem and costs
 * only itself. LT_USAGE: not NAME=PATH; LT_INPUT: the path cannot be read, or the folder holds no video file. */
lt_status lt_sources_add(lt_sources *sources, const char *domain_and_path, const lt_grouping *grouping);
void lt_sources_free(lt_sources *sources);

/* The caption beside a source, blanks at both ends and line ends inside removed; "" when there is none. LT_INPUT when
 * it cannot be read or is not UTF-8. *whole is false when it was longer than fits. */
lt_status lt_source_caption(const lt_source *source, char *out, size_t size, bool *whole);

/* 64-bit hash of the file's bytes. */
lt_status lt_source_hash(const lt_source *source, uint64_t *out);

#ifdef __cplusplus
}
#endif
#endif
