/* Which share of attention each entry drew. */
#include "model/cache/cache_impl.h"
#include "model/cache/feature.h"

void lt_mass_ask(const lt_cache *cache, const lt_tape *tape, const lt_commit *commit, lt_dots *dots,
                 lt_mass_asked *asked) {
    const lt_reader *reader = &commit->reader;
    const lt_entries *list = &cache->lists[reader->layer * cache->shape.batch + reader->sequence];
    const lt_cache_observer *o = &cache->observer;
    uint64_t needs = lt_cache_deciding_spec(cache, reader->sequence)->policy->needs;
    bool looked_at = (lt_need_sources(needs) & LT_FROM_READS) || o->on_commit || o->on_read;
    *asked = (lt_mass_asked){.weights = -1};
    if (!looked_at || list->count == 0 || (lt_cache_lasts(cache) && !lt_tape_is_no_grad(tape))) return;
    asked->entries = list->count;
    asked->pair = dots->count;
    for (int i = 0; i < list->count; i++) lt_dots_pair(dots, list->items[i].z, commit->r);
    for (int i = 0; i < reader->own_count; i++) lt_dots_pair(dots, reader->own_z[i]->value, commit->r);
    const lt_read_note *note = list->reads;
    while (note && note->stream != reader->stream) note = note->next;
    if (note) asked->weights = lt_dots_rows(dots, note->all) + note->first;
}

/* w_e z_e . r over the sum of all; own segments count once. */
void lt_mass_add(lt_entries *list, const lt_commit *commit, const lt_dots *dots, const lt_mass_asked *asked) {
    int64_t n = asked->entries, H = dots->heads;
    if (n == 0) return;
    const double *mass = lt_dots_of(dots, asked->pair),
                 *w = asked->weights < 0 ? NULL : lt_dots_rows_of(dots, asked->weights);
    double total = 0;
    for (int64_t i = 0; i < (n + commit->reader.own_count) * H; i++)
        total += i < n * H && w ? w[i] * mass[i] : mass[i];
    for (int64_t e = 0; e < n; e++) {
        double sum = 0;
        for (int64_t i = e * H; i < (e + 1) * H; i++) sum += w ? w[i] * mass[i] : mass[i];
        list->items[e].read_mass += total > 0 ? sum / total : 0;
        list->items[e].reads++;
    }
}
