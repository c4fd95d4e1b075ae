#include "data/video_clock.h"

#include <math.h>
#include <stdlib.h>

#define SAME_RATE  1.002 /* 29.97 and 30, 23.976 and 24 count as one rate */
#define HOLE_STEPS 3.5
#define HOLE_S     0.25
#define SLOW_S     1 /* longer steps do not excuse the next one */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The steps of the clock that go forward, in their order. */
static int64_t forward_steps(const double *stamps, int64_t count, double *steps) {
    int64_t found = 0;
    double last = NAN;
    for (int64_t i = 0; i < count; i++) {
        if (isnan(stamps[i])) continue;
        if (stamps[i] > last) steps[found++] = stamps[i] - last;
        last = stamps[i];
    }
    return found;
}

/* Most pictures within a second; stamps that go back start anew. */
static double burst_of(const double *stamps, int64_t count) {
    int64_t most = 0, first = 0;
    double last = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        if (isnan(stamps[i])) continue;
        if (stamps[i] < last) first = i;
        while (isnan(stamps[first]) || stamps[first] <= stamps[i] - 1) first++;
        if (i - first + 1 > most) most = i - first + 1;
        last = stamps[i];
    }
    return (double)most;
}

lt_status lt_pace_of(const double *stamps, int64_t count, double nominal, lt_pace *out) {
    double *steps = malloc((size_t)(count + 1) * sizeof *steps), sum = 0;
    LT_CHECK(steps, LT_FAILED, "out of memory for %lld time stamps", (long long)count);
    int64_t found = forward_steps(stamps, count, steps), kept = 0, stamped = 0;
    double rate = nominal > 0 ? nominal : 25;
    *out = (lt_pace){.pictures = count, .nominal = nominal, .mean = rate, .burst = rate, .step = 1 / rate};
    for (int64_t i = 0; i < count; i++) stamped += !isnan(stamps[i]);
    if (found > 0) {
        qsort(steps, (size_t)found, sizeof *steps, by_size);
        double middle = steps[found / 2], most = fmax(HOLE_S, HOLE_STEPS * middle);
        for (; kept < found && steps[kept] <= most; kept++) sum += steps[kept];
        out->mean = (double)kept / sum;
        out->step = middle;
        out->burst = burst_of(stamps, count);
    }
    /* Stamps on some of the pictures only, as MPEG program streams have them: their distances are not those of
     * pictures. */
    if (2 * stamped < count && nominal > 0) out->mean = out->burst = nominal, out->step = 1 / nominal;
    free(steps);
    return LT_OK;
}

void lt_clock_open(lt_clock *clock, const lt_pace *pace, double fps) {
    *clock = (lt_clock){.pace = *pace, .fps = fps};
    clock->every = fps <= 0 || (pace->mean <= SAME_RATE * fps && pace->burst <= 1.25 * fps + 1);
    clock->last.piece = -1;
}

static void start_piece(lt_clock *clock, lt_moment *at) {
    at->piece = clock->last.piece + 1;
    clock->piece_s = at->time_s;
    clock->in_piece = 0;
}

/* The longest step that still joins two pictures, beside a step of `other` seconds. */
static double longest_step(const lt_clock *clock, double other) {
    double usual = fmax(clock->pace.step, fmin(other, SLOW_S));
    if (clock->fps > 0) usual = fmax(usual, 1 / clock->fps);
    return fmax(HOLE_S, HOLE_STEPS * usual);
}

/* A step that is far longer than the one before; or far shorter, where a slow stretch ends. */
static bool is_hole(const lt_clock *clock, double step) {
    bool slow_ends = clock->in_piece > 1 && clock->last_step > longest_step(clock, step);
    return step > longest_step(clock, clock->last_step) || slow_ends;
}

lt_moment lt_clock_next(lt_clock *clock, double stamp, double duration, bool lost) {
    const lt_moment *last = &clock->last;
    double expected = last->time_s + clock->next;
    lt_moment at = {.piece = last->piece};
    if (clock->seen == 0) {
        clock->offset = isnan(stamp) ? 0 : stamp;
        start_piece(clock, &at);
    } else {
        at.time_s = isnan(stamp) ? expected : stamp - clock->offset;
        double step = at.time_s - last->time_s;
        bool restart = step<-1.5 * clock->pace.step, hole = step> 0 && is_hole(clock, step);
        if (restart) at.time_s = expected, clock->offset = stamp - expected;
        else if (step < 0) at.time_s = last->time_s;
        clock->last_step = at.time_s - last->time_s;
        clock->restarts += restart, clock->holes += hole;
        if (restart || hole || lost) start_piece(clock, &at);
    }
    double position = (at.time_s - clock->piece_s) * (clock->fps > 0 ? clock->fps : clock->pace.mean);
    at.slot = llround(position);
    at.off = fabs(position - (double)at.slot);
    clock->next = duration > 0 && duration < longest_step(clock, 0) ? duration : clock->pace.step;
    clock->seen++, clock->in_piece++;
    clock->last = at;
    return at;
}

double lt_clock_rate(const lt_clock *clock, const lt_moment *first, const lt_moment *last, int64_t pictures) {
    double steps = (double)(pictures - 1), span = last->time_s - first->time_s;
    double stated = clock->pace.nominal > 0 ? clock->pace.nominal : clock->pace.mean;
    if (!clock->every && last->slot - first->slot <= pictures - 1) return clock->fps;
    if (!clock->every) return clock->fps * steps / (double)(last->slot - first->slot);
    if (pictures < 2 || span <= 0)
        return clock->fps > 0 ? fmin(clock->pace.mean, clock->fps) : clock->pace.mean;
    return fabs(span - steps / stated) <= 0.5 / stated ? stated : steps / span;
}
