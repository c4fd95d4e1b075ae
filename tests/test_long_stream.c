/* A video that is six times as long takes the same memory, and every frame of it is there. scripts/long_stream.sh does
 * the same for 20, 400 and 4,000 blocks, with the time per block and the resident memory. */
#include "tests/testing.h"

enum { SHORT = 20, LONG = 120, BLOCK_FRAMES = 4, SIDE = 16, FRAME = SIDE * SIDE * 3 };

typedef struct made {
    double bytes[6], device; /* high-water marks */
    int64_t peak_rss;
} made;

static const char *const roles[6] = {"slots", "tails", "metadata", "run", "step", "scratch"};

/* The largest "bytes" of the blocks in the stats. */
static double device_bytes(const char *path, int blocks) {
    double most = 0;
    cJSON *stats = read_json(path);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(stats, "blocks"), *block;
    CHECK(cJSON_GetArraySize(list) == blocks);
    cJSON_ArrayForEach(block, list) {
        CHECK(json_number(block, "seconds") > 0);
        most = fmax(most, json_number(block, "bytes"));
    }
    cJSON_Delete(stats);
    return most;
}

static void check_frames(const char *video, int expected) {
    static uint8_t rgb[2][FRAME];
    lt_video *reader = NULL;
    lt_video_request request = {.width = SIDE, .height = SIDE};
    lt_video_place place;
    bool there = true;
    int count = 0, still = 0, flat = 0;
    CHECK_OK(lt_video_open(video, &request, &reader));
    while (reader && there) {
        uint8_t *frame = rgb[count % 2];
        CHECK_OK(lt_video_next(reader, frame, &place, &there));
        if (!there) break;
        still += count > 0 && memcmp(rgb[0], rgb[1], FRAME) == 0;
        flat += memcmp(frame, frame + 3, FRAME - 3) == 0;
        count++;
    }
    lt_video_close(reader);
    /* A model of six steps moves little: the encoder leaves some frames as they were. */
    if (2 * still >= expected) printf("%s: %d of %d frames repeat the one before\n", video, still, expected);
    CHECK(count == expected && 2 * still < expected && flat == 0);
}

static made generate(int blocks, const char *policy) {
    made m = {0};
    char number[16];
    snprintf(number, sizeof number, "%d", blocks);
    CHECK_RUN("generate", "--run", in_folder("run"), "--out", in_folder("v.mp4"), "--blocks", number,
              "--steps", "1", "--policy", policy, "--budget", "3", "--stats", in_folder("s.json"), "--force",
              "--json", "-q");
    m.peak_rss = got.peak_rss;
    cJSON *summary = parse_output();
    const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(summary, "bytes");
    for (int i = 0; i < 6; i++) m.bytes[i] = json_number(bytes, roles[i]);
    CHECK(json_number(summary, "frames") == blocks * BLOCK_FRAMES);
    cJSON_Delete(summary);
    m.device = device_bytes(in_folder("s.json"), blocks);
    check_frames(in_folder("v.mp4"), blocks * BLOCK_FRAMES);
    return m;
}

static void a_longer_video_takes_no_more_memory(void) {
    static const char *const policies[] = {"window", "sink:consolidate=ema", "random", "keep-all"};
    for (int p = 0; p < 4; p++) {
        made a = generate(SHORT, policies[p]), b = generate(LONG, policies[p]);
        for (int i = 0; i < 6; i++) {
            if (!(a.bytes[i] == b.bytes[i]))
                printf("%s, %s: %g, then %g\n", policies[p], roles[i], a.bytes[i], b.bytes[i]);
            CHECK(a.bytes[i] == b.bytes[i] && a.bytes[i] > 0);
        }
        CHECK(a.device == b.device && a.device > 0);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed for a while */
        /* Resident pages vary by some hundred kB from run to run. */
        CHECK(b.peak_rss - a.peak_rss < 1 << 20);
#endif
    }
}

int main(int argc, char **argv) {
    test_begin("12");
    CHECK_RUN("train", "--config", in_folder("tiny.json"), "--data", in_folder("d.h5"), "--out",
              in_folder("run"), "-q");
    if (has_video()) RUN(a_longer_video_takes_no_more_memory);
    else printf("skipped: no FFmpeg in this build\n"), test_passed++;
    return test_finish();
}
