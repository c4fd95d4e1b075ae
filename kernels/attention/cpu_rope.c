#include "kernels/attention/cpu_rope.h"

static int64_t longest_axis(const lt_rope *rope, int64_t dim) {
    int t, h, w;
    lt_rope_split((int)dim, &t, &h, &w);
    int64_t frames = (int64_t)rope->frames * t, rows = (int64_t)rope->height * h,
            columns = (int64_t)rope->width * w;
    int64_t longest = frames > rows ? frames : rows;
    return (longest > columns ? longest : columns) / 2;
}

/* The float64 values of one axis lie behind the tables. */
static int64_t table_floats(const lt_rope *rope, const lt_attn_shape *shape) {
    return (shape->blocks * rope->frames + rope->height + rope->width) * 2 * lt_pad16(shape->dim);
}

size_t lt_angles_bytes(const lt_rope *rope, const lt_attn_shape *shape) {
    size_t bytes = (size_t)table_floats(rope, shape) * sizeof(float) +
                   (size_t)(2 * longest_axis(rope, shape->dim)) * sizeof(double);
    return (bytes + LT_ARENA_ALIGN - 1) / LT_ARENA_ALIGN * LT_ARENA_ALIGN;
}

/* Rows for positions first, first + 1, ...; the axis owns channels [channel, channel + part). `exact` is scratch. */
static void fill_axis(int64_t first, int count, int channel, int part, double theta, int64_t padded,
                      double *exact, float *out) {
    double *cosine = exact, *sine = exact + (int64_t)count * (part / 2);
    lt_rope_axis(first, count, part, theta, cosine, sine);
    memset(out, 0, (size_t)(count * 2 * padded) * sizeof *out);
    for (int p = 0; p < count; p++) {
        float *c = out + 2 * p * padded + channel, *s = c + padded;
        for (int i = 0; i < part / 2; i++) {
            c[2 * i] = c[2 * i + 1] = (float)cosine[(int64_t)p * (part / 2) + i];
            s[2 * i + 1] = (float)sine[(int64_t)p * (part / 2) + i];
            s[2 * i] = -s[2 * i + 1];
        }
    }
}

lt_angles lt_angles_build(const lt_rope *rope, const lt_attn_shape *shape, void *memory) {
    int t, h, w;
    lt_rope_split((int)shape->dim, &t, &h, &w);
    int64_t padded = lt_pad16(shape->dim);
    float *frame = memory;
    double *exact = (double *)(frame + table_floats(rope, shape));
    float *row = frame + shape->blocks * rope->frames * 2 * padded, *column = row + rope->height * 2 * padded;
    for (int64_t g = 0; g < shape->blocks; g++) {
        float *out = frame + g * rope->frames * 2 * padded;
        bool again = g > 0 && (!rope->first_frame || rope->first_frame[g] == rope->first_frame[g - 1]);
        size_t bytes = (size_t)(rope->frames * 2 * padded) * sizeof *out;
        if (again) memcpy(out, out - rope->frames * 2 * padded, bytes);
        else
            fill_axis(rope->first_frame ? rope->first_frame[g] : 0, rope->frames, 0, t, rope->theta, padded,
                      exact, out);
    }
    fill_axis(0, rope->height, t, h, rope->theta, padded, exact, row);
    fill_axis(0, rope->width, t + h, w, rope->theta, padded, exact, column);
    return (lt_angles){rope, padded, frame, row, column};
}

static void enter_row(lt_walk *walk) {
    const lt_angles *angles = walk->angles;
    int64_t width = 2 * angles->padded;
    const float *frame = angles->frame + (walk->block * angles->rope->frames + walk->frame) * width;
    const float *row = angles->row + walk->row * width;
    for (int64_t c = 0; c < width; c++) walk->base[c] = frame[c] + row[c];
}

lt_walk lt_walk_begin(const lt_angles *angles, lt_segment_bounds bounds, int64_t block, float *base) {
    lt_walk walk = {angles, bounds, block, bounds.frame0, bounds.row0, bounds.column0, base};
    enter_row(&walk);
    return walk;
}

void lt_walk_to(lt_walk *walk, int64_t index) {
    const lt_segment_bounds *b = &walk->bounds;
    int columns = b->column1 - b->column0, rows = b->row1 - b->row0;
    walk->frame = b->frame0 + (int)(index / ((int64_t)rows * columns));
    walk->row = b->row0 + (int)(index / columns % rows);
    walk->column = b->column0 + (int)(index % columns);
    if (walk->frame < b->frame1) enter_row(walk);
}

void lt_walk_on(lt_walk *walk, int run) {
    walk->column += run;
    if (walk->column < walk->bounds.column1) return;
    walk->column = walk->bounds.column0;
    if (++walk->row == walk->bounds.row1) {
        walk->row = walk->bounds.row0;
        if (++walk->frame == walk->bounds.frame1) return; /* past the end of the segment */
    }
    enter_row(walk);
}
