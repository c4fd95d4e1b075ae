/* What the cache did, block by block, as a JSON file: `generate --stats`.
 *
 *     {"policy": "...", "budget": 3, "layers": 4, "heads": 4, "slot_bytes": ..., "tail_bytes": ...,
 *      "blocks": [{"block": 0, "given": false, "seconds": ..., "bytes": ..., "cache": [
 *          {"layer": 0, "entries": [{"id", "first_frame", "last_frame", "merges", "motion", "read_mass", "score",
 *                                    "weights": [per head]}], "victims": [ids]}]}]}
 *
 * `entries` are those present at the commit, before the decision, the newest last; `read_mass` is the mean share of
 * attention over the commit passes that read the entry, `score` what the policy gave it, `weights` how this block's
 * commit pass weighed it (absent for the newest, which it did not read). Sequence 0 only. Blocks are written as they
 * come, so memory does not grow; the file takes its name at the end.
 */
#ifndef LT_INFER_BLOCK_STATS_H
#define LT_INFER_BLOCK_STATS_H

#include "infer/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_block_stats lt_block_stats;

/* Starts the file aside (core/output.h). `observer` goes into the options of the stream that is opened next. */
lt_status lt_block_stats_open(const char *path, lt_block_stats **out, lt_cache_observer *observer);
/* Writes the head once the stream is open: before its first block. */
lt_status lt_block_stats_begin(lt_block_stats *stats, const lt_model *model, const lt_cache_spec *spec,
                               lt_video_stream *stream);
/* After each block that was committed; `given`: it was pushed. */
lt_status lt_block_stats_block(lt_block_stats *stats, bool given, double seconds, int64_t bytes);
/* Ends the file, which gets its name, and frees `stats`; with `keep` false it is removed. NULL is fine. */
lt_status lt_block_stats_close(lt_block_stats *stats, bool keep);
/* The same where not all blocks came: the file is kept under the name of a part (lt_output_leave). */
lt_status lt_block_stats_leave(lt_block_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
