/* Each metric answers its own fault and little else. Run with "print" to see the table. */
#include "data/scenes.h"
#include "infer/calibrate.h"
#include "tests/harness.h"

enum { CLIPS = 6, FRAMES = 96, SIDE = 64 };

static lt_calibration table;

static void make_table(void) {
    lt_scenes_spec scenes = lt_scenes_default();
    lt_video_view clips[CLIPS];
    scenes.frames = FRAMES, scenes.cut_every = 0, scenes.speed = 2;
    for (int i = 0; i < CLIPS; i++) {
        uint8_t *rgb = malloc((size_t)FRAMES * SIDE * SIDE * 3);
        lt_clip row;
        CHECK_OK(lt_scenes_clip(&scenes, (uint64_t)i, rgb, NULL, &row));
        clips[i] = (lt_video_view){
            .rgb = rgb, .frames = FRAMES, .height = SIDE, .width = SIDE, .fps = 16, .block_frames = 8};
    }
    CHECK_OK(lt_calibrate(clips, CLIPS, 3, &table));
    for (int i = 0; i < CLIPS; i++) free((void *)clips[i].rgb);
}

static void print_table(const char *what, double values[LT_FAULT_COUNT][LT_METRIC_COUNT]) {
    printf("%-9s", what);
    for (int m = 0; m < LT_METRIC_COUNT; m++) printf(" %9.9s", lt_metric_at(m)->name);
    printf("\n");
    for (int f = 0; f < LT_FAULT_COUNT; f++) {
        printf("%-9s", lt_fault_at(f)->name);
        for (int m = 0; m < LT_METRIC_COUNT; m++) printf(" %9.3f", values[f][m]);
        printf("\n");
    }
}

static void a_video_is_like_itself(void) {
    for (int m = 0; m < LT_METRIC_COUNT; m++) {
        double wanted = m == LT_METRIC_PSNR ? LT_PSNR_MOST : m == LT_METRIC_SSIM || m == LT_METRIC_MOTION;
        if (m == LT_METRIC_LOOP_PERIOD || m == LT_METRIC_FROZEN) continue;
        CHECK_NEAR(table.clean[m], wanted, 1e-9);
    }
    CHECK(table.clean[LT_METRIC_FROZEN] < 0.02);
}

static void every_metric_answers_its_own_fault_in_every_clip(void) {
    for (int f = 0; f < LT_FAULT_COUNT; f++) {
        int own = (int)lt_fault_at(f)->metric;
        CHECK(table.relative[f][own] >= 1);
        CHECK(fabs(table.change[f][own]) > 2 * table.spread[f][own]);
    }
}

static void no_metric_answers_a_foreign_fault_half_as_much(void) {
    for (int f = 0; f < LT_FAULT_COUNT; f++)
        for (int m = 0; m < LT_METRIC_COUNT; m++)
            if ((int)lt_fault_at(f)->metric != m && (int)lt_fault_at(f)->also != m &&
                !isnan(table.relative[f][m])) {
                if (!(table.relative[f][m] < 0.5))
                    printf("%s moves %s by %.2f of its own fault\n", lt_fault_at(f)->name,
                           lt_metric_at(m)->name, table.relative[f][m]);
                CHECK(table.relative[f][m] < 0.5);
            }
}

static void directions_are_those_of_the_table(void) {
    CHECK(table.change[LT_FAULT_SLOW][LT_METRIC_MOTION] < 0);
    CHECK(table.change[LT_FAULT_FAST][LT_METRIC_MOTION] > 0);
    CHECK(table.change[LT_FAULT_FREEZE][LT_METRIC_FROZEN] > 0.15);
    CHECK(table.change[LT_FAULT_NOISE][LT_METRIC_FLICKER] > 0);
    CHECK(table.change[LT_FAULT_BLUR][LT_METRIC_SHARPNESS_DRIFT] < 0);
    CHECK(table.change[LT_FAULT_FADE][LT_METRIC_CONTRAST_DRIFT] < 0);
    CHECK(table.change[LT_FAULT_SHUFFLE][LT_METRIC_ORDER] < 0);
    CHECK(table.change[LT_FAULT_SHUFFLE][LT_METRIC_MOTION] < 0);
    for (int f = 0; f < LT_FAULT_COUNT; f++) CHECK(table.change[f][LT_METRIC_PSNR] <= 0);
}

int main(int argc, char **argv) {
    make_table();
    if (argc > 1 && strcmp(argv[1], "print") == 0) {
        print_table("change", table.change);
        print_table("spread", table.spread);
        print_table("relative", table.relative);
        return 0;
    }
    RUN(a_video_is_like_itself);
    RUN(every_metric_answers_its_own_fault_in_every_clip);
    RUN(no_metric_answers_a_foreign_fault_half_as_much);
    RUN(directions_are_those_of_the_table);
    return test_end();
}
