#include "core/io.h"
#include "data/loader.h"
#include "tests/harness.h"

#include <unistd.h>

enum { W = 16, H = 12, FRAME = W * H * 3, CLIPS = 23, WINDOW = 8 };

static char folder[TEST_FOLDER], path[LT_PATH_MAX + 32];

static int frames_of(int clip) { return clip == 7 ? 5 : 16 + 4 * (clip % 5); }
static const char *domain_of(int clip) { return clip % 4 == 3 ? "dynamic" : "calm"; }
static const char *role_of(int clip) { return clip % 6 == 5 ? "test" : "train"; }

/* Every byte says which clip and frame it belongs to. */
static uint8_t byte_of(int64_t clip, int64_t frame, int64_t i) {
    return (uint8_t)(clip * 41 + frame * 5 + i % 7 + (i * i * (clip + 3) >> 6));
}

static lt_status make_file(void) {
    lt_dataset_spec spec = {W, H, 16, false};
    lt_dataset *set = NULL;
    LT_TRY(lt_remove_tree(path));
    LT_TRY(lt_dataset_create(path, &spec, &set));
    lt_status status = LT_OK;
    for (int c = 0; c < CLIPS && status == LT_OK; c++) {
        static uint8_t rgb[64][FRAME];
        for (int f = 0; f < frames_of(c); f++)
            for (int i = 0; i < FRAME; i++) rgb[f][i] = byte_of(c, f, i);
        lt_clip clip = {.fps = 16, .content_hash = (uint64_t)c + 1};
        strcpy(clip.domain, domain_of(c)), strcpy(clip.role, role_of(c));
        snprintf(clip.group, sizeof clip.group, "group %d", c);
        snprintf(clip.source, sizeof clip.source, "film %d", c);
        status = lt_dataset_append_frames(set, rgb[0], NULL, frames_of(c));
        if (status == LT_OK) status = lt_dataset_add_clip(set, &clip);
    }
    if (status == LT_OK) status = lt_dataset_commit(set);
    lt_dataset_close(set);
    return status;
}

static const lt_loader_spec whole = {
    .role = "train", .frames = WINDOW, .align = 4, .batch = 6, .ranks = 1, .seed = 5};

static lt_dataset *open_set(void) {
    lt_dataset *set = NULL;
    CHECK_OK(lt_dataset_open(path, &set));
    return set;
}

static lt_loader *open_loader(lt_dataset *set, lt_loader_spec spec, int64_t step) {
    lt_loader *loader = NULL;
    CHECK_OK(lt_loader_open(set, &spec, step, &loader));
    return loader;
}

static bool right_bytes(const lt_batch *b) {
    for (int n = 0; n < b->count; n++)
        for (int64_t f = 0; f < b->frames; f++)
            for (int64_t i = 0; i < FRAME; i++)
                if (b->rgb[(n * b->frames + f) * FRAME + i] !=
                    byte_of(b->samples[n].clip, b->samples[n].first_frame + f, i))
                    return false;
    return true;
}

static void batches_hold_the_frames_they_name(void) {
    lt_dataset *set = open_set();
    lt_loader *loader = open_loader(set, whole, 0);
    int64_t starts = 0;
    for (int64_t step = 0; step < 20; step++) {
        const lt_batch *b = NULL;
        CHECK_OK(lt_loader_next(loader, &b));
        CHECK(b->step == step && b->count == 6 && b->frames == WINDOW && b->width == W && b->height == H);
        CHECK(right_bytes(b));
        for (int n = 0; n < b->count; n++) {
            const lt_sample *s = &b->samples[n];
            CHECK(strcmp(s->row->role, "train") == 0 && s->row == lt_dataset_clip(set, s->clip));
            CHECK(s->first_frame % 4 == 0 && s->first_frame + WINDOW <= s->row->frames);
            starts |= 1 << (s->first_frame / 4);
        }
    }
    CHECK((starts & 0x1f) == 0x1f); /* windows begin at many places */
    lt_loader_close(loader);
    lt_dataset_close(set);
}

static void every_epoch_holds_every_clip_once_in_another_order(void) {
    lt_dataset *set = open_set();
    lt_loader *loader = open_loader(set, whole, 0);
    int64_t clips = lt_loader_clips(loader);
    CHECK(clips == 19); /* 23 less 3 of role test (5, 11, 17) and one that is too short */
    int seen[4][CLIPS] = {{0}};
    int64_t order[4][CLIPS], place = 0;
    for (int64_t step = 0; place < 4 * clips; step++) {
        lt_sample samples[6];
        lt_loader_plan(loader, step, samples);
        for (int n = 0; n < 6 && place < 4 * clips; n++, place++) {
            CHECK(samples[n].epoch == place / clips);
            seen[samples[n].epoch][samples[n].clip]++;
            order[samples[n].epoch][place % clips] = samples[n].clip;
        }
    }
    for (int e = 0; e < 4; e++)
        for (int c = 0; c < CLIPS; c++)
            CHECK(seen[e][c] == (strcmp(role_of(c), "train") == 0 && frames_of(c) >= WINDOW));
    CHECK(memcmp(order[0], order[1], (size_t)clips * sizeof(int64_t)) != 0);
    lt_loader_close(loader);
    lt_dataset_close(set);
}

static bool same_batch(const lt_batch *a, const lt_batch *b) {
    return a->step == b->step && a->count == b->count &&
           memcmp(a->samples, b->samples, (size_t)a->count * sizeof *a->samples) == 0 &&
           memcmp(a->rgb, b->rgb, (size_t)(a->count * a->frames) * FRAME) == 0;
}

static void resuming_equals_an_unbroken_run(void) {
    lt_dataset *set = open_set();
    lt_loader *unbroken = open_loader(set, whole, 0);
    for (int64_t step = 0; step < 12; step++) {
        const lt_batch *a = NULL, *b = NULL;
        lt_loader *resumed = open_loader(set, whole, step);
        CHECK_OK(lt_loader_next(unbroken, &a));
        CHECK_OK(lt_loader_next(resumed, &b));
        CHECK(same_batch(a, b));
        lt_loader_close(resumed);
    }
    lt_loader_spec other = whole;
    other.seed = 6;
    lt_loader *reseeded = open_loader(set, other, 12);
    const lt_batch *a = NULL, *b = NULL;
    CHECK_OK(lt_loader_next(unbroken, &a));
    CHECK_OK(lt_loader_next(reseeded, &b));
    CHECK(!same_batch(a, b));
    lt_loader_close(unbroken), lt_loader_close(reseeded);
    lt_dataset_close(set);
}

static void ranks_together_see_what_one_rank_sees(void) {
    lt_dataset *set = open_set();
    lt_loader *one = open_loader(set, whole, 3), *rank[3];
    for (int r = 0; r < 3; r++) {
        lt_loader_spec spec = whole;
        spec.rank = r, spec.ranks = 3;
        rank[r] = open_loader(set, spec, 3);
    }
    for (int step = 0; step < 10; step++) {
        const lt_batch *all = NULL, *part = NULL;
        CHECK_OK(lt_loader_next(one, &all));
        for (int r = 0; r < 3; r++) {
            CHECK_OK(lt_loader_next(rank[r], &part));
            CHECK(part->count == 2);
            CHECK(memcmp(part->samples, all->samples + 2 * r, 2 * sizeof *part->samples) == 0);
            CHECK(memcmp(part->rgb, all->rgb + (size_t)(2 * r * WINDOW) * FRAME, 2 * WINDOW * FRAME) == 0);
        }
    }
    lt_loader_close(one);
    for (int r = 0; r < 3; r++) lt_loader_close(rank[r]);
    lt_dataset_close(set);
}

static void clips_are_selected_by_role_domain_and_length(void) {
    lt_dataset *set = open_set();
    const char *dynamic[] = {"dynamic"}, *both[] = {"calm", "dynamic"}, *none[] = {"calm", "sports"};
    int64_t *list = NULL, count = 0;
    lt_clip_filter filter = {"train", dynamic, 1, 0};
    CHECK_OK(lt_select_clips(set, &filter, &list, &count));
    CHECK(count == 4); /* 3, 7, 15, 19: 11 is of role test */
    CHECK(list && list[0] == 3 && list[1] == 7 && list[2] == 15 && list[3] == 19);
    free(list);
    filter = (lt_clip_filter){NULL, both, 2, 0};
    CHECK_OK(lt_select_clips(set, &filter, &list, &count));
    CHECK(count == CLIPS);
    free(list);
    filter = (lt_clip_filter){"train", none, 2, 0};
    CHECK_FAILS(lt_select_clips(set, &filter, &list, &count), LT_INPUT, "domain sports");
    CHECK(strstr(lt_error(), "dynamic/train: 4 clips of up to 32 frames") != NULL);
    CHECK(strstr(lt_error(), "name a domain that it holds") != NULL);
    filter = (lt_clip_filter){"val", NULL, 0, 0};
    CHECK_FAILS(lt_select_clips(set, &filter, &list, &count), LT_INPUT, "role val");
    CHECK(strstr(lt_error(), "--role val=0.2 of ingest and scenes") != NULL);
    filter = (lt_clip_filter){"train", dynamic, 1, 33};
    CHECK_FAILS(lt_select_clips(set, &filter, &list, &count), LT_INPUT,
                "the longest has 32: take fewer blocks");
    lt_loader *loader = NULL;
    lt_loader_spec spec = whole;
    spec.frames = 33;
    CHECK_FAILS(lt_loader_open(set, &spec, 0, &loader), LT_INPUT, "at least 33 frames");
    spec = whole, spec.ranks = 4;
    CHECK_FAILS(lt_loader_open(set, &spec, 0, &loader), LT_USAGE, "6 clips cannot be split evenly among 4");
    lt_dataset_close(set);
}

static void closing_does_not_wait_for_the_ring(void) {
    lt_dataset *set = open_set();
    lt_loader_spec spec = whole;
    spec.batch = 600, spec.ahead = 64;
    double start = lt_seconds();
    for (int i = 0; i < 5; i++) lt_loader_close(open_loader(set, spec, 0));
    CHECK(lt_seconds() - start < 2);
    lt_dataset_close(set);
}

/* Finds a frame's bytes in the file and flips one of them. */
static bool damage(int clip, int frame) {
    char *bytes = NULL;
    size_t size = 0;
    if (lt_read_file(path, &bytes, &size) != LT_OK) return false;
    uint8_t wanted[FRAME];
    for (int i = 0; i < FRAME; i++) wanted[i] = byte_of(clip, frame, i);
    char *found = memmem(bytes, size, wanted, FRAME);
    bool ok = found != NULL;
    if (found) {
        found[100] ^= 0x10;
        ok = lt_write_file(path, bytes, size) == LT_OK;
    }
    free(bytes);
    return ok;
}

static void a_damaged_chunk_names_the_clip_at_its_step(void) {
    CHECK(damage(12, 2));
    lt_dataset *set = open_set();
    lt_loader_spec spec = whole;
    spec.batch = 1;
    lt_loader *loader = open_loader(set, spec, 0);
    const lt_batch *batch = NULL;
    lt_status status = LT_OK;
    int64_t step = 0;
    for (; step < 400 && status == LT_OK; step++) {
        status = lt_loader_next(loader, &batch);
        if (status == LT_OK) CHECK(right_bytes(batch));
    }
    CHECK(status == LT_INPUT);
    CHECK(strstr(lt_error(), "film ") && strstr(lt_error(), "clip 1")); /* 11 to 13 share chunks */
    char first[512];
    snprintf(first, sizeof first, "%.500s", lt_error());
    CHECK(lt_loader_next(loader, &batch) == LT_INPUT && strncmp(first, lt_error(), 500) == 0);
    lt_loader_close(loader);
    lt_dataset_close(set);
    CHECK_OK(make_file());
}

int main(int argc, char **argv) {
    test_make_folder("lt_loader", folder);
    snprintf(path, sizeof path, "%s/data.h5", folder);
    CHECK_OK(make_file());
    RUN(batches_hold_the_frames_they_name);
    RUN(every_epoch_holds_every_clip_once_in_another_order);
    RUN(resuming_equals_an_unbroken_run);
    RUN(ranks_together_see_what_one_rank_sees);
    RUN(clips_are_selected_by_role_domain_and_length);
    RUN(closing_does_not_wait_for_the_ring);
    RUN(a_damaged_chunk_names_the_clip_at_its_step);
    lt_remove_tree(folder);
    return test_end();
}
