/* Contexts, and what all functions of the surface share. */
#include "api/api_impl.h"

#include "core/log.h"
#include "core/parallel.h"
#include "core/source.h"
#include "experiments/experiment.h"
#include "train/config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const char *longtake_error(void) { return lt_error(); }
const char *longtake_version(void) { return lt_version(); }

/* ---- structs of the caller ----------------------------------------------------------------------------- */

enum { LARGEST = 4096 };

static lt_status check_size(const char *name, const void *given) {
    size_t size;
    LT_CHECK(given, LT_USAGE, "%s: NULL", name);
    memcpy(&size, given, sizeof size);
    LT_CHECK(size > sizeof size && size <= LARGEST, LT_USAGE, "%s.size is %zu; write {.size = sizeof it}",
             name, size);
    return LT_OK;
}

static size_t less(size_t a, size_t b) { return a < b ? a : b; }

lt_status lt_api_read(const char *name, const void *given, void *ours, size_t size) {
    LT_TRY(check_size(name, given));
    memset(ours, 0, size);
    memcpy(ours, given, less(size, *(const size_t *)given));
    return LT_OK;
}

lt_status lt_api_write(const char *name, const void *ours, size_t size, void *given) {
    LT_TRY(check_size(name, given));
    memcpy((char *)given + sizeof size, (const char *)ours + sizeof size,
           less(size, *(size_t *)given) - sizeof size);
    return LT_OK;
}

/* ---- the log ------------------------------------------------------------------------------------------- */

/* lt_log holds its lock while a sink runs, so the two agree. */
static longtake_log_function log_function;

static void pass_line(lt_log_level level, const char *line, void *user) {
    if (log_function) log_function((int)level, line, user);
}

void longtake_log(longtake_log_function function, void *user) {
    lt_log_init(NULL, NULL, LT_LOG_INFO);
    log_function = function;
    if (function) lt_log_init(pass_line, user, LT_LOG_INFO);
}

/* ---- contexts ------------------------------------------------------------------------------------------ */

static void register_keys(void) {
    lt_model_register_keys();
    lt_train_register_keys();
    lt_experiment_register_keys();
}

static lt_status open_context(longtake *c, const longtake_options *o) {
    LT_CHECK(o->threads >= 0 && o->threads <= 4096, LT_USAGE,
             "options.threads is %d; expected 0 (all cores) to 4096", o->threads);
    c->threads = o->threads ? o->threads : lt_cores();
    c->seed = o->seed;
    lt_set_threads_once(c->threads);
    return lt_device_open_as(o->device ? o->device : "cpu", o->precision, o->kernels, &c->device);
}

longtake_status longtake_open(const longtake_options *options, longtake **out) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    longtake_options o = {0};
    *out = NULL;
    pthread_once(&once, register_keys);
    if (options && lt_api_read("options", options, &o, sizeof o) != LT_OK) return LONGTAKE_USAGE;
    longtake *c = calloc(1, sizeof *c);
    if (!c) return (longtake_status)lt_fail(LT_FAILED, "longtake_open: out of memory");
    lt_status status = open_context(c, &o);
    if (status == LT_OK) *out = c;
    else longtake_close(c);
    return (longtake_status)status;
}

void longtake_close(longtake *c) {
    if (!c) return;
    if (c->device) lt_device_close(c->device);
    for (int i = 0; i < c->policy_count; i++) free(c->policies[i]);
    free(c->policies);
    free(c);
}

void lt_api_enter(const longtake *c) {
    lt_set_own_threads(c->threads);
    lt_policies_also((const lt_policy *const *)c->policies, c->policy_count);
}

longtake_status lt_api_leave(lt_status status) {
    lt_policies_also(NULL, 0);
    lt_set_own_threads(0);
    return (longtake_status)status;
}
