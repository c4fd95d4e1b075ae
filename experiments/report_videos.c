/* Side by side: the clip, and what each policy generated from its beginning. */
#include "data/png.h"
#include "experiments/report_impl.h"

#include <stdlib.h>
#include <string.h>

static lt_status put_data(lt_page *page, const char *path) {
    char *bytes;
    size_t size;
    LT_TRY(lt_read_file(path, &bytes, &size));
    char *text = lt_base64(bytes, size);
    free(bytes);
    LT_CHECK(text, LT_FAILED, "%s: out of memory", path);
    fputs(text, page->to);
    free(text);
    return LT_OK;
}

/* The video where there is one, else the strip. */
static lt_status put_item(lt_page *page, const cJSON *item) {
    char path[LT_PATH_MAX], file[128], name[160];
    FILE *to = page->to;
    bool source = strcmp(lt_json_string(item, "keep"), "source") == 0;
    snprintf(file, sizeof file, "videos/%s.mp4", lt_json_string(item, "file"));
    LT_TRY(lt_path_join(path, page->folder, file));
    bool video = lt_path_exists(path);
    fprintf(to, "<figure>");
    if (video) {
        fputs("<video autoplay loop muted playsinline controls src=\"data:video/mp4;base64,", to);
        LT_TRY(put_data(page, path));
        fputs("\"></video>", to);
    } else {
        snprintf(file, sizeof file, "videos/%s.png", lt_json_string(item, "file"));
        LT_TRY(lt_path_join(path, page->folder, file));
        fputs("<img class=\"strip\" alt=\"one frame per block\" src=\"data:image/png;base64,", to);
        LT_TRY(put_data(page, path));
        fputs("\">", to);
    }
    fputs("<figcaption>", to);
    lt_html_text(to, source ? "the clip, through the codec" : lt_row_name(item, true, name));
    fputs("</figcaption></figure>\n", to);
    return LT_OK;
}

/* PNG strips are wide: one below the other. */
static bool any_video(const lt_page *page, const cJSON *index) {
    char path[LT_PATH_MAX], file[128];
    const cJSON *item;
    cJSON_ArrayForEach(item, index) {
        snprintf(file, sizeof file, "videos/%s.mp4", lt_json_string(item, "file"));
        if (lt_path_join(path, page->folder, file) == LT_OK && lt_path_exists(path)) return true;
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
    if (made)
        fprintf(page->to,
                "The first %g blocks are footage; the %g after them are generated, with the same noise under "
                "every policy. ",
                lt_json_number(made, "history"),
                lt_json_number(made, "blocks") - lt_json_number(made, "history"));
    fputs(video ? "</p>\n" : "One frame per block, as this build writes no mp4 (FFmpeg libraries).</p>\n",
          page->to);
    cJSON_ArrayForEach(set, page->sets) LT_TRY(put_set(page, set, index, video));
    fputs("</section>\n", page->to);
    return LT_OK;
}

lt_status lt_report_videos(lt_page *page) {
    char path[LT_PATH_MAX];
    cJSON *index;
    LT_TRY(lt_path_join(path, page->folder, "videos/index.json"));
    if (!lt_path_exists(path)) return LT_OK;
    LT_TRY(lt_json_load(path, &index));
    lt_status status = cJSON_GetArraySize(index) > 0 ? put_all(page, index) : LT_OK;
    cJSON_Delete(index);
    return status;
}
