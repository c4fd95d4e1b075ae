/* Saving mid-video and going on. */
#include "core/safetensors.h"
#include "model/cache/testing.h"

#include <unistd.h>

static const char *file_name(char name[64]) {
    snprintf(name, 64, "%s/longtake-cache-%d.safetensors", P_tmpdir, (int)getpid());
    return name;
}

static void open_cache(world *w, const char *spec) {
    world_open(w, LT_BACKEND_CPU, "cpu");
    world_cache(w, spec, 3, 2, 2, true);
    world_scorer(w, 2, true);
    w->cache.leader[1] = 0;
    w->cache.sequence[0] = 41;
}

static void a_saved_cache_goes_on_with_the_same_bits(void) {
    const char *specs[] = {"keep-all",
                           "none",
                           "random:mode=uniform",
                           "read-mass:consolidate=nearest",
                           "learned:scope=model,read=content",
                           "sink:consolidate=ema,read=age"};
    char name[64];
    file_name(name);
    for (int i = 0; i < 6; i++) {
        world a, b;
        open_cache(&a, specs[i]);
        open_cache(&b, specs[i]);
        CHECK_OK(world_stream(&a, 13));
        lt_tensor tail = lt_cache_tail(&a.cache, 1);
        double sevens[2 * 3 * 5];
        for (int k = 0; k < 30; k++) sevens[k] = 7 + k;
        CHECK_OK(lt_host_write(&a.ctx, &tail, sevens));
        CHECK_OK(lt_cache_save(&a.cache, a.device, name));
        CHECK_OK(world_stream(&a, 20));

        b.cache.seed = 1, b.cache.leader[1] = 1, b.cache.sequence[0] = 0;
        b.shift = 1;
        CHECK_OK(world_stream(&b, 5));
        b.shift = 0, b.block = 13;
        CHECK_OK(lt_cache_load(&b.cache, b.device, name));
        memcpy(b.reads, a.reads, 13 * 4 * WORLD_STATE * sizeof *b.reads);
        double found[30];
        tail = lt_cache_tail(&b.cache, 1);
        CHECK_OK(lt_host_read(&b.ctx, &tail, found));
        CHECK(memcmp(found, sevens, sizeof found) == 0);
        CHECK_OK(world_stream(&b, 20));
        CHECK(world_same_reads(&a, &b, 33));
        CHECK(b.cache.seed == 7 && b.cache.leader[1] == 0 && b.cache.sequence[0] == 41);
        for (int l = 0; l < 2; l++) {
            const lt_entries *x = lt_cache_entries(&a.cache, l, 1), *y = lt_cache_entries(&b.cache, l, 1);
            CHECK(x->count == y->count && x->committed == y->committed && y->committed == 33);
            for (int k = 0; k < x->count; k++)
                CHECK(x->items[k].id == y->items[k].id && x->items[k].read_mass == y->items[k].read_mass &&
                      x->items[k].score == y->items[k].score &&
                      memcmp(x->items[k].features, y->items[k].features, sizeof x->items[k].features) == 0);
        }
        world_close(&a);
        world_close(&b);
    }
    unlink(name);
}

static void a_file_that_does_not_fit_is_refused(void) {
    char name[64];
    world a, b;
    file_name(name);
    open_cache(&a, "window");
    CHECK_OK(world_stream(&a, 5));
    CHECK_OK(lt_cache_save(&a.cache, a.device, name));

    open_cache(&b, "sink");
    CHECK_OK(world_stream(&b, 2));
    CHECK_FAILS(lt_cache_load(&b.cache, b.device, name), LT_INPUT, "other policies");
    CHECK(lt_cache_entries(&b.cache, 0, 0)->count == 0);
    world_cache(&b, "window", 3, 4, 2, true);
    CHECK_FAILS(lt_cache_load(&b.cache, b.device, name), LT_INPUT, "another shape");
    CHECK_FAILS(lt_cache_load(&b.cache, b.device, "absent.safetensors"), LT_INPUT, "absent.safetensors");
    world_cache(&b, "window", 3, 2, 2, true);
    CHECK_OK(lt_cache_load(&b.cache, b.device, name));

    int64_t one = 1;
    lt_st_entry entry = {"x", LT_VIEW(&one, LT_I64, 1)};
    CHECK_OK(lt_st_write(name, &entry, 1, NULL, 0));
    CHECK_FAILS(lt_cache_load(&b.cache, b.device, name), LT_INPUT, "expected a saved cache");
    unlink(name);
    world_close(&a);
    world_close(&b);
}

/* Rewrites a saved file with one integer changed. */
static void tamper(const char *name, const char *part, int64_t at, int64_t value) {
    lt_st_file *file;
    lt_st_entry parts[16];
    CHECK_OK(lt_st_open(name, &file));
    int count = lt_st_count(file);
    const char *const metadata[][2] = {{"format", lt_st_metadata(file, "format")},
                                       {"specs", lt_st_metadata(file, "specs")}};
    int64_t *copy = NULL;
    for (int i = 0; i < count; i++) {
        parts[i] = *lt_st_at(file, i);
        if (strcmp(parts[i].name, part) != 0) continue;
        copy = malloc(lt_nbytes(&parts[i].tensor));
        memcpy(copy, parts[i].tensor.data, lt_nbytes(&parts[i].tensor));
        copy[at] = value;
        parts[i].tensor.data = copy;
    }
    CHECK(copy);
    CHECK_OK(lt_st_write(name, parts, count, metadata, 2));
    lt_st_close(file);
    free(copy);
}

static void damaged_entries_are_refused(void) {
    const struct {
        const char *part;
        int64_t at, value;
        const char *message;
    } cases[] = {
        {"entries", 0, 3, "entry 0"},        {"entries", 0, -1, "entry 0"},  {"entries", 9, 2, "entry 1"},
        {"entries", 1, 1000, "entry 0"},     {"entries", 2, -1, "entry 0"},  {"entries", 6, 0, "entry 0"},
        {"lists", 0, 4, "list 0"},           {"lists", 0, -1, "list 0"},     {"lists", 1, 0, "list 0"},
        {"lists", 2, 0, "list 0"},           {"sequences", 1, 1, "follows"}, {"sequences", 3, 7, "follows"},
        {"entries", 8, 1LL << 40, "entry 0"}};
    char name[64];
    file_name(name);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world w;
        open_cache(&w, "window");
        CHECK_OK(world_stream(&w, 5));
        CHECK_OK(lt_cache_save(&w.cache, w.device, name));
        CHECK_OK(lt_cache_load(&w.cache, w.device, name));
        tamper(name, cases[i].part, cases[i].at, cases[i].value);
        CHECK_FAILS(lt_cache_load(&w.cache, w.device, name), LT_INPUT, cases[i].message);
        CHECK(lt_cache_entries(&w.cache, 0, 0)->count == 0);
        world_close(&w);
    }
    unlink(name);
}

int main(int argc, char **argv) {
    RUN(a_saved_cache_goes_on_with_the_same_bits);
    RUN(a_file_that_does_not_fit_is_refused);
    RUN(damaged_entries_are_refused);
    return test_end();
}
