#include "data/roles.h"
#include "tests/harness.h"

static void shares_are_kept(void) {
    lt_role_shares shares = {.val = 0.1, .test = 0.2};
    int val = 0, test = 0;
    for (int i = 0; i < 10000; i++) {
        char group[32];
        snprintf(group, sizeof group, "scenes-1-%d", i);
        val += strcmp(lt_role_of_group(&shares, group), "val") == 0;
        test += strcmp(lt_role_of_group(&shares, group), "test") == 0;
    }
    CHECK_NEAR(val / 10000.0, 0.1, 0.012); /* four standard deviations */
    CHECK_NEAR(test / 10000.0, 0.2, 0.016);
}

static void a_larger_test_share_keeps_the_test_groups(void) {
    lt_role_shares small = {.val = 0.1, .test = 0.2}, large = {.val = 0.1, .test = 0.5};
    for (int i = 0; i < 1000; i++) {
        char group[32];
        snprintf(group, sizeof group, "video%d", i);
        if (strcmp(lt_role_of_group(&small, group), "test") == 0)
            CHECK(strcmp(lt_role_of_group(&large, group), "test") == 0);
    }
}

static lt_status parse(const char *text, lt_role_shares *shares) {
    lt_strings texts = {.items = {text}, .count = 1};
    return lt_role_shares_parse(&texts, shares);
}

static void shares_are_parsed(void) {
    lt_role_shares shares;
    lt_strings none = {.count = 0}, two = {.items = {"test=0.25", "val=0"}, .count = 2};
    CHECK_OK(lt_role_shares_parse(&none, &shares));
    CHECK(shares.val == 0.1 && shares.test == 0.2);
    CHECK_OK(lt_role_shares_parse(&two, &shares));
    CHECK(shares.val == 0 && shares.test == 0.25);
    CHECK_OK(parse("train=0,val=0,test=1", &shares));
    CHECK(shares.test == 1 && strcmp(lt_role_of_group(&shares, "any"), "test") == 0);
    CHECK_FAILS(parse("test", &shares), LT_USAGE, "ROLE=SHARE");
    CHECK_FAILS(parse("test=x", &shares), LT_USAGE, "from 0 to 1");
    CHECK_FAILS(parse("test=1.5", &shares), LT_USAGE, "from 0 to 1");
    CHECK_FAILS(parse("test=nan", &shares), LT_USAGE, "from 0 to 1");
    CHECK_FAILS(parse("exam=0.5", &shares), LT_USAGE, "train, val and test");
    CHECK_FAILS(parse("test=0.8,val=0.3", &shares), LT_USAGE, "more than everything");
    CHECK_FAILS(parse("train=0.9,test=0.2", &shares), LT_USAGE, "the rest");
}

int main(int argc, char **argv) {
    RUN(shares_are_kept);
    RUN(a_larger_test_share_keeps_the_test_groups);
    RUN(shares_are_parsed);
    return test_end();
}
