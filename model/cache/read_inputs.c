/* What the read head is told of each entry that is no ghost: only they are scored, so that ghosts change no bit. */
#include "model/cache/cache_impl.h"

#include <math.h>

enum { COSINE, ENTRY_NORM, READER_NORM, AGE, MERGES, TIME, COUNT, SHARE };

/* A reader's dot products lie in this order: per entry, with itself and with each of the reader's own z; then all
 * pairs of those. */
void lt_read_inputs_ask(lt_read_rows *rows, lt_dots *dots) {
    const lt_reader *reader = rows->reader;
    int own = reader->own_count;
    rows->pair = dots->count;
    for (int i = 0; i < rows->list->count; i++) {
        const lt_entry *e = &rows->list->items[i];
        if (e->ghost) continue;
        lt_dots_pair(dots, e->z, e->z);
        for (int j = 0; j < own; j++) lt_dots_pair(dots, e->z, reader->own_z[j]->value);
    }
    for (int k = 0; k < own; k++)
        for (int j = 0; j <= k; j++) lt_dots_pair(dots, reader->own_z[j]->value, reader->own_z[k]->value);
}

/* The log of a norm per token; a floor for z = 0. */
static double log_norm(double square, double tokens) {
    return log(fmax(sqrt(square), 1e-6) / fmax(tokens, 1));
}

/* The square of the reader's z, which is the sum of its segments': a sum of dot products. */
static double square_of(int own, const double *pairs, int64_t H) {
    double square = 0;
    for (int j = 0; j < own; j++)
        for (int k = 0; k < own; k++) {
            int low = j < k ? j : k, high = j < k ? k : j;
            square += pairs[(high * (high + 1) / 2 + low) * H];
        }
    return square;
}

static void content_inputs(const lt_read_rows *rows, const double *dots, int64_t H, double *x) {
    int own = rows->reader->own_count, row = 0;
    const double *pairs = dots + (int64_t)rows->present * (1 + own) * H;
    for (int i = 0; i < rows->list->count; i++) {
        if (rows->list->items[i].ghost) continue;
        for (int64_t h = 0; h < H; h++, x += LT_READ_INPUTS) {
            const double *with = dots + (int64_t)row * (1 + own) * H + h;
            double entry = with[0], cross = 0, square = square_of(own, pairs + h, H);
            for (int j = 1; j <= own; j++) cross += with[j * H];
            x[COSINE] = entry > 0 && square > 0 ? cross / sqrt(entry * square) : 0;
            x[ENTRY_NORM] = log_norm(entry, rows->list->items[i].tokens);
            x[READER_NORM] = log_norm(square, rows->list->block_tokens);
        }
        row++;
    }
}

static void age_inputs(const lt_read_rows *rows, int64_t H, double *x) {
    const lt_entries *list = rows->list;
    double tokens = 0;
    for (int i = 0; i < list->count; i++) tokens += list->items[i].ghost ? 0 : list->items[i].tokens;
    for (int i = 0; i < list->count; i++) {
        const lt_entry *e = &list->items[i];
        double age = (double)(rows->reader->block - e->block);
        for (int64_t h = 0; h < H && !e->ghost; h++, x += LT_READ_INPUTS) {
            x[AGE] = log1p(fmax(age, 0));
            x[MERGES] = log1p(e->merges);
            x[TIME] = rows->reader->t;
            x[COUNT] = log(rows->present);
            x[SHARE] = e->tokens / fmax(tokens, 1);
        }
    }
}

void lt_read_inputs(const lt_read_rows *rows, const lt_dots *dots, int64_t H, double *x) {
    if (rows->mode == LT_READ_CONTENT) content_inputs(rows, lt_dots_of(dots, rows->pair), H, x);
    age_inputs(rows, H, x);
}
