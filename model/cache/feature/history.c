/* What the host knows of an entry without looking at its values. */
#include "model/cache/feature.h"

float lt_feature_age(const lt_feature_view *view, int entry) {
    return (float)(view->list->committed - 1 - lt_feature_entry(view, entry)->id);
}

float lt_feature_order(const lt_feature_view *view, int entry) {
    return (float)lt_feature_entry(view, entry)->first_id;
}

float lt_feature_merges(const lt_feature_view *view, int entry) {
    return (float)lt_feature_entry(view, entry)->merges;
}

float lt_feature_tokens(const lt_feature_view *view, int entry) {
    return (float)lt_feature_entry(view, entry)->tokens / (float)view->list->block_tokens;
}

float lt_feature_motion(const lt_feature_view *view, int entry) {
    return lt_feature_entry(view, entry)->motion;
}

float lt_feature_read_mass(const lt_feature_view *view, int entry) {
    const lt_entry *e = lt_feature_entry(view, entry);
    return e->reads ? (float)(e->read_mass / e->reads) : 0;
}
