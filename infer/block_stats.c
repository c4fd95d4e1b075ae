#include "infer/block_stats.h"

#include "core/json.h"
#include "core/output.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How the commit pass weighed the entries of one layer. */
typedef struct layer_weights {
    int count, room;
    double *values; /* [room, heads] */
} layer_weights;

struct lt_block_stats {
    char path[LT_PATH_MAX];
    lt_output *output;
    FILE *file;   /* its stream */
    FILE *layers; /* this block's layers, in memory, until the block is known to be committed */
    char *text;
    size_t size;
    const lt_ctx *ctx;
    int heads, layer_count;
    int64_t blocks;
    layer_weights *weights; /* [layer_count] */
    lt_status status;       /* first failure inside the observer, with its message */
    char message[256];
};

/* The heap's stream starts over with each block. */
static void clear_layers(lt_block_stats *s) { rewind(s->layers); }

static void fail(lt_block_stats *s) {
    if (s->status != LT_OK) return;
    s->status = LT_FAILED;
    snprintf(s->message, sizeof s->message, "%s", lt_error());
}

/* JSON has no word for what is not finite. */
static void put_number(FILE *to, double value) {
    if (isfinite(value)) fprintf(to, "%.9g", value);
    else fputs("null", to);
}

static lt_status make_room(const lt_block_stats *s, layer_weights *w, int count) {
    if (count <= w->room) return LT_OK;
    double *more = realloc(w->values, (size_t)count * (size_t)s->heads * sizeof *more);
    LT_CHECK(more, LT_FAILED, "%s: out of memory", s->path);
    w->values = more;
    w->room = count;
    return LT_OK;
}

/* Weights on the host as doubles, from float32 or float64. */
static lt_status fetch_weights(const lt_block_stats *s, layer_weights *w, const lt_read_event *event) {
    int64_t n = (int64_t)event->count * s->heads;
    w->count = event->count;
    LT_TRY(make_room(s, w, event->count));
    if (!event->weights) {
        for (int64_t i = 0; i < n; i++) w->values[i] = 1;
        return LT_OK;
    }
    const lt_tensor *t = &event->weights->value;
    LT_TRY(lt_tensor_to_host(s->ctx->device, s->ctx->stream, t, w->values));
    for (int64_t i = n - 1; t->dtype == LT_F32 && i >= 0; i--) {
        float narrow;
        memcpy(&narrow, (const char *)w->values + (size_t)i * sizeof narrow, sizeof narrow);
        w->values[i] = (double)narrow;
    }
    return LT_OK;
}

static void on_read(const lt_read_event *event, void *user) {
    lt_block_stats *s = user;
    if (event->sequence != 0 || event->t != 0 || !s->weights) return;
    if (fetch_weights(s, &s->weights[event->layer], event) != LT_OK) fail(s);
}

static void put_entry(const lt_block_stats *s, const lt_entry *e, int index, const layer_weights *w) {
    FILE *to = s->layers;
    fprintf(to,
            "%s{\"id\": %" PRId64 ", \"first_frame\": %" PRId64 ", \"last_frame\": %" PRId64
            ", \"merges\": %d",
            index ? ", " : "", e->id, e->first_frame, e->last_frame, e->merges);
    fputs(", \"motion\": ", to), put_number(to, (double)e->motion);
    fputs(", \"read_mass\": ", to), put_number(to, e->reads ? e->read_mass / e->reads : 0);
    fputs(", \"score\": ", to), put_number(to, (double)e->score);
    if (index < w->count) {
        fputs(", \"weights\": [", to);
        for (int h = 0; h < s->heads; h++) {
            if (h) fputs(", ", to);
            put_number(to, w->values[index * s->heads + h]);
        }
        fputc(']', to);
    }
    fputc('}', to);
}

static void on_commit(const lt_commit_event *event, void *user) {
    lt_block_stats *s = user;
    if (event->sequence != 0 || !s->weights) return;
    FILE *to = s->layers;
    layer_weights *weights = &s->weights[event->layer];
    fprintf(to, "%s\n   {\"layer\": %d, \"entries\": [", event->layer ? "," : "", event->layer);
    for (int i = 0; i < event->count; i++) put_entry(s, &event->present[i], i, weights);
    fputs("], \"victims\": [", to);
    for (int i = 0; i < event->victims; i++) fprintf(to, "%s%" PRId64, i ? ", " : "", event->victim_ids[i]);
    fputs("]}", to);
    weights->count = 0;
}

static lt_status check_file(const lt_block_stats *s) {
    LT_CHECK(!ferror(s->file), LT_FAILED, "%s: cannot write; is the disk full?", s->path);
    return LT_OK;
}

lt_status lt_block_stats_open(const char *path, lt_block_stats **out, lt_cache_observer *observer) {
    *out = NULL;
    lt_block_stats *s = calloc(1, sizeof *s);
    LT_CHECK(s, LT_FAILED, "%s: out of memory", path);
    snprintf(s->path, sizeof s->path, "%s", path);
    lt_status status = LT_OK;
    if (!(s->layers = open_memstream(&s->text, &s->size)))
        status = lt_fail(LT_FAILED, "%s: out of memory", path);
    else status = lt_output_open(path, &s->output);
    if (status != LT_OK) {
        lt_block_stats_close(s, false);
        return status;
    }
    s->file = lt_output_file(s->output);
    *observer = (lt_cache_observer){.on_commit = on_commit, .on_read = on_read, .user = s};
    *out = s;
    return LT_OK;
}

lt_status lt_block_stats_begin(lt_block_stats *s, const lt_model *model, const lt_cache_spec *spec,
                               lt_video_stream *stream) {
    char text[LT_SPEC_TEXT];
    lt_stream_memory memory = lt_video_stream_memory(stream);
    s->ctx = &lt_video_stream_session(stream)->ctx;
    s->heads = model->config.heads;
    s->layer_count = model->config.layers;
    s->weights = calloc((size_t)s->layer_count, sizeof *s->weights);
    LT_CHECK(s->weights, LT_FAILED, "%s: out of memory", s->path);
    fputs("{\"policy\": ", s->file);
    lt_json_write_string(s->file, lt_cache_spec_text(spec, text, sizeof text));
    fprintf(s->file,
            ", \"budget\": %d, \"layers\": %d, \"heads\": %d, \"slot_bytes\": %" PRId64
            ", \"tail_bytes\": %" PRId64 ",\n \"blocks\": [",
            spec->budget, s->layer_count, s->heads, memory.slots, memory.tails);
    return check_file(s);
}

lt_status lt_block_stats_block(lt_block_stats *s, bool given, double seconds, int64_t bytes) {
    LT_CHECK(s->status == LT_OK, s->status, "%s", s->message);
    LT_CHECK(fflush(s->layers) == 0, LT_FAILED, "%s: out of memory", s->path);
    fprintf(s->file,
            "%s\n  {\"block\": %" PRId64 ", \"given\": %s, \"seconds\": %.6f, \"bytes\": %" PRId64
            ", \"cache\": [",
            s->blocks ? "," : "", s->blocks, given ? "true" : "false", seconds, bytes);
    fwrite(s->text, 1, s->size, s->file);
    fputs("]}", s->file);
    clear_layers(s);
    s->blocks++;
    return check_file(s);
}

static void release(lt_block_stats *s) {
    if (s->layers) fclose(s->layers);
    free(s->text);
    for (int i = 0; s->weights && i < s->layer_count; i++) free(s->weights[i].values);
    free(s->weights);
    free(s);
}

lt_status lt_block_stats_close(lt_block_stats *s, bool keep) {
    if (!s) return LT_OK;
    if (s->file) fputs("]}\n", s->file);
    lt_status status = lt_output_close(s->output, keep);
    release(s);
    return status;
}

lt_status lt_block_stats_leave(lt_block_stats *s) {
    if (!s) return LT_OK;
    fputs("]}\n", s->file);
    lt_status status = lt_output_leave(s->output);
    release(s);
    return status;
}
