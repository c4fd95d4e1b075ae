/* Side by side: the clip, and what each policy generated from its beginning. */
#include "data/png.h"
#include "experiments/report_impl.h"

#include <stdlib.h>
#include <string.h>

/* Missing or unreadable files are told about in the page, and the rest of the report is made. */
static char *read_picture(lt_page *page, const cJSON *item, const char *suffix, size_t *size) {
    char name[160], *bytes = NULL;
    snprintf(name, sizeof name, "%.120s%s", lt_json_string(item, "file"), suffix);
    if (lt_report_read(page->folder, "videos", name, LT_REPORT_PICTURE_LIMIT, &bytes, size) != LT_OK)
        lt_put_missing(page, lt_error());
    return bytes;
}

static lt_status put_data(lt_page *page, const char *bytes, size_t size) {
    char *text = lt_base64(bytes, size);
    LT_CHECK(text, LT_FAILED, "out of memory for a video of %zu bytes", size);
    page->embedded += size;
    fputs(text, page->to);
    free(text);
    return LT_OK;
}

/* The row of results that an item of the index belongs to, or NULL: the look is that row's. */
static const cJSON *row_of(const lt_page *page, const cJSON *item) {
    const cJSON *row;
    cJSON_ArrayForEach(row, page->rows) {
        if (lt_row_in_set(row, item) &&
            strcmp(lt_json_string(row, "keep"), lt_json_string(item, "keep")) == 0 &&
            strcmp(lt_json_string(row, "read"), lt_json_string(item, "read")) == 0 &&
            lt_json_number(row, "budget") == lt_json_number(item, "budget"))
            return row;
    }
    return NULL;
}

static void put_caption(lt_page *page, const cJSON *item) {
    const cJSON *row = row_of(page, item);
    fputs("<figcaption>", page->to);
    if (strcmp(lt_json_string(item, "keep"), "source") == 0)
        fputs("the clip itself, through the codec", page->to);
    else {
        if (row) lt_put_swatch(page, row), fputc(' ', page->to);
        lt_put_name(page, item);
    }
    fputs("</figcaption></figure>\n", page->to);
}

/* The video where there is one, else the strip. */
static lt_status put_item(lt_page *page, const cJSON *item) {
    size_t size = 0;
    char *video = read_picture(page, item, ".mp4", &size), *strip = NULL;
    if (!video && lt_is_plain_name(lt_json_string(item, "file")))
        strip = read_picture(page, item, ".png", &size);
    if (!video && !strip) {
        if (lt_is_plain_name(lt_json_string(item, "file")))
            lt_put_missing(page, "a video that videos/index.json names is not there");
        return LT_OK;
    }
    lt_status status = lt_fail(LT_FAILED, "videos hold more than %d MiB", LT_REPORT_PICTURES >> 20);
    if (page->embedded + size <= LT_REPORT_PICTURES) {
        fputs(video ? "<figure><video autoplay loop muted playsinline controls src=\"data:video/mp4;base64,"
                    : "<figure><img class=\"strip\" alt=\"one frame per block\" src=\"data:image/png;base64,",
              page->to);
        status = put_data(page, video ? video : strip, size);
        fputs(video ? "\"></video>" : "\">", page->to);
        put_caption(page, item);
    } else {
        lt_put_missing(page, lt_error());
        status = LT_OK;
    }
    free(video);
    free(strip);
    return status;
}

/* PNG strips are wide: one below the other. */
static bool any_video(const lt_page *page, const cJSON *index) {
    char path[LT_PATH_MAX], name[160];
    const cJSON *item;
    cJSON_ArrayForEach(item, index) {
        snprintf(name, sizeof name, "videos/%.120s.mp4", lt_json_string(item, "file"));
        if (lt_is_plain_name(lt_json_string(item, "file")) &&
            lt_path_join(path, page->folder, name) == LT_OK && lt_path_exists(path))
            return true;
    }
    return false;
}

static lt_status put_set(lt_page *page, const cJSON *set, const cJSON *index, bool video) {
    const cJSON *item;
    fputs("<h3>", page->to);
    lt_html_text(page->to, lt_json_string(set, "set"));
    fprintf(page->to, "</h3>\n<div class=\"%s\">\n", video ? "small" : "strips");
    cJSON_ArrayForEach(item, index) if (strcmp(lt_json_string(item, "set"), lt_json_string(set, "set")) == 0)
        LT_TRY(put_item(page, item));
    fputs("</div>\n", page->to);
    return LT_OK;
}

static lt_status put_all(lt_page *page, const cJSON *index) {
    const cJSON *set, *item, *made = NULL;
    bool video = any_video(page, index);
    cJSON_ArrayForEach(item, index) if (strcmp(lt_json_string(item, "keep"), "source") != 0) made = item;
    fputs("<section><h2>Side by side</h2>\n<p class=\"soft\">", page->to);
    if (made) {
        double history = lt_json_number(made, "history");
        fputs("The first ", page->to);
        lt_put_count(page->to, history, "block");
        fputs(" are footage (<span class=\"given\">given</span>: a grey bar above the picture), the next ",
              page->to);
        lt_put_number(page->to, "%g", lt_json_number(made, "blocks") - history);
        fputs(" the model's (<span class=\"made\">generated</span>: an orange one), with the same noise "
              "under every "
              "policy. The bar fills as time passes. ",
              page->to);
    }
    fputs(video ? "</p>\n" : "One frame per block, as this build writes no mp4 (FFmpeg libraries).</p>\n",
          page->to);
    cJSON_ArrayForEach(set, page->sets) LT_TRY(put_set(page, set, index, video));
    fputs("</section>\n", page->to);
    return LT_OK;
}

lt_status lt_report_videos(lt_page *page) {
    cJSON *index;
    if (lt_report_json(page->folder, "videos", "index.json", &index) != LT_OK)
        lt_put_missing(page, lt_error());
    if (!index) return LT_OK;
    lt_status status = cJSON_IsArray(index) && index->child ? put_all(page, index) : LT_OK;
    cJSON_Delete(index);
    return status;
}
