#include "data/role_plan.h"

#include "core/io.h"
#include "tests/harness.h"

#include <unistd.h>

static const char *of_large(const lt_role_shares *shares, const char *group) {
    return lt_role_choose(shares, group, (int64_t[LT_ROLES]){0}, 10000);
}

static void shares_are_kept(void) {
    lt_role_shares shares = {.val = 0.1, .test = 0.2};
    int val = 0, test = 0;
    for (int i = 0; i < 10000; i++) {
        char group[32];
        snprintf(group, sizeof group, "scenes-1-%d", i);
        val += strcmp(of_large(&shares, group), "val") == 0;
        test += strcmp(of_large(&shares, group), "test") == 0;
    }
    CHECK_NEAR(val / 10000.0, 0.1, 0.012); /* four standard deviations */
    CHECK_NEAR(test / 10000.0, 0.2, 0.016);
}

static void a_larger_test_share_keeps_the_test_groups(void) {
    lt_role_shares small = {.val = 0.1, .test = 0.2}, large = {.val = 0.1, .test = 0.5};
    for (int i = 0; i < 1000; i++) {
        char group[32];
        snprintf(group, sizeof group, "video%d", i);
        if (strcmp(of_large(&small, group), "test") == 0) CHECK(strcmp(of_large(&large, group), "test") == 0);
    }
}

/* Groups that come one by one. */
static void fill(const lt_role_shares *shares, int groups, int64_t held[LT_ROLES]) {
    memset(held, 0, LT_ROLES * sizeof *held);
    for (int i = 0; i < groups; i++) {
        char group[32];
        snprintf(group, sizeof group, "video%d", i);
        held[lt_role_number(lt_role_choose(shares, group, held, groups))]++;
    }
}

static void few_groups_fill_every_role(void) {
    static const lt_role_shares tried[] = {{0.1, 0.2}, {0.01, 0.01}, {0.3, 0.4}, {0, 0.5},
                                           {0.5, 0},   {0, 0},       {0.3, 0.7}};
    int64_t held[LT_ROLES];
    for (size_t t = 0; t < sizeof tried / sizeof *tried; t++)
        for (int groups = 1; groups < 60; groups++) {
            fill(&tried[t], groups, held);
            bool enough = groups >= 3;
            if (lt_role_by_hash(&tried[t], groups)) break;
            for (int r = 0; r < LT_ROLES; r++) {
                double share = lt_role_share(&tried[t], r), wanted = share * groups;
                CHECK((share > 0 || held[r] == 0) && (!enough || share == 0 || held[r] > 0));
                /* As near as whole groups can be, apart from the first three. */
                if (fabs((double)held[r] - wanted) > 1.01) CHECK(wanted < 1 || held[r] - wanted < 2);
            }
        }
    CHECK(!lt_role_by_hash(&tried[0], 79) && lt_role_by_hash(&tried[0], 80));
    fill(&tried[0], 13, held);
    CHECK(held[LT_ROLE_TRAIN] == 9 && held[LT_ROLE_VAL] == 1 && held[LT_ROLE_TEST] == 3);
}

/* ---- in a file ---------------------------------------------------------------------------------------------- */

static char folder[TEST_FOLDER], path[LT_PATH_MAX];

/* Adds clips of one frame whose groups are first .. end - 1, all at once or each in a run of its own. */
static void add(int first, int end, bool at_once) {
    static const uint8_t frame[8 * 8 * 3];
    lt_role_shares shares = lt_role_shares_default();
    for (int next = first; next < end;) {
        lt_dataset *set = NULL;
        lt_role_plan *plan = NULL;
        int stop = at_once ? end : next + 1;
        CHECK_OK(access(path, F_OK) == 0
                     ? lt_dataset_open_append(path, &set)
                     : lt_dataset_create(path, &(lt_dataset_spec){8, 8, 16, false}, &set));
        CHECK_OK(lt_role_plan_open(set, &shares, &plan));
        char group[32];
        for (int i = next; i < stop; i++) {
            snprintf(group, sizeof group, "video%d", i);
            CHECK_OK(lt_role_plan_expect(plan, "calm", group));
        }
        for (; next < stop; next++) {
            lt_clip clip = {.fps = 16, .domain = "calm", .content_hash = (uint64_t)next};
            snprintf(clip.group, sizeof clip.group, "video%d", next);
            strcpy(clip.role, lt_role_plan_role(plan, "calm", clip.group));
            CHECK_OK(lt_dataset_append_frames(set, frame, NULL, 1));
            CHECK_OK(lt_dataset_add_clip(set, &clip));
            CHECK_OK(lt_role_plan_add(plan, "calm", clip.group, clip.role));
        }
        CHECK_OK(lt_dataset_commit(set));
        lt_role_plan_close(plan);
        lt_dataset_close(set);
    }
}

static void read_roles(int count, char roles[][8]) {
    lt_dataset *set;
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK(lt_dataset_clip_count(set) == count);
    for (int i = 0; i < count; i++) strcpy(roles[i], lt_dataset_clip(set, i)->role);
    lt_dataset_close(set);
}

/* Also across the size from which the hash decides. */
static void roles_stay_when_sources_are_added(void) {
    char whole[20][8] = {0}, parts[20][8] = {0}, more[100][8] = {0};
    add(0, 20, true);
    read_roles(20, whole);
    remove(path);
    add(0, 7, true);
    add(7, 20, false);
    read_roles(20, parts);
    CHECK(memcmp(whole, parts, sizeof whole) == 0);
    add(20, 100, true);
    read_roles(100, more);
    CHECK(memcmp(whole, more, sizeof whole) == 0);
    lt_role_shares usual = lt_role_shares_default();
    for (int i = 20; i < 100; i++) {
        char group[32];
        snprintf(group, sizeof group, "video%d", i);
        CHECK(strcmp(more[i], of_large(&usual, group)) == 0);
    }
    remove(path);
}

static void a_group_has_one_role_in_all_domains(void) {
    add(0, 20, true);
    lt_dataset *set;
    lt_role_plan *plan;
    lt_role_shares all_test = {.val = 0, .test = 1};
    CHECK_OK(lt_dataset_open(path, &set));
    CHECK_OK(lt_role_plan_open(set, &all_test, &plan));
    for (int64_t i = 0; i < 20; i++) {
        const lt_clip *clip = lt_dataset_clip(set, i);
        CHECK(strcmp(lt_role_plan_role(plan, "dynamic", clip->group), clip->role) == 0);
    }
    CHECK(strcmp(lt_role_plan_role(plan, "dynamic", "another"), "test") == 0);
    lt_role_plan_close(plan);
    lt_dataset_close(set);
    remove(path);
}

/* ---- shares ------------------------------------------------------------------------------------------------- */

static lt_status parse(const char *text, lt_role_shares *shares) {
    lt_strings texts = {.items = {text}, .count = 1};
    return lt_role_shares_parse(&texts, shares);
}

static void check_shares(const char *text, double val, double test) {
    lt_role_shares shares = {-1, -1};
    CHECK_OK(parse(text, &shares));
    if (fabs(shares.val - val) > 1e-12 || fabs(shares.test - test) > 1e-12)
        printf("%s: val %g, test %g\n", text, shares.val, shares.test), test_bad++;
}

static void shares_are_parsed(void) {
    lt_role_shares shares;
    lt_strings none = {.count = 0}, two = {.items = {"test=0.25", "val=0"}, .count = 2};
    CHECK_OK(lt_role_shares_parse(&none, &shares));
    CHECK(shares.val == 0.1 && shares.test == 0.2);
    CHECK_OK(lt_role_shares_parse(&two, &shares));
    CHECK(shares.val == 0 && shares.test == 0.25);
    check_shares("train=0,val=0,test=1", 0, 1);
    CHECK_FAILS(parse("test", &shares), LT_USAGE, "ROLE=SHARE");
    CHECK_FAILS(parse("test=x", &shares), LT_USAGE, "from 0 to 1");
    CHECK_FAILS(parse("test=1.5", &shares), LT_USAGE, "from 0 to 1");
    CHECK_FAILS(parse("test=nan", &shares), LT_USAGE, "from 0 to 1");
    CHECK_FAILS(parse("exam=0.5", &shares), LT_USAGE, "train, val and test");
    CHECK_FAILS(parse("test=0.8,val=0.3", &shares), LT_USAGE, "come to 1.1");
    CHECK_FAILS(parse("train=0.5,val=0.1,test=0.1", &shares), LT_USAGE, "come to 0.7");
    CHECK_FAILS(parse("test=0.5,test=0.6", &shares), LT_USAGE, "0.5 and as 0.6");
}

static void what_is_given_holds_and_defaults_shrink(void) {
    check_shares("test=1", 0, 1);
    check_shares("val=1", 1, 0);
    check_shares("train=1", 0, 0);
    check_shares("test=0.5", 0.1, 0.5);
    check_shares("test=0.95", 0.05, 0.95);
    check_shares("val=0.9", 0.9, 0.1);
    check_shares("train=0.7", 0.1, 0.2);
    check_shares("train=0.4", 0.2, 0.4);
    check_shares("train=0.9,test=0.1", 0, 0.1);
    check_shares("train=0.5,test=0.2", 0.3, 0.2);
    check_shares("train=0,test=0.5", 0.5, 0.5);
    lt_role_shares all = {-1, -1};
    int64_t held[LT_ROLES];
    CHECK_OK(parse("test=1", &all));
    fill(&all, 200, held);
    CHECK(held[LT_ROLE_TEST] == 200);
}

int main(int argc, char **argv) {
    test_make_folder("lt_roles", folder);
    CHECK_OK(lt_path_join(path, folder, "roles.h5"));
    RUN(shares_are_kept);
    RUN(a_larger_test_share_keeps_the_test_groups);
    RUN(few_groups_fill_every_role);
    RUN(roles_stay_when_sources_are_added);
    RUN(a_group_has_one_role_in_all_domains);
    RUN(shares_are_parsed);
    RUN(what_is_given_holds_and_defaults_shrink);
    CHECK_OK(lt_remove_tree(folder));
    return test_end();
}
