/* Streams 8 blocks out of a trained run with a cache policy of our own: an entry that was read much stays,
 * one that shows what another one shows goes. Writes the frames as raw RGB to stdout and one line per
 * block to stderr.
 *
 *     cc stream_policy.c $(pkg-config --cflags --libs longtake) -o stream_policy */
#include <longtake.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Higher stays. `user` is ours: here, how much novelty counts beside the share of attention. */
static int novel_and_read(const longtake_view *view, float *score, void *user) {
    const float weight = *(const float *)user;
    for (int i = 0; i < view->entries; i++)
        score[i] = view->feature[LONGTAKE_READ_MASS][i] + weight * view->feature[LONGTAKE_NOVELTY][i];
    return 0;
}

static longtake_status stream_blocks(longtake_stream *stream, size_t bytes) {
    uint8_t *rgb = malloc(bytes);
    longtake_status status = LONGTAKE_OK;
    for (int i = 0; i < 8 && status == LONGTAKE_OK; i++) {
        longtake_block block = {.size = sizeof block};
        status = longtake_next(stream, rgb, bytes, &block);
        if (status == LONGTAKE_OK) fwrite(rgb, 1, bytes, stdout);
        fprintf(stderr, "block %" PRId64 ": %d entries, %d evicted, %" PRId64 " bytes of slots\n",
                block.position, block.entries, block.victims, block.slot_bytes);
    }
    free(rgb);
    return status;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "experiments/tiny";
    float weight = 0.5f;
    longtake *context = NULL;
    longtake_run *run = NULL;
    longtake_stream *stream = NULL;
    longtake_run_info info = {.size = sizeof info};
    const longtake_policy policy = {.size = sizeof policy,
                                    .name = "novel-and-read",
                                    .score = novel_and_read,
                                    .user = &weight,
                                    .needs =
                                        LONGTAKE_NEED(LONGTAKE_READ_MASS) | LONGTAKE_NEED(LONGTAKE_NOVELTY)};
    const longtake_stream_options how = {
        .size = sizeof how, .policy = "novel-and-read:consolidate=sum", .budget = "3", .steps = 4, .seed = 7};
    longtake_status status = longtake_open(NULL, &context);
    if (status == LONGTAKE_OK) status = longtake_policy_add(context, &policy);
    if (status == LONGTAKE_OK) status = longtake_run_open(context, folder, NULL, &run);
    if (status == LONGTAKE_OK) status = longtake_run_describe(run, &info);
    if (status == LONGTAKE_OK) status = longtake_stream_open(run, &how, &stream);
    if (status == LONGTAKE_OK) status = stream_blocks(stream, info.block_bytes);
    if (status != LONGTAKE_OK) fprintf(stderr, "stream_policy: %s\n", longtake_error());
    longtake_stream_close(stream);
    longtake_run_close(run);
    longtake_close(context);
    return status;
}
