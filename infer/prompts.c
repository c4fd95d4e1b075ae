#include "infer/prompts.h"

#include "core/io.h"
#include "core/json.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* "12: text" -> 12 and the text; false for a line without a number and a colon in front. */
static bool split_number(char *line, int64_t *block, char **text) {
    char *end = line;
    while (isdigit((unsigned char)*end)) end++;
    if (end == line || end - line > 15 || *end != ':') return false;
    *block = strtoll(line, NULL, 10);
    *text = end + 1 + strspn(end + 1, " \t");
    return true;
}

/* Cuts white space off both ends. */
static char *trim(char *line) {
    line += strspn(line, " \t\r");
    for (size_t n = strlen(line); n > 0 && strchr(" \t\r", line[n - 1]); n--) line[n - 1] = '\0';
    return line;
}

static lt_status add_line(lt_prompts *p, const char *path, int number, char *line, int *numbered) {
    int64_t block = -1;
    char *text = line;
    bool has_number = split_number(line, &block, &text);
    if (p->count == 0) *numbered = has_number;
    LT_CHECK(has_number == (bool)*numbered, LT_INPUT, "%s, line %d: expected %s like the lines before it",
             path, number, *numbered ? "\"BLOCK: PROMPT\"" : "a prompt without a block number");
    LT_CHECK(!has_number || p->count == 0 || block > p->first[p->count - 1], LT_INPUT,
             "%s, line %d: block %" PRId64 " after block %" PRId64 "; block numbers must grow", path, number,
             block, p->count ? p->first[p->count - 1] : -1);
    p->first[p->count] = block;
    p->text[p->count++] = text;
    return LT_OK;
}

/* Line i of n without numbers starts at block i * blocks / n. */
static lt_status share(lt_prompts *p, const char *path, int64_t blocks) {
    LT_CHECK(p->count <= blocks, LT_INPUT,
             "%s: %d prompts for %" PRId64 " blocks; generate more with --blocks", path, p->count, blocks);
    for (int i = 0; i < p->count; i++)
        p->first[i] = i * (blocks / p->count) + i * (blocks % p->count) / p->count;
    return LT_OK;
}

static lt_status parse(lt_prompts *p, const char *path, char *text, int64_t blocks) {
    int lines = 1, numbered = false, number = 0;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    p->first = lt_pool_alloc(&p->pool, (size_t)lines * sizeof *p->first);
    p->text = lt_pool_alloc(&p->pool, (size_t)lines * sizeof *p->text);
    if (!p->first || !p->text) return LT_FAILED;
    for (char *next, *line = text; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        number++;
        line = trim(line);
        if (*line) LT_TRY(add_line(p, path, number, line, &numbered));
    }
    LT_CHECK(p->count > 0, LT_INPUT, "%s: there is no prompt in it; expected one per line", path);
    return numbered ? LT_OK : share(p, path, blocks);
}

lt_status lt_prompts_read(const char *path, int64_t blocks, lt_prompts *out) {
    char *text, *kept;
    size_t size;
    *out = (lt_prompts){0};
    LT_TRY(lt_read_text(path, &text, &size));
    lt_status status = LT_OK;
    if (!(kept = lt_pool_strdup(&out->pool, text))) status = LT_FAILED;
    else status = parse(out, path, kept, blocks);
    free(text);
    if (status != LT_OK) lt_prompts_free(out);
    return status;
}

lt_status lt_prompts_one(const char *prompt, lt_prompts *out) {
    *out = (lt_prompts){0};
    if (!prompt) return LT_OK;
    out->first = lt_pool_alloc(&out->pool, sizeof *out->first);
    out->text = lt_pool_alloc(&out->pool, sizeof *out->text);
    char *copy = lt_pool_strdup(&out->pool, prompt);
    if (!out->first || !out->text || !copy) {
        lt_prompts_free(out);
        return LT_FAILED;
    }
    out->text[0] = copy;
    out->count = 1;
    return LT_OK;
}

void lt_prompts_free(lt_prompts *prompts) {
    lt_pool_free(&prompts->pool);
    *prompts = (lt_prompts){0};
}

const char *lt_prompts_at(const lt_prompts *p, int64_t block) {
    const char *text = NULL;
    for (int i = 0; i < p->count && p->first[i] <= block; i++) text = p->text[i];
    return text;
}
