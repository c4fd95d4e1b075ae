/* Which clips an experiment evaluates: the domains of each dataset. */
#include "core/io.h"
#include "core/log.h"
#include "experiments/grid_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names of the domains of one dataset, in order of first appearance. */
static int list_domains(const lt_dataset *set, const char *names[LT_EVAL_SETS]) {
    int count = 0;
    for (int64_t i = 0; i < lt_dataset_clip_count(set); i++) {
        const char *domain = lt_dataset_clip(set, i)->domain;
        int k = 0;
        while (k < count && strcmp(names[k], domain) != 0) k++;
        if (k == count && count < LT_EVAL_SETS) names[count++] = domain;
    }
    return count;
}

static lt_eval_options options_of(const lt_config *config, bool reference) {
    lt_eval_options o = lt_eval_default();
    o.role = lt_config_string(config, reference ? "experiment.reference_role" : "experiment.role");
    o.clips = lt_config_int(config, reference ? "experiment.reference_clips" : "experiment.clips");
    o.blocks = (int)lt_config_int(config, "experiment.blocks");
    o.draws = (int)lt_config_int(config, "experiment.draws");
    o.batch = (int)lt_config_int(config, "experiment.batch");
    o.seed = (uint64_t)lt_config_int(config, "experiment.seed");
    o.allow_train = lt_config_bool(config, "experiment.allow_train");
    o.latents = lt_latents_mode_of(lt_config_string(config, "experiment.latents"));
    return o;
}

/* Groups and motion of the clips that will be evaluated. */
static void describe_clips(const lt_dataset *data, const int64_t *clips, lt_eval_set *set) {
    double flow = 0, counted = 0;
    for (int64_t i = 0; i < set->clips; i++) {
        const lt_clip *clip = lt_dataset_clip(data, clips[i]);
        bool first = true;
        for (int64_t k = 0; k < i && first; k++)
            first = strcmp(lt_dataset_clip(data, clips[k])->group, clip->group) != 0;
        set->groups += first;
        if (isfinite(clip->flow_px_per_s)) flow += clip->flow_px_per_s, counted++;
    }
    set->flow_px_per_s = counted > 0 ? flow / counted : NAN;
}

/* LT_INPUT when no clip of the domain qualifies. */
static lt_status add_set(const lt_config *config, const lt_model *model, const lt_dataset *data, int index,
                         const char *domain, bool reference, lt_grid *grid) {
    LT_CHECK(grid->set_count < LT_EVAL_SETS, LT_USAGE, "the data hold more than %d domains", LT_EVAL_SETS);
    lt_eval_set *set = &grid->sets[grid->set_count];
    *set = (lt_eval_set){.data = index, .reference = reference, .options = options_of(config, reference)};
    snprintf(set->domain, sizeof set->domain, "%s", domain);
    snprintf(set->label, sizeof set->label, "%s", domain);
    set->names[0] = set->domain;
    set->options.domains = set->names, set->options.domain_count = 1;
    int64_t *clips;
    LT_TRY(lt_eval_clips(model, data, &set->options, &clips, &set->clips));
    describe_clips(data, clips, set);
    free(clips);
    grid->set_count++;
    return LT_OK;
}

static bool holds(const lt_dataset *data, const char *domain) {
    for (int64_t i = 0; i < lt_dataset_clip_count(data); i++)
        if (strcmp(lt_dataset_clip(data, i)->domain, domain) == 0) return true;
    return false;
}

/* A domain that was named must be found somewhere. */
static lt_status add_named(const lt_config *config, const lt_model *model, lt_dataset *const *data,
                           int data_count, lt_grid *grid) {
    for (int d = 0; d < lt_config_count(config, "experiment.domains"); d++) {
        const char *domain = lt_config_string_at(config, "experiment.domains", d);
        int before = grid->set_count;
        lt_status last = LT_OK;
        for (int i = 0; i < data_count; i++) {
            if (!holds(data[i], domain)) continue;
            last = add_set(config, model, data[i], i, domain, false, grid);
            if (last != LT_OK && last != LT_INPUT) return last;
        }
        if (grid->set_count > before) continue;
        if (last != LT_OK) return lt_fail_in(last, "experiment.domains: %s", domain);
        return lt_fail(LT_INPUT, "experiment.domains: no dataset holds clips of domain \"%s\"", domain);
    }
    return LT_OK;
}

static lt_status add_all(const lt_config *config, const lt_model *model, lt_dataset *const *data,
                         int data_count, lt_grid *grid) {
    for (int i = 0; i < data_count; i++) {
        const char *names[LT_EVAL_SETS];
        int count = list_domains(data[i], names);
        for (int d = 0; d < count; d++) {
            lt_status status = add_set(config, model, data[i], i, names[d], false, grid);
            if (status == LT_INPUT) lt_warn("domain %s is left out: %s", names[d], lt_error());
            else if (status != LT_OK) return status;
        }
    }
    LT_CHECK(grid->set_count > 0, LT_INPUT,
             "no clip of role %s with %lld blocks in any dataset; see `longtake info` for what they hold",
             lt_config_string(config, "experiment.role"),
             (long long)lt_config_int(config, "experiment.blocks"));
    return LT_OK;
}

/* Two files with the same domain are told apart by their names. */
static void tell_apart(lt_grid *grid, lt_dataset *const *data) {
    for (int i = 0; i < grid->set_count; i++)
        for (int k = 0; k < grid->set_count; k++) {
            lt_eval_set *set = &grid->sets[i];
            if (k == i || strcmp(set->domain, grid->sets[k].domain) != 0) continue;
            snprintf(set->label, sizeof set->label, "%s (%.80s)", set->domain,
                     lt_path_base(lt_dataset_path(data[set->data])));
        }
}

/* The first dataset that has such clips. None is no failure: the reference is then fixed beforehand. */
static lt_status add_reference(const lt_config *config, const lt_model *model, lt_dataset *const *data,
                               int data_count, lt_grid *grid) {
    const char *domain = lt_config_string(config, "experiment.reference_domain");
    for (int i = 0; i < data_count; i++) {
        if (!holds(data[i], domain)) continue;
        lt_status status = add_set(config, model, data[i], i, domain, true, grid);
        grid->has_reference = status == LT_OK;
        if (status != LT_INPUT) return status;
        lt_warn("%s", lt_error());
    }
    lt_warn("no %s clips of role %s to choose the reference on (experiment.reference_domain, "
            "reference_role): it is the "
            "first hand-made policy at equal bytes, not the best one",
            domain, lt_config_string(config, "experiment.reference_role"));
    return LT_OK;
}

lt_status lt_grid_find_sets(const lt_config *config, const lt_model *model, lt_dataset *const *data,
                            int data_count, lt_grid *grid) {
    bool named = lt_config_count(config, "experiment.domains") > 0;
    LT_TRY((named ? add_named : add_all)(config, model, data, data_count, grid));
    tell_apart(grid, data);
    return add_reference(config, model, data, data_count, grid);
}
