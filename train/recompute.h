/* What the backward pass recomputes (model/dit/dit.h: lt_dit_keep), and choosing it by a budget of bytes.
 *
 * Each value of a layer saves a known time when it is kept, and takes known bytes. Values are kept in the order of
 * milliseconds saved per byte, layer after layer, as many as fit: each candidate is measured on a null device, so what
 * it takes is exact.
 */
#ifndef LT_TRAIN_RECOMPUTE_H
#define LT_TRAIN_RECOMPUTE_H

#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_recompute {
    bool automatic; /* `keep`, which is everything until then, is to be chosen: lt_recompute_choose */
    lt_dit_keep keep;
} lt_recompute;

/* From train.recompute: `json` is a const cJSON *. LT_USAGE says what was expected. */
lt_status lt_recompute_read(const void *json, int layers, lt_recompute *out);
/* The same from an option: "none", "all", "auto", or JSON. */
lt_status lt_recompute_parse(const char *text, int layers, lt_recompute *out);

/* "none", "all", or the object that lt_recompute_parse reads, so that a run can be repeated with it. */
enum { LT_RECOMPUTE_TEXT = 512 };
char *lt_recompute_text(const lt_dit_keep *keep, int layers, char text[LT_RECOMPUTE_TEXT]);

/* Peak bytes of a training step that keeps this much, measured on a null device; *plan is what it took. */
typedef lt_status (*lt_recompute_measure)(const lt_dit_keep *keep, lt_session_plan *plan, int64_t *peak,
                                          void *user);

typedef struct lt_recompute_choice {
    lt_dit_keep keep;
    int64_t peak, least, most; /* bytes of the choice, of keeping nothing and of keeping everything */
    double again_ms, all_ms;   /* estimated time of recomputing: by this choice, and when nothing is kept */
} lt_recompute_choice;

/* The most that fits into `limit` bytes. Where nothing does, LT_OK with peak = least > limit: the caller says what is
 * too large. `target`: whose rates count (0 where unknown: those of an ordinary processor). `passes`: steps that one
 * measurement takes. */
lt_status lt_recompute_choose(int layers, const lt_target *target, int64_t limit, double passes,
                              lt_recompute_measure measure, void *user, lt_recompute_choice *out);

#ifdef __cplusplus
}
#endif
#endif
