#include "data/loader.h"

#include "core/io.h"
#include "core/rng.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_AHEAD = 64 };

/* One batch in the ring. Filled by the reader while `ready` is false, read by the owner while it is true. */
typedef struct place {
    lt_batch batch;
    lt_sample *samples;
    uint8_t *rgb;
    uint16_t *latents;
    bool ready;
    lt_status status;
    char message[1024];
} place;

struct lt_loader {
    lt_dataset *set;
    lt_loader_spec spec; /* role and domains are not kept */
    int64_t *clips, count;
    int64_t *order, order_epoch; /* permutation of the epoch last asked for */
    pthread_mutex_t order_lock;  /* lt_loader_plan and the reader both ask */
    place ring[MAX_AHEAD + 1];   /* one more than is read ahead: the one the owner holds */
    int places;
    int64_t first_step, next_step; /* next_step: of the next lt_loader_next */
    double waited;
    pthread_t reader;
    bool reader_runs, stop;
    pthread_mutex_t lock; /* ready, stop */
    pthread_cond_t changed;
};

static bool in_domains(const lt_clip_filter *filter, const char *domain) {
    if (filter->domain_count == 0) return true;
    for (int i = 0; i < filter->domain_count; i++)
        if (strcmp(filter->domains[i], domain) == 0) return true;
    return false;
}

static bool qualifies(const lt_clip_filter *filter, const lt_clip *clip) {
    return (!filter->role || strcmp(filter->role, clip->role) == 0) && in_domains(filter, clip->domain) &&
           clip->frames >= filter->min_frames;
}

/* "calm/train: 12 clips of up to 96 frames; ...", as far as it fits. */
static void describe_domains(const lt_dataset *set, char *text, size_t size) {
    int64_t total = lt_dataset_clip_count(set), first_of_kind = 0;
    size_t used = 0;
    snprintf(text, size, "no clips");
    for (; first_of_kind < total && used + 1 < size; first_of_kind++) {
        const lt_clip *kind = lt_dataset_clip(set, first_of_kind);
        int64_t clips = 0, longest = 0;
        bool seen = false;
        for (int64_t i = 0; i < total && !seen; i++) {
            const lt_clip *clip = lt_dataset_clip(set, i);
            if (strcmp(clip->domain, kind->domain) != 0 || strcmp(clip->role, kind->role) != 0) continue;
            seen = i < first_of_kind;
            clips++, longest = clip->frames > longest ? clip->frames : longest;
        }
        if (seen) continue;
        int n = snprintf(text + used, size - used, "%s%s/%s: %" PRId64 " clips of up to %" PRId64 " frames",
                         used ? "; " : "", kind->domain, kind->role, clips, longest);
        used += n > 0 ? (size_t)n : 0;
    }
}

/* What would help: another domain, shorter clips, or clips of that role. */
static void advise(const lt_dataset *set, const lt_clip_filter *filter, const char *domain, char *text,
                   size_t size) {
    int64_t total = lt_dataset_clip_count(set), of_domain = 0, longest = 0;
    bool any = strcmp(domain, "any") == 0;
    for (int64_t i = 0; i < total; i++) {
        const lt_clip *clip = lt_dataset_clip(set, i);
        if (!any && strcmp(clip->domain, domain) != 0) continue;
        of_domain++;
        bool role = !filter->role || strcmp(clip->role, filter->role) == 0;
        if (role && clip->frames > longest) longest = clip->frames;
    }
    if (of_domain == 0)
        snprintf(text, size, total ? "name a domain that it holds" : "ingest or scenes puts clips in");
    else if (longest > 0)
        snprintf(text, size, "the longest has %" PRId64 ": take fewer blocks, or longer clips", longest);
    else
        snprintf(text, size,
                 "new groups get it with --role %s=0.2 of ingest and scenes, all with --role %s=1",
                 filter->role, filter->role);
}

static lt_status none_found(const lt_dataset *set, const lt_clip_filter *filter, const char *domain) {
    char held[512], advice[160];
    describe_domains(set, held, sizeof held);
    advise(set, filter, domain, advice, sizeof advice);
    return lt_fail(
        LT_INPUT, "%s: no clip of role %s, domain %s, with at least %" PRId64 " frames (%s); it holds %s",
        lt_dataset_path(set), filter->role ? filter->role : "any", domain, filter->min_frames, advice, held);
}

lt_status lt_select_clips(const lt_dataset *set, const lt_clip_filter *filter, int64_t **out,
                          int64_t *count) {
    int64_t total = lt_dataset_clip_count(set), found = 0;
    for (int d = 0; d < filter->domain_count; d++) {
        lt_clip_filter one = *filter;
        one.domains = filter->domains + d, one.domain_count = 1;
        bool any = false;
        for (int64_t i = 0; i < total && !any; i++) any = qualifies(&one, lt_dataset_clip(set, i));
        if (!any) return none_found(set, filter, filter->domains[d]);
    }
    int64_t *list = malloc((size_t)(total + 1) * sizeof *list);
    LT_CHECK(list, LT_FAILED, "loader: out of memory for %" PRId64 " clips", total);
    for (int64_t i = 0; i < total; i++)
        if (qualifies(filter, lt_dataset_clip(set, i))) list[found++] = i;
    if (found == 0) {
        free(list);
        return none_found(set, filter, "any");
    }
    *out = list, *count = found;
    return LT_OK;
}

/* order_lock is held. */
static int64_t clip_at(lt_loader *l, int64_t epoch, int64_t slot) {
    if (l->order_epoch != epoch) {
        lt_rng_key key = {.seed = l->spec.seed, .purpose = LT_RNG_SHUFFLE, .step = (uint32_t)epoch};
        lt_rng_permutation(&key, l->count, l->order);
        l->order_epoch = epoch;
    }
    return l->clips[l->order[slot]];
}

static int64_t window_start(const lt_loader *l, int64_t clip, int64_t epoch, int64_t frames) {
    lt_rng_key key = {
        .seed = l->spec.seed, .purpose = LT_RNG_CROP, .clip = (uint64_t)clip, .step = (uint32_t)epoch};
    int64_t starts = (frames - l->spec.frames) / l->spec.align + 1;
    return lt_rng_below(&key, 0, starts) * l->spec.align;
}

void lt_loader_plan(lt_loader *l, int64_t step, lt_sample *samples) {
    int mine = l->spec.batch / l->spec.ranks;
    pthread_mutex_lock(&l->order_lock);
    for (int i = 0; i < mine; i++) {
        int64_t position = step * l->spec.batch + l->spec.rank * mine + i;
        lt_sample *s = &samples[i];
        s->epoch = position / l->count;
        s->clip = clip_at(l, s->epoch, position % l->count);
        s->row = lt_dataset_clip(l->set, s->clip);
        s->first_frame = window_start(l, s->clip, s->epoch, s->row->frames);
    }
    pthread_mutex_unlock(&l->order_lock);
}

static bool stopping(lt_loader *l) {
    pthread_mutex_lock(&l->lock);
    bool stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    return stop;
}

/* Bytes of one window's frames; values of its latents. */
static size_t frame_bytes(const lt_loader *l) {
    const lt_dataset_spec *file = lt_dataset_get_spec(l->set);
    return 3 * (size_t)file->width * (size_t)file->height * (size_t)l->spec.frames;
}

static size_t latent_values(const lt_loader *l) {
    const lt_feature_spec *spec = lt_dataset_feature_spec(l->set, LT_LATENTS);
    size_t values = (size_t)l->spec.rows;
    for (int d = 0; d < spec->ndim; d++) values *= (size_t)spec->shape[d];
    return values;
}

static lt_status read_sample(lt_loader *l, place *p, int i) {
    const lt_sample *s = &p->samples[i];
    if (l->spec.rows > 0)
        return lt_dataset_feature_read(l->set, LT_LATENTS, s->clip, s->first_frame / l->spec.align,
                                       l->spec.rows, p->latents + latent_values(l) * (size_t)i);
    return lt_dataset_read_frames(l->set, s->clip, s->first_frame, l->spec.frames,
                                  p->rgb + frame_bytes(l) * (size_t)i);
}

static lt_status read_samples(lt_loader *l, place *p) {
    for (int i = 0; i < p->batch.count && !stopping(l); i++) {
        const lt_sample *s = &p->samples[i];
        lt_status status = read_sample(l, p, i);
        if (status != LT_OK)
            return lt_fail_in(status, "clip %" PRId64 " (%s, frames from %" PRId64 ")", s->clip,
                              s->row->source, s->first_frame);
    }
    return LT_OK;
}

static void fill_place(lt_loader *l, place *p, int64_t step) {
    p->batch.step = step;
    lt_loader_plan(l, step, p->samples);
    p->status = read_samples(l, p);
    if (p->status != LT_OK) snprintf(p->message, sizeof p->message, "%s", lt_error());
}

/* Fills the ring in step order and stops after a failure, which every later call reports. */
static void *read_ahead(void *user) {
    lt_loader *l = user;
    for (int64_t step = l->first_step;; step++) {
        place *p = &l->ring[(step - l->first_step) % l->places];
        pthread_mutex_lock(&l->lock);
        while (p->ready && !l->stop) pthread_cond_wait(&l->changed, &l->lock);
        bool stop = l->stop;
        pthread_mutex_unlock(&l->lock);
        if (stop) return NULL;
        fill_place(l, p, step);
        pthread_mutex_lock(&l->lock);
        p->ready = true;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
        if (p->status != LT_OK) return NULL;
    }
}

lt_status lt_loader_next(lt_loader *l, const lt_batch **out) {
    int64_t turn = l->next_step - l->first_step;
    place *p = &l->ring[turn % l->places];
    double start = lt_seconds();
    pthread_mutex_lock(&l->lock);
    /* The batch handed out last is free again, so the reader may fill its place. */
    if (turn > 0) l->ring[(turn - 1) % l->places].ready = false, pthread_cond_broadcast(&l->changed);
    while (!p->ready) pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
    l->waited += lt_seconds() - start;
    LT_CHECK(p->status == LT_OK, p->status, "%s", p->message);
    l->next_step++;
    *out = &p->batch;
    return LT_OK;
}

static lt_status check_spec(const lt_dataset *set, const lt_loader_spec *s, int64_t step) {
    LT_CHECK(s->ranks >= 1 && s->rank >= 0 && s->rank < s->ranks, LT_USAGE, "loader: rank %d of %d", s->rank,
             s->ranks);
    LT_CHECK(s->batch >= 1 && s->batch % s->ranks == 0, LT_USAGE,
             "loader: a batch of %d clips cannot be split evenly among %d ranks", s->batch, s->ranks);
    LT_CHECK(s->frames >= 1, LT_USAGE, "loader: windows of %" PRId64 " frames", s->frames);
    LT_CHECK(s->align >= 0 && s->ahead >= 0 && s->ahead <= MAX_AHEAD && step >= 0, LT_USAGE,
             "loader: align %" PRId64 ", ahead %d (0 to %d), step %" PRId64 ": out of range", s->align,
             s->ahead, MAX_AHEAD, step);
    LT_CHECK(s->rows >= 0 && (s->rows == 0 || lt_dataset_feature_spec(set, LT_LATENTS)), LT_USAGE,
             "loader: %" PRId64 " rows of /latents a window of a file without any", s->rows);
    return LT_OK;
}

static lt_status take_memory(lt_loader *l) {
    const lt_dataset_spec *file = lt_dataset_get_spec(l->set);
    int mine = l->spec.batch / l->spec.ranks;
    bool stored = l->spec.rows > 0;
    size_t bytes = (stored ? latent_values(l) * sizeof(uint16_t) : frame_bytes(l)) * (size_t)mine;
    l->order = malloc((size_t)l->count * sizeof *l->order);
    bool ok = l->order != NULL;
    for (int i = 0; i < l->places; i++) {
        place *p = &l->ring[i];
        void *data = malloc(bytes);
        if (stored) p->latents = data;
        else p->rgb = data;
        p->samples = malloc((size_t)mine * sizeof *p->samples);
        ok = ok && data && p->samples;
        p->batch = (lt_batch){.count = mine,
                              .frames = l->spec.frames,
                              .height = file->height,
                              .width = file->width,
                              .rgb = p->rgb,
                              .latents = p->latents,
                              .samples = p->samples};
    }
    LT_CHECK(ok, LT_FAILED, "loader: %d batches of %zu bytes are not to be had; use a smaller batch",
             l->places, bytes);
    return LT_OK;
}

static lt_status start_reading(lt_loader *l) {
    LT_TRY(take_memory(l));
    int error = pthread_create(&l->reader, NULL, read_ahead, l);
    LT_CHECK(error == 0, LT_FAILED, "loader: no thread to read ahead: %s", strerror(error));
    l->reader_runs = true;
    return LT_OK;
}

lt_status lt_loader_open(lt_dataset *set, const lt_loader_spec *spec, int64_t step, lt_loader **out) {
    LT_TRY(check_spec(set, spec, step));
    lt_loader *l = calloc(1, sizeof *l);
    LT_CHECK(l, LT_FAILED, "loader: out of memory");
    l->set = set, l->spec = *spec, l->order_epoch = -1;
    l->spec.align = spec->align ? spec->align : 1;
    l->places = (spec->ahead ? spec->ahead : 2) + 1;
    l->first_step = l->next_step = step;
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->order_lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    lt_clip_filter filter = {spec->role, spec->domains, spec->domain_count, spec->frames};
    lt_status status = lt_select_clips(set, &filter, &l->clips, &l->count);
    if (status == LT_OK) status = start_reading(l);
    if (status != LT_OK) {
        lt_loader_close(l);
        return status;
    }
    *out = l;
    return LT_OK;
}

void lt_loader_close(lt_loader *l) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    if (l->reader_runs) pthread_join(l->reader, NULL);
    for (int i = 0; i < l->places; i++)
        free(l->ring[i].rgb), free(l->ring[i].latents), free(l->ring[i].samples);
    pthread_mutex_destroy(&l->lock);
    pthread_mutex_destroy(&l->order_lock);
    pthread_cond_destroy(&l->changed);
    free(l->clips), free(l->order);
    free(l);
}

int64_t lt_loader_clips(const lt_loader *loader) { return loader->count; }

double lt_loader_wait_seconds(const lt_loader *loader) { return loader->waited; }
