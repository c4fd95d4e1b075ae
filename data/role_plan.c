#include "data/role_plan.h"

#include "core/log.h"
#include "core/rng.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct domain_counts {
    char name[sizeof((lt_clip *)0)->domain];
    int64_t held[LT_ROLES], expected; /* groups */
    bool touched;                     /* expected or added to, not only found in the file */
} domain_counts;

/* Hashes of a domain and a group, open addressing; 0 is an empty slot. */
typedef struct pair_set {
    uint64_t *slots;
    int64_t capacity, used;
} pair_set;

struct lt_role_plan {
    const lt_dataset *set;
    lt_role_shares shares;
    domain_counts *domains;
    int domain_count;
    pair_set held, expected;
};

static bool add_pair(pair_set *set, uint64_t hash) {
    int64_t at = (int64_t)(hash & (uint64_t)(set->capacity - 1));
    while (set->slots[at] && set->slots[at] != hash) at = (at + 1) & (set->capacity - 1);
    bool fresh = !set->slots[at];
    set->slots[at] = hash;
    set->used += fresh;
    return fresh;
}

/* *fresh: it was not in. */
static lt_status insert(pair_set *set, const char *domain, const char *group, bool *fresh) {
    if (2 * (set->used + 1) > set->capacity) {
        pair_set larger = {.capacity = set->capacity ? 2 * set->capacity : 64};
        larger.slots = calloc((size_t)larger.capacity, sizeof *larger.slots);
        LT_CHECK(larger.slots, LT_FAILED, "out of memory for the roles of groups");
        for (int64_t i = 0; i < set->capacity; i++)
            if (set->slots[i]) add_pair(&larger, set->slots[i]);
        free(set->slots);
        *set = larger;
    }
    uint64_t hash = lt_hash(group, strlen(group), lt_hash(domain, strlen(domain) + 1, LT_HASH_SEED));
    *fresh = add_pair(set, hash ? hash : 1);
    return LT_OK;
}

static domain_counts *find_domain(const lt_role_plan *plan, const char *domain) {
    for (int i = 0; i < plan->domain_count; i++)
        if (strcmp(plan->domains[i].name, domain) == 0) return &plan->domains[i];
    return NULL;
}

static lt_status find_or_add(lt_role_plan *plan, const char *domain, domain_counts **out) {
    if ((*out = find_domain(plan, domain))) return LT_OK;
    domain_counts *more = realloc(plan->domains, (size_t)(plan->domain_count + 1) * sizeof *more);
    LT_CHECK(more, LT_FAILED, "out of memory for the roles of groups");
    plan->domains = more;
    *out = &more[plan->domain_count++];
    **out = (domain_counts){0};
    lt_copy_text((*out)->name, sizeof(*out)->name, domain);
    return LT_OK;
}

static lt_status count_clip(lt_role_plan *plan, const char *domain, const char *group, const char *role,
                            bool new) {
    domain_counts *counts;
    bool fresh;
    int number = lt_role_number(role);
    LT_TRY(find_or_add(plan, domain, &counts));
    LT_TRY(insert(&plan->held, domain, group, &fresh));
    if (fresh && number >= 0) counts->held[number]++;
    counts->touched = counts->touched || new;
    return LT_OK;
}

lt_status lt_role_plan_open(const lt_dataset *set, const lt_role_shares *shares, lt_role_plan **out) {
    lt_role_plan *plan = *out = calloc(1, sizeof *plan);
    LT_CHECK(plan, LT_FAILED, "out of memory for the roles of groups");
    plan->set = set, plan->shares = *shares;
    for (int64_t i = 0; i < lt_dataset_clip_count(set); i++) {
        const lt_clip *clip = lt_dataset_clip(set, i);
        LT_TRY(count_clip(plan, clip->domain, clip->group, clip->role, false));
        LT_TRY(lt_role_plan_expect(plan, clip->domain, clip->group));
    }
    for (int i = 0; i < plan->domain_count; i++) plan->domains[i].touched = false;
    return LT_OK;
}

void lt_role_plan_close(lt_role_plan *plan) {
    if (!plan) return;
    free(plan->domains);
    free(plan->held.slots);
    free(plan->expected.slots);
    free(plan);
}

lt_status lt_role_plan_expect(lt_role_plan *plan, const char *domain, const char *group) {
    domain_counts *counts;
    bool fresh;
    LT_TRY(find_or_add(plan, domain, &counts));
    LT_TRY(insert(&plan->expected, domain, group, &fresh));
    counts->expected += fresh;
    counts->touched = true;
    return LT_OK;
}

bool lt_role_plan_small(const lt_role_plan *plan, const char *domain) {
    const domain_counts *counts = find_domain(plan, domain);
    return !counts || !lt_role_by_hash(&plan->shares, counts->expected);
}

const char *lt_role_plan_role(const lt_role_plan *plan, const char *domain, const char *group) {
    static const int64_t none[LT_ROLES];
    const lt_clip *relative = lt_dataset_clip(plan->set, lt_dataset_find_group(plan->set, group));
    if (relative) return relative->role;
    const domain_counts *counts = find_domain(plan, domain);
    return lt_role_choose(&plan->shares, group, counts ? counts->held : none, counts ? counts->expected : 1);
}

lt_status lt_role_plan_add(lt_role_plan *plan, const char *domain, const char *group, const char *role) {
    return count_clip(plan, domain, group, role, true);
}

void lt_role_plan_log(const lt_role_plan *plan) {
    static const char *const names[LT_ROLES] = {"train", "val", "test"};
    for (int i = 0; i < plan->domain_count; i++) {
        const domain_counts *c = &plan->domains[i];
        if (!c->touched) continue;
        lt_info("domain %s: %" PRId64 " groups to train, %" PRId64 " val, %" PRId64 " test", c->name,
                c->held[LT_ROLE_TRAIN], c->held[LT_ROLE_VAL], c->held[LT_ROLE_TEST]);
        for (int r = 0; r < LT_ROLES; r++)
            if (c->held[r] == 0 && lt_role_share(&plan->shares, r) > 0)
                lt_warn(
                    "domain %s has no group of role %s: it takes at least three groups (source videos) to "
                    "have all roles; --role %s=1 gives new ones that role",
                    c->name, names[r], names[r]);
    }
}
