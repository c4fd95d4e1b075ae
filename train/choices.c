/* algorithms.json in the run folder: kernels/choices.h. */
#include "train/run_impl.h"

#include "core/io.h"
#include "core/log.h"
#include "kernels/choices.h"

#include <stdlib.h>

void lt_run_read_choices(const lt_run_options *o) {
    char path[LT_PATH_MAX];
    if (lt_path_join(path, o->out, LT_CHOICES_NAME) == LT_OK) lt_choices_load(o->device, path);
}

static lt_status broadcast(const training *run, char **text, size_t *size) {
    lt_comm *comm = run->options.comm;
    int64_t bytes = (int64_t)*size;
    LT_TRY(lt_comm_broadcast(comm, &bytes, sizeof bytes, 0));
    if (!run->lead) *text = malloc((size_t)bytes + 1), *size = (size_t)bytes;
    LT_TRY(lt_comm_agree(comm, *text ? LT_OK : lt_fail(LT_FAILED, "out of memory for %s", LT_CHOICES_NAME)));
    return lt_comm_broadcast(comm, *text, bytes, 0);
}

/* What rank 0 measured holds for all: the file, and a resumed run, know one choice a GEMM. A rank on another kind of
 * GPU keeps its own. */
static lt_status share(const training *run) {
    lt_device *device = run->options.device;
    char *text = NULL;
    size_t size = 0;
    lt_status status = run->lead ? lt_choices_text(device, &text, &size) : LT_OK;
    status = lt_comm_agree(run->options.comm, status);
    if (status == LT_OK) status = broadcast(run, &text, &size);
    if (status == LT_OK && !run->lead && lt_choices_parse(device, text, size, LT_CHOICES_NAME) != LT_OK)
        lt_warn("%s; a resumed run will measure anew there", lt_error());
    free(text);
    return status;
}

lt_status lt_run_keep_choices(training *run) {
    const lt_run_options *o = &run->options;
    int64_t count = lt_choices_count(o->device);
    char path[LT_PATH_MAX];
    bool several = o->comm && lt_comm_size(o->comm) > 1;
    if (several) LT_TRY(lt_comm_broadcast(o->comm, &count, sizeof count, 0));
    if (count == run->choices) return LT_OK;
    run->choices = count;
    if (several) LT_TRY(share(run));
    if (!run->lead) return LT_OK;
    LT_TRY(lt_path_join(path, o->out, LT_CHOICES_NAME));
    return lt_choices_save(o->device, path);
}
