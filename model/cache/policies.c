#include "core/config.h"
#include "model/cache/policy.h"

#include <string.h>

#define LT_POLICY(name) extern const lt_policy lt_policy_##name;
#include "model/cache/policy/policies.def"
#undef LT_POLICY

static const lt_policy *const policies[] = {
#define LT_POLICY(name) &lt_policy_##name,
#include "model/cache/policy/policies.def"
#undef LT_POLICY
};

enum { COUNT = sizeof policies / sizeof *policies };

const lt_policy *lt_policy_at(int index) { return index >= 0 && index < COUNT ? policies[index] : NULL; }

/* What the calling thread added. Per thread, so that contexts in different threads may have policies of one name. */
static _Thread_local const lt_policy *const *added;
static _Thread_local int added_count;

void lt_policies_also(const lt_policy *const *rows, int count) {
    added = rows;
    added_count = count;
}

const lt_policy *lt_policy_find(const char *name) {
    const char *names[COUNT];
    for (int i = 0; i < added_count; i++)
        if (strcmp(added[i]->name, name) == 0) return added[i];
    for (int i = 0; i < COUNT; i++) {
        if (strcmp(policies[i]->name, name) == 0) return policies[i];
        names[i] = policies[i]->name;
    }
    const char *nearest = lt_nearest(name, names, COUNT);
    if (nearest) lt_fail(LT_USAGE, "there is no policy \"%s\"; did you mean \"%s\"?", name, nearest);
    else lt_fail(LT_USAGE, "there is no policy \"%s\"; see longtake list policies", name);
    return NULL;
}
