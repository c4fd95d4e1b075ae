/* What the files of the library's surface share. Private to api/. */
#ifndef LT_API_API_IMPL_H
#define LT_API_API_IMPL_H

#include "include/longtake.h"
#include "infer/stream.h"

/* A policy that was added: the cache's row first, so that a row's address is the policy's. */
typedef struct lt_api_policy {
    lt_policy row;
    char name[64], help[256], consolidate[16];
    uint64_t needs;
    longtake_score score;
    int (*update)(const longtake_view *view, void *user);
    void *user;
} lt_api_policy;

struct longtake {
    lt_device *device;
    int threads;
    uint64_t seed;
    lt_policy **policies; /* [policy_count] each an lt_api_policy */
    int policy_count;
};

struct longtake_run {
    longtake *context;
    lt_model *model;
    char weights[LT_PATH_MAX]; /* the checkpoint folder */
};

struct longtake_stream {
    longtake_run *run;
    lt_video_stream *stream;
    float *latents; /* of a block */
    double seconds; /* of the latest one */
};

/* Between the two the calling thread computes with the context's threads and knows its policies. leave
 * passes the status on. */
void lt_api_enter(const longtake *context);
longtake_status lt_api_leave(lt_status status);

/* Copies a struct of the caller's, whose size may be that of an older or newer header, into ours or back:
 * what one of them lacks is 0 or not written. LT_USAGE when the size cannot be one. */
lt_status lt_api_read(const char *name, const void *given, void *ours, size_t size);
lt_status lt_api_write(const char *name, const void *ours, size_t size, void *given);

/* Options with the defaults filled in, for `model`, which may lie on a null device. */
lt_status lt_api_stream_options(const longtake *context, const lt_model *model,
                                const longtake_stream_options *given, lt_stream_options *out);

#endif
