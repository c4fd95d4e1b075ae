#include "core/cli.h"
#include "core/io.h"
#include "data/dataset.h"
#include "data/scenes.h"
#include "data/shots.h"
#include "tests/harness.h"

#include <sys/wait.h>
#include <unistd.h>

extern const lt_command lt_cmd_scenes;

static char folder[TEST_FOLDER], path[LT_PATH_MAX + 32];

static void fresh(const char *name) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    lt_remove_tree(path);
}

/* Runs "longtake scenes --out PATH <arguments>" in a child, as the program would, and returns its exit code. */
static int scenes(const char *arguments) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char text[512], *argv[48] = {"longtake", "scenes", "-q", "--out", path};
        int argc = 5;
        snprintf(text, sizeof text, "%s", arguments);
        for (char *word = strtok(text, " "); word && argc < 48; word = strtok(NULL, " ")) argv[argc++] = word;
        _exit(lt_cli_run(&lt_cmd_scenes, argc, argv));
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static lt_dataset *open_set(void) {
    lt_dataset *set = NULL;
    CHECK_OK(lt_dataset_open(path, &set));
    return set;
}

static void the_file_holds_what_the_generator_draws(void) {
    enum { W = 48, H = 32, FRAMES = 40, PIXELS = W * H * FRAMES };
    fresh("a.h5");
    CHECK(scenes("--domain calm --clips 5 --frames 40 --size 48x32 --fps 8 --seed 3 --cut-every 8 "
                 "--return-gap 2") == 0);
    lt_dataset *set = open_set();
    lt_scenes_spec spec = lt_scenes_default();
    spec.width = W, spec.height = H, spec.fps = 8, spec.frames = FRAMES, spec.seed = 3;
    spec.cut_every = 8, spec.return_gap = 2;
    CHECK(set && lt_dataset_clip_count(set) == 5);
    uint8_t *wanted = malloc(3 * PIXELS), *got = malloc(3 * PIXELS);
    float *true_flow = malloc(2 * PIXELS * sizeof(float)), *flow = malloc(2 * PIXELS * sizeof(float));
    for (int64_t i = 0; i < 5 && set; i++) {
        lt_clip clip;
        CHECK_OK(lt_scenes_clip(&spec, (uint64_t)i, wanted, true_flow, &clip));
        CHECK_OK(lt_dataset_read_frames(set, i, 0, FRAMES, got));
        CHECK_OK(lt_dataset_read_flow(set, i, 0, FRAMES, flow));
        CHECK(memcmp(wanted, got, 3 * PIXELS) == 0);
        double worst = 0;
        for (int p = 0; p < 2 * PIXELS; p++)
            worst = fmax(worst, fabsf(flow[p] - true_flow[p]) / (1 + fabsf(flow[p])));
        CHECK(worst < 1e-3); /* stored as float16 */
        const lt_clip *row = lt_dataset_clip(set, i);
        CHECK(strcmp(row->caption, clip.caption) == 0 && strcmp(row->domain, "calm") == 0);
        CHECK(row->flow_px_per_s == clip.flow_px_per_s && row->luma_diff == clip.luma_diff && row->fps == 8);
        CHECK(lt_clip_shot_count(row) == 5 && lt_clip_shot_at(row, 17).first == 16);
        CHECK(row->flags == (LT_CLIP_HAS_FLOW | LT_CLIP_SYNTHETIC));
    }
    free(wanted), free(got), free(true_flow), free(flow);
    lt_dataset_close(set);
}

static void appending_finishes_what_was_begun(void) {
    fresh("whole.h5");
    CHECK(scenes("--domain calm --clips 9 --frames 16") == 0);
    lt_dataset *set = open_set();
    uint64_t whole = lt_dataset_hash(set);
    lt_dataset_close(set);
    fresh("parts.h5");
    CHECK(scenes("--domain calm --clips 4 --frames 16") == 0);
    CHECK(scenes("--domain calm --clips 9 --frames 16 --append") == 0);
    CHECK(scenes("--domain calm --clips 9 --frames 16 --append") == 0);
    set = open_set();
    CHECK(lt_dataset_clip_count(set) == 9 && lt_dataset_hash(set) == whole);
    lt_dataset_close(set);
}

static void another_speed_keeps_the_groups_and_roles(void) {
    fresh("speeds.h5");
    CHECK(scenes("--domain calm --clips 40 --frames 16 --no-flow") == 0);
    CHECK(scenes("--domain dynamic --clips 40 --frames 16 --speed 6 --append") == 0);
    lt_dataset *set = open_set();
    int held_out = 0;
    for (int64_t i = 0; i < 40; i++) {
        const lt_clip *calm = lt_dataset_clip(set, i), *dynamic = lt_dataset_clip(set, 40 + i);
        CHECK(calm && dynamic && strcmp(calm->role, dynamic->role) == 0 &&
              strcmp(calm->group, dynamic->group) == 0);
        CHECK(calm && dynamic && dynamic->flow_px_per_s >= calm->flow_px_per_s &&
              !(dynamic->flags & LT_CLIP_HAS_FLOW));
        held_out += calm && strcmp(calm->role, "train") != 0;
    }
    CHECK(held_out >= 4 && held_out <= 22);
    lt_dataset_close(set);
}

static void mistakes_leave_no_file_and_harm_none(void) {
    fresh("none.h5");
    CHECK(scenes("--domain calm --clips 2 --size 64") == LT_USAGE);
    CHECK(scenes("--domain calm --clips 2 --size 8x8") == LT_USAGE);
    CHECK(scenes("--domain calm --clips 2 --role test=2") == LT_USAGE);
    CHECK(scenes("--domain calm --clips 2 --cut-every 2") == LT_USAGE);
    CHECK(scenes("--domain a-name-that-is-longer-than-a-domain-may-be --clips 2") == LT_USAGE);
    CHECK(scenes("--domain calm") == LT_USAGE);
    CHECK(!lt_path_exists(path));
    CHECK(scenes("--domain calm --clips 3 --frames 16") == 0);
    CHECK(scenes("--domain calm --clips 3 --frames 16") == LT_USAGE);
    CHECK(scenes("--domain calm --clips 3 --size 32x32 --append") == LT_USAGE);
    CHECK(scenes("--domain calm --clips 6 --frames 16 --role test=1,val=0 --speed 2 --append") == LT_USAGE);
    lt_dataset *set = open_set();
    CHECK(lt_dataset_clip_count(set) == 3);
    lt_dataset_close(set);
}

int main(int argc, char **argv) {
    test_make_folder("lt_scenes", folder);
    RUN(the_file_holds_what_the_generator_draws);
    RUN(appending_finishes_what_was_begun);
    RUN(another_speed_keeps_the_groups_and_roles);
    RUN(mistakes_leave_no_file_and_harm_none);
    lt_remove_tree(folder);
    return test_end();
}
