/* What S and z of the entries say: norms, and how alike they are. */
#include "model/cache/feature.h"

#include <math.h>

static double tokens_of(const lt_feature_view *view, int entry) {
    return fmax(1, lt_feature_entry(view, entry)->tokens);
}

float lt_feature_z_norm(const lt_feature_view *view, int entry) {
    return (float)(sqrt(view->z2[entry]) / tokens_of(view, entry));
}

float lt_feature_s_norm(const lt_feature_view *view, int entry) {
    return (float)(sqrt(view->S2[entry]) / tokens_of(view, entry));
}

float lt_feature_novelty(const lt_feature_view *view, int entry) {
    const double *cosine = view->cosine + (size_t)entry * (size_t)view->entries;
    double nearest = -1;
    for (int i = 0; i < view->entries; i++)
        if (i != entry) nearest = fmax(nearest, cosine[i]);
    return view->entries > 1 ? (float)(1 - nearest) : 1;
}

float lt_feature_recency(const lt_feature_view *view, int entry) {
    return (float)view->cosine[(size_t)entry * (size_t)view->entries + (size_t)view->entries - 1];
}
