/* What all processes of an ablation have finished: one count, shown as one line. */
#include "core/cli.h"
#include "experiments/ablate_impl.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

enum { CELLS = LT_EVAL_SETS * LT_VARIANTS };

struct lt_finished {
    atomic_int count;
    atomic_bool cells[CELLS];
    int all;    /* cells that are wanted */
    bool ended; /* the last line was shown */
};

lt_status lt_finished_open(lt_finished **out) {
    void *shared = mmap(NULL, sizeof **out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *out = NULL;
    LT_CHECK(shared != MAP_FAILED, LT_FAILED, "out of memory for a count of cells: %s", strerror(errno));
    *out = shared; /* zeros */
    return LT_OK;
}

void lt_finished_close(lt_finished *f) {
    if (f) (void)munmap(f, sizeof *f);
}

static int cell_index_of(int set, int variant) { return set * LT_VARIANTS + variant; }

bool lt_finished_has(const lt_finished *f, int set, int variant) {
    return atomic_load(&f->cells[cell_index_of(set, variant)]);
}

void lt_finished_add(lt_finished *f, int set, int variant) {
    if (!atomic_exchange(&f->cells[cell_index_of(set, variant)], true)) atomic_fetch_add(&f->count, 1);
}

void lt_finished_expect(lt_finished *f, int cells) { f->all = cells; }

void lt_finished_show(lt_finished *f) {
    int done = atomic_load(&f->count);
    if (f->ended) return;
    f->ended = done == f->all;
    lt_progress("ablate", done, f->all, "cells");
}
