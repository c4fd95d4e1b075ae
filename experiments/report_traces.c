/* Which entries each policy held while one clip streamed by, how they were weighed and scored. */
#include "experiments/report_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BLOCKS = 64, CELL = 16 };

/* One entry (row: the block it stands for) at one block's commit (column), over the layers. */
typedef struct square {
    int layers;           /* that hold it */
    int weighed, scored;  /* layers with a weight, with a score */
    double weight, score; /* sums */
    int dropped, merged;  /* layers that evicted it at this commit; that merged it into another entry */
} square;

typedef struct trace {
    int blocks, layers;
    square cells[MOST_BLOCKS][MOST_BLOCKS]; /* [column][row] */
    double low, high;                       /* of the mean scores */
} trace;

static double mean_of(const cJSON *list) {
    const cJSON *value;
    double sum = 0;
    int count = 0;
    cJSON_ArrayForEach(value, list) if (cJSON_IsNumber(value)) sum += value->valuedouble, count++;
    return count ? sum / count : NAN;
}

/* Whether a list of victims holds this entry. */
static bool is_victim(const cJSON *layer, double id) {
    const cJSON *victim;
    cJSON_ArrayForEach(victim, lt_json_member(layer, "victims")) if (cJSON_IsNumber(victim) &&
                                                                     victim->valuedouble == id) return true;
    return false;
}

/* A victim that some entry of the layer's next block stands for was merged, and nothing of it is lost. */
static bool is_held(const cJSON *layer, double first, double last) {
    const cJSON *entry;
    cJSON_ArrayForEach(
        entry, lt_json_member(layer, "entries")) if (lt_json_number(entry, "first_frame") <= first &&
                                                     lt_json_number(entry, "last_frame") >= last) return true;
    return false;
}

/* What of a trace is looked at: a layer at one block, and the same layer at the next (NULL: none). */
typedef struct place {
    int column;
    const cJSON *layer, *next;
    double frames; /* per block */
    bool merges;   /* the policy consolidates */
} place;

static void take_entry(trace *t, const place *p, const cJSON *entry) {
    double weight = mean_of(lt_json_member(entry, "weights")), score = lt_json_number(entry, "score"),
           first = lt_json_number(entry, "first_frame"), last = lt_json_number(entry, "last_frame");
    if (!(first >= 0) || !(last >= first)) return;
    bool victim = is_victim(p->layer, lt_json_number(entry, "id")),
         merged = victim && p->merges && (!p->next || is_held(p->next, first, last));
    double end = fmin(last / p->frames, MOST_BLOCKS - 1);
    for (int row = (int)fmin(first / p->frames, MOST_BLOCKS); row <= (int)end; row++) {
        square *s = &t->cells[p->column][row];
        s->layers++;
        if (isfinite(weight)) s->weighed++, s->weight += weight;
        if (isfinite(score)) s->scored++, s->score += score;
        s->merged += merged, s->dropped += victim && !merged;
    }
}

static void find_range(trace *t) {
    t->low = INFINITY, t->high = -INFINITY;
    for (int c = 0; c < t->blocks; c++)
        for (int r = 0; r <= c; r++) {
            const square *s = &t->cells[c][r];
            if (!s->scored) continue;
            t->low = fmin(t->low, s->score / s->scored), t->high = fmax(t->high, s->score / s->scored);
        }
}

/* Latent frames of a block: up to the end of the newest entry of the first. */
static double block_frames(const cJSON *blocks) {
    const cJSON *entry,
        *layer = cJSON_GetArrayItem(lt_json_member(cJSON_GetArrayItem(blocks, 0), "cache"), 0);
    double last = 0;
    cJSON_ArrayForEach(entry, lt_json_member(layer, "entries")) last =
        fmax(last, lt_json_number(entry, "last_frame"));
    return last + 1; /* of a trace without entries: 1 */
}

static void take_block(trace *t, const cJSON *block, place p) {
    const cJSON *entry, *layers = lt_json_member(block, "cache"),
                        *next = block->next ? lt_json_member(block->next, "cache") : NULL;
    p.next = next ? next->child : NULL;
    cJSON_ArrayForEach(p.layer, layers) {
        cJSON_ArrayForEach(entry, lt_json_member(p.layer, "entries")) take_entry(t, &p, entry);
        p.next = p.next ? p.next->next : NULL;
    }
}

static bool read_trace(const cJSON *root, bool merges, trace *t) {
    const cJSON *block, *blocks = lt_json_member(root, "blocks");
    place p = {.frames = block_frames(blocks), .merges = merges};
    memset(t, 0, sizeof *t);
    t->layers = lt_json_int(root, "layers", 0, 1 << 20);
    cJSON_ArrayForEach(block, blocks) {
        if (p.column == MOST_BLOCKS) break;
        take_block(t, block, p);
        p.column++;
    }
    t->blocks = p.column;
    find_range(t);
    return t->blocks > 0 && t->layers > 0;
}

/* ---- drawing --------------------------------------------------------------------------------------------- */

/* From yellow (weight 0) over grey (1) to dark blue (2): ever darker, so that it can be read without colour. */
static void weight_colour(double weight, char text[32]) {
    static const double ends[3][3] = {{253, 234, 69}, {150, 150, 146}, {0, 34, 78}};
    double at = fmin(fmax(weight, 0), 2);
    int from = at >= 1 ? 1 : 0;
    double share = at - from, c[3];
    for (int i = 0; i < 3; i++) c[i] = ends[from][i] + share * (ends[from + 1][i] - ends[from][i]);
    snprintf(text, 32, "rgb(%.0f,%.0f,%.0f)", c[0], c[1], c[2]);
}

/* From light to dark green over the range of scores, 0 to 1. */
static void score_colour(double share, char text[32]) {
    snprintf(text, 32, "rgb(%.0f,%.0f,%.0f)", 228 - 218 * share, 238 - 150 * share, 230 - 170 * share);
}

static void put_square(FILE *to, const trace *t, int c, int r, bool scores) {
    const square *s = &t->cells[c][r];
    char colour[32] = "";
    const char *class = "";
    double weight = s->weighed ? s->weight / s->weighed : NAN, score = s->scored ? s->score / s->scored : NAN;
    double side = (CELL - 3) * sqrt(fmin((double)s->layers / t->layers, 1));
    double x = c * CELL + CELL / 2.0, y = (t->blocks - 1 - r) * CELL + CELL / 2.0;
    if (s->layers == 0) return;
    if (scores && s->scored)
        score_colour(t->high > t->low ? (score - t->low) / (t->high - t->low) : 0.5, colour);
    else if (scores) class = "unscored";
    else if (s->weighed) weight_colour(weight, colour);
    else class = "own";
    fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"1.5\" ", x - side / 2,
            y - side / 2, side, side);
    fprintf(to, *class ? "class=\"%s\"" : "fill=\"%s\"", *class ? class : colour);
    fprintf(to, "><title>block %d at block %d: %d of %d layers", r, c, s->layers, t->layers);
    if (isfinite(weight)) fprintf(to, "; weight %.3f", weight);
    if (isfinite(score)) fprintf(to, "; score %.4g", score);
    if (s->dropped) fprintf(to, "; evicted in %d", s->dropped);
    if (s->merged) fprintf(to, "; merged in %d", s->merged);
    fputs("</title></rect>", to);
    if (s->merged && !s->dropped)
        fprintf(
            to,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" fill=\"#fff\" stroke=\"#1c2430\" stroke-width=\".8\"/>",
            x, y);
    if (s->dropped) /* a white line around the dark one, for squares of any colour */
        fprintf(to,
                "<path class=\"gone\" d=\"M%.1f %.1fl4 4m0 -4l-4 4\"/><path d=\"M%.1f %.1fl4 4m0 -4l-4 4\" "
                "stroke=\"#1c2430\" stroke-width=\"1.4\"/>",
                x - 2, y - 2, x - 2, y - 2);
}

static void put_panel(lt_page *page, const cJSON *row, const trace *t, bool scores) {
    FILE *to = page->to;
    int side = t->blocks * CELL, number = page->figures++;
    fprintf(to,
            "<svg class=\"trace\" viewBox=\"-12 -2 %d %d\" role=\"img\" aria-labelledby=\"plot%d "
            "about%d\"><title id=\"plot%d\">",
            side + 14, side + 14, number, number, number);
    lt_put_name(page, row);
    fprintf(to,
            ": %s of the entries</title><desc id=\"about%d\">Squares of entries (up) at each of %d blocks "
            "streamed (right); a square says "
            "its value.</desc><rect class=\"field\" x=\"0\" y=\"0\" width=\"%d\" height=\"%d\"/>",
            scores ? "score" : "read weight", number, t->blocks, side, side);
    for (int c = 0; c < t->blocks; c++)
        for (int r = 0; r <= c; r++) put_square(to, t, c, r, scores);
    fprintf(
        to,
        "<text x=\"%d\" y=\"%d\" font-size=\"8\" text-anchor=\"end\">block streamed &#8594;</text>"
        "<text x=\"-4\" y=\"%d\" font-size=\"8\" transform=\"rotate(-90 -4 %d)\">entry &#8594;</text></svg>",
        side, side + 10, side, side);
}

static lt_status put_trace(lt_page *page, const cJSON *row, trace *t) {
    char name[160];
    cJSON *root;
    bool merges = strcmp(lt_json_string(row, "consolidate"), "drop") != 0;
    snprintf(name, sizeof name, "%.120s.json", lt_json_string(row, "id"));
    if (lt_report_json(page->folder, "traces", name, &root) != LT_OK) lt_put_missing(page, lt_error());
    if (!root) return LT_OK;
    if (read_trace(root, merges, t)) {
        bool scored = t->high > t->low;
        fputs("<figure>", page->to);
        put_panel(page, row, t, false);
        if (scored) put_panel(page, row, t, true);
        fputs("<figcaption>", page->to);
        lt_put_swatch(page, row);
        fputc(' ', page->to);
        lt_put_name(page, row);
        if (scored) fputs("<br>above: weight, below: score", page->to);
        fputs("</figcaption></figure>\n", page->to);
    } else lt_put_missing(page, "a trace holds no blocks");
    cJSON_Delete(root);
    return LT_OK;
}

/* What squares and marks mean, drawn as they are drawn. */
static void put_key(FILE *to) {
    static const double weights[] = {0, 0.5, 1, 1.5, 2};
    char colour[32];
    fputs("<p class=\"legend\">", to);
    for (int i = 0; i < 5; i++) {
        weight_colour(weights[i], colour);
        fprintf(to, "<span><i style=\"background:%s\"></i>weight %g%s</span>", colour, weights[i],
                weights[i] == 2 ? " or more" : "");
    }
    for (int i = 0; i < 2; i++) {
        score_colour(i, colour);
        fprintf(to, "<span><i style=\"background:%s\"></i>%s score</span>", colour, i ? "highest" : "lowest");
    }
    fputs("<span><i class=\"own\"></i>the block's own entry, not yet read</span>"
          "<span><svg class=\"swatch\" width=\"12\" height=\"12\"><path d=\"M2 2l8 8m0 -8l-8 8\" "
          "stroke=\"currentColor\" "
          "stroke-width=\"2\"/></svg> evicted</span>"
          "<span><svg class=\"swatch\" width=\"12\" height=\"12\"><circle cx=\"6\" cy=\"6\" r=\"4\" "
          "fill=\"#fff\" "
          "stroke=\"#1c2430\"/></svg> merged into another entry: nothing is lost</span></p>\n",
          to);
}

static lt_status put_set(lt_page *page, const cJSON *set, bool open, trace *t) {
    const cJSON *row;
    fprintf(page->to, "<details%s><summary>", open ? " open" : "");
    lt_html_text(page->to, lt_json_string(set, "set"));
    fputs("</summary><div class=\"small\">\n", page->to);
    cJSON_ArrayForEach(row, page->rows) if (lt_row_in_set(row, set) && lt_json_number(row, "budget") > 0)
        LT_TRY(put_trace(page, row, t));
    fputs("</div></details>\n", page->to);
    return LT_OK;
}

static bool has_traces(const lt_page *page) {
    char path[LT_PATH_MAX], **names;
    int count = 0;
    if (lt_path_join(path, page->folder, "traces") != LT_OK || !lt_path_is_dir(path)) return false;
    if (lt_list_dir(path, &names, &count) != LT_OK) return false;
    lt_list_free(names, count);
    return count > 0;
}

lt_status lt_report_traces(lt_page *page) {
    const cJSON *set;
    bool open = true;
    if (!has_traces(page)) return LT_OK;
    trace *t = malloc(sizeof *t);
    LT_CHECK(t, LT_FAILED, "out of memory for traces");
    fputs("<section><h2>What was held, and how it was weighed</h2>\n<p class=\"soft\">One clip per domain "
          "streams by, "
          "block after block. A square is an entry that was present when a block committed: its area is the "
          "share of "
          "layers that hold it, its colour the mean weight with which that block read it. Entries that were "
          "merged "
          "span the blocks they stand for.</p>\n",
          page->to);
    put_key(page->to);
    lt_status status = LT_OK;
    cJSON_ArrayForEach(set, page->sets) {
        status = put_set(page, set, open, t);
        if (status != LT_OK) break;
        open = false;
    }
    free(t);
    fputs("</section>\n", page->to);
    return status;
}
