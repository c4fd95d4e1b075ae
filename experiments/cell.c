#include "experiments/cell.h"

#include "core/io.h"
#include "data/h5.h"

#include <stdlib.h>
#include <string.h>

static const lt_h5_field fields[] = {{"clip", LT_H5_I64, offsetof(lt_cell_sample, clip), 1},
                                     {"order", LT_H5_I32, offsetof(lt_cell_sample, order), 1},
                                     {"block", LT_H5_I32, offsetof(lt_cell_sample, block), 1},
                                     {"bin", LT_H5_I32, offsetof(lt_cell_sample, bin), 1},
                                     {"draw", LT_H5_I32, offsetof(lt_cell_sample, draw), 1},
                                     {"t", LT_H5_F32, offsetof(lt_cell_sample, t), 1},
                                     {"loss", LT_H5_F32, offsetof(lt_cell_sample, loss), 1},
                                     {"gaussian", LT_H5_F32, offsetof(lt_cell_sample, gaussian), 1},
                                     {"evicting", LT_H5_I32, offsetof(lt_cell_sample, evicting), 1},
                                     {NULL}};

static const char array[] = "/samples";

uint64_t lt_cell_hash(uint64_t weights, const lt_dataset *data, const lt_eval_set *set,
                      const lt_variant *variant) {
    const lt_eval_options *o = &set->options;
    const uint64_t numbers[] = {weights,
                                lt_dataset_hash(data),
                                (uint64_t)o->clips,
                                (uint64_t)o->blocks,
                                (uint64_t)o->draws,
                                (uint64_t)o->batch,
                                o->seed,
                                (uint64_t)variant->spec.budget};
    uint64_t hash = lt_hash(numbers, sizeof numbers, LT_HASH_SEED);
    hash = lt_hash(set->domain, strlen(set->domain) + 1, hash);
    hash = lt_hash(o->role, strlen(o->role) + 1, hash);
    if (o->latents == LT_LATENTS_STORED) hash = lt_hash("latents", sizeof "latents", hash);
    return lt_hash(variant->text, strlen(variant->text) + 1, hash);
}

typedef struct collector {
    lt_cell *cell;
    int64_t room;
} collector;

_Static_assert(sizeof(lt_cell_sample) == 8 + 8 * 4, "no padding: it would be part of a checksum");

static lt_status collect_sample(const lt_eval_sample *s, void *user) {
    collector *c = user;
    if (c->cell->count == c->room) {
        int64_t room = c->room ? 2 * c->room : 4096;
        void *grown = realloc(c->cell->samples, (size_t)room * sizeof *c->cell->samples);
        LT_CHECK(grown, LT_FAILED, "out of memory for %lld losses", (long long)room);
        c->cell->samples = grown, c->room = room;
    }
    c->cell->samples[c->cell->count++] = (lt_cell_sample){.clip = s->clip,
                                                          .order = (int32_t)s->order,
                                                          .block = s->block,
                                                          .bin = s->bin,
                                                          .draw = s->draw,
                                                          .t = (float)s->t,
                                                          .loss = (float)s->loss,
                                                          .gaussian = (float)s->gaussian,
                                                          .evicting = s->evicting};
    return LT_OK;
}

lt_status lt_cell_evaluate(lt_model *model, lt_dataset *data, const lt_eval_set *set,
                           const lt_variant *variant, lt_cell *out) {
    collector c = {.cell = out};
    double start = lt_seconds();
    *out = (lt_cell){0};
    lt_status status = lt_evaluate(model, data, &set->options, &variant->spec, 1, collect_sample, &c);
    out->seconds = lt_seconds() - start;
    if (status != LT_OK) lt_cell_free(out);
    return status;
}

void lt_cell_free(lt_cell *cell) {
    free(cell->samples);
    *cell = (lt_cell){0};
}

static lt_status write_cell(lt_h5 *h5, const lt_cell *cell) {
    lt_h5_layout layout = {.type = LT_H5_RECORD,
                           .fields = fields,
                           .record_bytes = sizeof(lt_cell_sample),
                           .ndim = 1,
                           .chunk_rows = 4096,
                           .sums = true};
    int id;
    LT_TRY(lt_h5_add(h5, array, &layout, &id));
    LT_TRY(lt_h5_write(h5, id, 0, cell->count, cell->samples));
    LT_TRY(lt_h5_set_float(h5, "/", "seconds", cell->seconds));
    LT_TRY(lt_h5_set_int(h5, "/", "samples", cell->count));
    return lt_h5_commit(h5);
}

lt_status lt_cell_save(const char *path, const lt_cell *cell) {
    lt_h5 *h5;
    LT_TRY(lt_remove_tree(path)); /* a damaged one */
    LT_TRY(lt_h5_create(path, &h5));
    lt_status status = write_cell(h5, cell);
    lt_h5_close(h5);
    if (status != LT_OK) (void)lt_remove_tree(path);
    return status;
}

static lt_status read_cell(lt_h5 *h5, lt_cell *out) {
    lt_h5_layout layout = {
        .type = LT_H5_RECORD, .fields = fields, .record_bytes = sizeof(lt_cell_sample), .ndim = 1};
    int64_t promised;
    int id;
    layout.sums = lt_h5_has(h5, "/samples_sum"); /* older builds had none */
    LT_TRY(lt_h5_get_int(h5, "/", "samples", &promised));
    LT_TRY(lt_h5_get_float(h5, "/", "seconds", &out->seconds));
    LT_TRY(lt_h5_bind(h5, array, &layout, &id));
    out->count = lt_h5_rows(h5, id);
    LT_CHECK(out->count == promised && promised > 0, LT_INPUT, "%s: %lld losses, expected %lld",
             lt_h5_path(h5), (long long)out->count, (long long)promised);
    out->samples = malloc((size_t)out->count * sizeof *out->samples);
    LT_CHECK(out->samples, LT_FAILED, "out of memory for %lld losses", (long long)out->count);
    return lt_h5_read(h5, id, 0, out->count, out->samples);
}

lt_status lt_cell_load(const char *path, lt_cell *out) {
    lt_h5 *h5;
    *out = (lt_cell){0};
    LT_TRY(lt_h5_open(path, false, &h5));
    lt_status status = read_cell(h5, out);
    lt_h5_close(h5);
    if (status != LT_OK) lt_cell_free(out);
    return status;
}
