/* Which entries each policy held while one clip streamed by, how they were weighed and scored. Squares are drawn here:
 * they need no plotting program.
 */
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
    int dropped;          /* layers that evicted it at this commit */
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

static bool is_victim(const cJSON *layer, double id) {
    const cJSON *victim;
    cJSON_ArrayForEach(victim, lt_json_member(layer, "victims")) if (victim->valuedouble == id) return true;
    return false;
}

static void take_entry(trace *t, int column, const cJSON *layer, const cJSON *entry, double frames) {
    double weight = mean_of(lt_json_member(entry, "weights")), score = lt_json_number(entry, "score");
    int first = (int)(lt_json_number(entry, "first_frame") / frames),
        last = (int)(lt_json_number(entry, "last_frame") / frames);
    for (int row = first < 0 ? 0 : first; row <= last && row < MOST_BLOCKS; row++) {
        square *s = &t->cells[column][row];
        s->layers++;
        if (isfinite(weight)) s->weighed++, s->weight += weight;
        if (isfinite(score)) s->scored++, s->score += score;
        s->dropped += is_victim(layer, lt_json_number(entry, "id"));
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
    return last + 1;
}

static bool read_trace(const cJSON *root, trace *t) {
    const cJSON *block, *layer, *entry, *blocks = lt_json_member(root, "blocks");
    double frames = block_frames(blocks);
    int column = 0;
    memset(t, 0, sizeof *t);
    t->layers = (int)lt_json_number(root, "layers");
    cJSON_ArrayForEach(block, blocks) {
        if (column == MOST_BLOCKS) break;
        cJSON_ArrayForEach(layer, lt_json_member(block, "cache"))
            cJSON_ArrayForEach(entry, lt_json_member(layer, "entries"))
                take_entry(t, column, layer, entry, frames);
        column++;
    }
    t->blocks = column;
    find_range(t);
    return column > 0 && t->layers > 0;
}

/* ---- drawing --------------------------------------------------------------------------------------------- */

/* From blue (weight 0) over grey (1) to orange (2). */
static void weight_colour(double weight, char text[32]) {
    static const double ends[3][3] = {{33, 102, 172}, {205, 210, 216}, {217, 95, 2}};
    double at = fmin(fmax(weight, 0), 2);
    int from = at >= 1 ? 1 : 0;
    double share = at - from, c[3];
    for (int i = 0; i < 3; i++) c[i] = ends[from][i] + share * (ends[from + 1][i] - ends[from][i]);
    snprintf(text, 32, "rgb(%.0f,%.0f,%.0f)", c[0], c[1], c[2]);
}

/* From light to dark green over the range of scores. */
static void score_colour(const trace *t, double score, char text[32]) {
    double share = t->high > t->low ? (score - t->low) / (t->high - t->low) : 0.5;
    snprintf(text, 32, "rgb(%.0f,%.0f,%.0f)", 228 - 218 * share, 238 - 150 * share, 230 - 170 * share);
}

static void put_square(FILE *to, const trace *t, int c, int r, bool scores) {
    const square *s = &t->cells[c][r];
    char colour[32] = "#5b6676";
    double weight = s->weighed ? s->weight / s->weighed : NAN, score = s->scored ? s->score / s->scored : NAN;
    double side = (CELL - 3) * sqrt((double)s->layers / t->layers);
    double x = c * CELL + CELL / 2.0, y = (t->blocks - 1 - r) * CELL + CELL / 2.0;
    if (s->layers == 0) return;
    if (scores && s->scored) score_colour(t, score, colour);
    else if (scores) snprintf(colour, sizeof colour, "none");
    else if (s->weighed) weight_colour(weight, colour);
    fprintf(to,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"1.5\" "
            "fill=\"%s\"%s><title>block %d at "
            "block %d: %d of %d layers",
            x - side / 2, y - side / 2, side, side, colour, scores && !s->scored ? " stroke=\"#cbd2da\"" : "",
            r, c, s->layers, t->layers);
    if (isfinite(weight)) fprintf(to, "; weight %.3f", weight);
    if (isfinite(score)) fprintf(to, "; score %.4g", score);
    if (s->dropped) fprintf(to, "; evicted in %d", s->dropped);
    fputs("</title></rect>", to);
    if (s->dropped)
        fprintf(
            to,
            "<path d=\"M%.1f %.1fl4 4m0 -4l-4 4\" stroke=\"#b3372f\" stroke-width=\"1.4\" fill=\"none\"/>",
            x - 2, y - 2);
}

static void put_panel(FILE *to, const trace *t, bool scores) {
    int side = t->blocks * CELL;
    fprintf(to,
            "<svg viewBox=\"-12 -2 %d %d\" role=\"img\"><rect x=\"0\" y=\"0\" width=\"%d\" height=\"%d\" "
            "fill=\"#fafbfc\" stroke=\"#dfe4ea\"/>",
            side + 14, side + 14, side, side);
    for (int c = 0; c < t->blocks; c++)
        for (int r = 0; r <= c; r++) put_square(to, t, c, r, scores);
    fprintf(
        to,
        "<text x=\"%d\" y=\"%d\" font-size=\"8\" text-anchor=\"end\" fill=\"#5b6676\">block streamed "
        "&#8594;</text><text x=\"-4\" y=\"%d\" font-size=\"8\" fill=\"#5b6676\" transform=\"rotate(-90 -4 "
        "%d)\">entry &#8594;</text></svg>",
        side, side + 10, side, side);
}

static lt_status put_trace(lt_page *page, const cJSON *row, trace *t) {
    char path[LT_PATH_MAX], file[128], name[160];
    cJSON *root;
    snprintf(file, sizeof file, "traces/%s.json", lt_json_string(row, "id"));
    LT_TRY(lt_path_join(path, page->folder, file));
    if (!lt_path_exists(path)) return LT_OK;
    LT_TRY(lt_json_load(path, &root));
    if (read_trace(root, t)) {
        bool scored = t->high > t->low;
        fputs("<figure>", page->to);
        put_panel(page->to, t, false);
        if (scored) put_panel(page->to, t, true);
        fputs("<figcaption>", page->to);
        lt_html_text(page->to, lt_row_name(row, true, name));
        if (scored) fputs("<br>above: weight, below: score", page->to);
        fputs("</figcaption></figure>\n", page->to);
    }
    cJSON_Delete(root);
    return LT_OK;
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
    int count;
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
          "share "
          "of layers that hold it, its colour the mean weight with which that block read it (blue 0, grey 1, "
          "orange "
          "2; dark: the block's own entry, not yet read), a cross that it was evicted or merged. Entries "
          "that were merged span "
          "the "
          "blocks they stand for.</p>\n",
          page->to);
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
