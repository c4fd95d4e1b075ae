#include "data/roles.h"

#include "core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEEN = 8 };                /* groups that a share must come to for the hash to decide */
static const double least = 1e-9; /* a share below this is none */

static const char *const names[LT_ROLES] = {"train", "val", "test"};
static const lt_role_shares usual = {.val = 0.1, .test = 0.2};

lt_role_shares lt_role_shares_default(void) { return usual; }

int lt_role_number(const char *role) {
    for (int i = 0; i < LT_ROLES; i++)
        if (strcmp(role, names[i]) == 0) return i;
    return -1;
}

/* Into given[], by role. */
static lt_status parse_one(const char *text, size_t length, double given[LT_ROLES]) {
    char copy[64], *end;
    LT_CHECK(length < sizeof copy, LT_USAGE, "--role %s: expected ROLE=SHARE, such as test=0.2", text);
    memcpy(copy, text, length);
    copy[length] = '\0';
    char *equals = strchr(copy, '=');
    LT_CHECK(equals, LT_USAGE, "--role %s: expected ROLE=SHARE, such as test=0.2", copy);
    double share = strtod(equals + 1, &end);
    LT_CHECK(end != equals + 1 && *end == '\0' && share >= 0 && share <= 1, LT_USAGE,
             "--role %s: the share must be a number from 0 to 1", copy);
    *equals = '\0';
    int role = lt_role_number(copy);
    LT_CHECK(role >= 0, LT_USAGE, "--role %s=...: the roles are train, val and test", copy);
    LT_CHECK(isnan(given[role]) || given[role] == share, LT_USAGE, "--role: %s is given as %g and as %g",
             copy, given[role], share);
    given[role] = share;
    return LT_OK;
}

/* What is not given takes its default or, when that is too much for what is left, what is left. */
static lt_status fill_in(const double given[LT_ROLES], lt_role_shares *out) {
    double train = given[LT_ROLE_TRAIN], val = given[LT_ROLE_VAL], test = given[LT_ROLE_TEST];
    double sum = (isnan(train) ? 0 : train) + (isnan(val) ? 0 : val) + (isnan(test) ? 0 : test);
    double left = fmax(0, 1 - sum);
    LT_CHECK(sum <= 1 + least, LT_USAGE, "--role: the shares that were given come to %g, and 1 is everything",
             sum);
    if (isnan(val) && isnan(test)) { /* in their usual proportion, all of it where train is given */
        double both = usual.val + usual.test, take = isnan(train) ? fmin(both, left) : left;
        val = take * usual.val / both, test = take * usual.test / both;
    } else if (isnan(val)) {
        val = isnan(train) ? fmin(usual.val, left) : left;
    } else if (isnan(test)) {
        test = isnan(train) ? fmin(usual.test, left) : left;
    } else {
        LT_CHECK(isnan(train) || left < 1e-6, LT_USAGE,
                 "--role: train=%g, val=%g and test=%g come to %g, and 1 is everything; leave one out, which "
                 "is then the rest",
                 train, val, test, sum);
    }
    *out = (lt_role_shares){.val = val, .test = test};
    return LT_OK;
}

lt_status lt_role_shares_parse(const lt_strings *texts, lt_role_shares *out) {
    double given[LT_ROLES] = {NAN, NAN, NAN};
    for (int i = 0; i < texts->count; i++)
        for (const char *text = texts->items[i]; text;) {
            const char *comma = strchr(text, ',');
            LT_TRY(parse_one(text, comma ? (size_t)(comma - text) : strlen(text), given));
            text = comma ? comma + 1 : NULL;
        }
    return fill_in(given, out);
}

static const char *by_hash(const lt_role_shares *shares, const char *group) {
    uint64_t hash = lt_hash(group, strlen(group), LT_HASH_SEED);
    lt_rng_key key = {.seed = hash,
                      .purpose = LT_RNG_SHUFFLE}; /* FNV's high bits hardly move for similar names */
    double place = lt_rng_uniform(&key, 0);
    if (place < shares->test) return names[LT_ROLE_TEST];
    return names[place >= 1 - shares->val ? LT_ROLE_VAL : LT_ROLE_TRAIN];
}

double lt_role_share(const lt_role_shares *shares, int role) {
    double share = role == LT_ROLE_VAL    ? shares->val
                   : role == LT_ROLE_TEST ? shares->test
                                          : 1 - shares->val - shares->test;
    return share > least ? share : 0;
}

bool lt_role_by_hash(const lt_role_shares *shares, int64_t groups) {
    double smallest = 1;
    for (int i = 0; i < LT_ROLES; i++) {
        double share = lt_role_share(shares, i);
        if (share > 0) smallest = fmin(smallest, share);
    }
    return smallest * (double)groups >= SEEN;
}

const char *lt_role_choose(const lt_role_shares *shares, const char *group, const int64_t held[LT_ROLES],
                           int64_t expected) {
    static const int order[LT_ROLES] = {LT_ROLE_TRAIN, LT_ROLE_TEST, LT_ROLE_VAL};
    int64_t now = held[0] + held[1] + held[2] + 1;
    double most = -INFINITY;
    int best = LT_ROLE_TRAIN;
    if (lt_role_by_hash(shares, expected > now ? expected : now)) return by_hash(shares, group);
    for (int i = 0; i < LT_ROLES; i++) {
        double share = lt_role_share(shares, order[i]);
        double lack = share * (double)now - (double)held[order[i]];
        if (share == 0) continue;
        if (held[order[i]] == 0) return names[order[i]];
        if (lack > most + least) best = order[i], most = lack;
    }
    return names[best];
}
