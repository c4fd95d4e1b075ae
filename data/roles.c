#include "data/roles.h"

#include "core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

lt_role_shares lt_role_shares_default(void) { return (lt_role_shares){.val = 0.1, .test = 0.2}; }

static lt_status parse_one(const char *text, size_t length, lt_role_shares *out, double *train) {
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
    double *target = strcmp(copy, "val") == 0     ? &out->val
                     : strcmp(copy, "test") == 0  ? &out->test
                     : strcmp(copy, "train") == 0 ? train
                                                  : NULL;
    LT_CHECK(target, LT_USAGE, "--role %s=...: the roles are train, val and test", copy);
    *target = share;
    return LT_OK;
}

lt_status lt_role_shares_parse(const lt_strings *texts, lt_role_shares *out) {
    *out = lt_role_shares_default();
    double train = -1;
    for (int i = 0; i < texts->count; i++)
        for (const char *text = texts->items[i]; text;) {
            const char *comma = strchr(text, ',');
            LT_TRY(parse_one(text, comma ? (size_t)(comma - text) : strlen(text), out, &train));
            text = comma ? comma + 1 : NULL;
        }
    LT_CHECK(out->val + out->test <= 1 + 1e-9, LT_USAGE,
             "--role: val=%g and test=%g are more than everything", out->val, out->test);
    double rest = 1 - out->val - out->test;
    LT_CHECK(train < 0 || fabs(train - rest) < 1e-6, LT_USAGE,
             "--role train=%g: with val=%g and test=%g, train is the rest, %g", train, out->val, out->test,
             rest);
    return LT_OK;
}

const char *lt_role_of_group(const lt_role_shares *shares, const char *group) {
    uint64_t hash = lt_hash(group, strlen(group), LT_HASH_SEED);
    lt_rng_key key = {.seed = hash,
                      .purpose = LT_RNG_SHUFFLE}; /* FNV's high bits hardly move for similar names */
    double place = lt_rng_uniform(&key, 0);
    if (place < shares->test) return "test";
    return place >= 1 - shares->val ? "val" : "train";
}
