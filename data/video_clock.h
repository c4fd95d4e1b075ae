/* When each picture of a source is shown, and which pictures are taken at the rate that is wanted. Time comes from each
 * picture's time stamp; a nominal rate only helps where stamps are missing.
 *
 *     lt_clock clock;
 *     lt_clock_open(&clock, &pace, fps);
 *     lt_clock_next(&clock, stamp, duration, lost)     for each picture, in the order in which they are shown
 *
 * A piece is a run of pictures that follow each other. A new one begins where the clock starts again (joined
 * recordings), where it jumps (a hole, or a picture that is held), and where pictures were lost. Within a piece the
 * pictures nearest to the points of a grid are taken; nothing is taken twice, so that a source that is slower keeps its
 * own rate.
 */
#ifndef LT_DATA_VIDEO_CLOCK_H
#define LT_DATA_VIDEO_CLOCK_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What all stamps of a source say together. */
typedef struct lt_pace {
    int64_t pictures;
    double nominal; /* pictures per second, as the file states it; 0: it does not */
    /* pictures per second, holes left out; the nominal rate where there are no stamps, else 25 */
    double mean;
    double burst; /* most pictures within one second */
    double step;  /* seconds from one picture to the next: the median */
} lt_pace;

/* From `count` stamps in seconds, NAN where there is none, in the order of the file. LT_FAILED: no memory. */
lt_status lt_pace_of(const double *stamps, int64_t count, double nominal, lt_pace *out);

typedef struct lt_moment {
    double time_s; /* since the first picture; goes on where the clock starts again */
    int64_t slot;  /* nearest point of the grid, counted from the piece's first picture */
    double off;    /* distance from it, in grid steps */
    int64_t piece;
} lt_moment;

typedef struct lt_clock {
    lt_pace pace;
    double fps;       /* of the grid; 0: none */
    bool every;       /* every picture is taken: the source is not faster than the grid */
    double offset;    /* stamp of time 0 */
    double piece_s;   /* time of the piece's first picture */
    double last_step; /* seconds */
    double next;      /* how far the next picture should be from the last */
    int64_t seen, in_piece, restarts, holes;
    lt_moment last;
} lt_clock;

/* `fps`: pictures per second at most; 0: all. */
void lt_clock_open(lt_clock *clock, const lt_pace *pace, double fps);

/* `stamp` NAN: none; `duration` 0: none; `lost`: pictures before this one are missing. */
lt_moment lt_clock_next(lt_clock *clock, double stamp, double duration, bool lost);

/* Rate of `pictures` taken from `first` to `last` of one piece: the grid's or the nominal one where it is that, else
 * what their times say. */
double lt_clock_rate(const lt_clock *clock, const lt_moment *first, const lt_moment *last, int64_t pictures);

#ifdef __cplusplus
}
#endif
#endif
