#include "core/io.h"
#include "core/json.h"
#include "core/text.h"

#include <stdlib.h>
#include <string.h>

size_t lt_utf8_length(const char *text, size_t left) {
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] < 0x80) return 1;
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || left < length) return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool surrogate = at[0] == 0xed && at[1] > 0x9f, too_high = at[0] == 0xf4 && at[1] > 0x8f;
    return overlong || surrogate || too_high ? 0 : length;
}

bool lt_utf8_valid(const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t length = lt_utf8_length(text + at, size - at);
        if (!length) return false;
        at += length;
    }
    return true;
}

size_t lt_utf8_mark(const char *text, size_t size) {
    return size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

lt_status lt_read_text(const char *path, char **out, size_t *size) {
    LT_TRY(lt_read_file(path, out, size));
    size_t mark = lt_utf8_mark(*out, *size);
    *size -= mark;
    memmove(*out, *out + mark, *size + 1);
    if (lt_utf8_valid(*out, *size) && strlen(*out) == *size) return LT_OK;
    free(*out);
    *out = NULL;
    return lt_fail(LT_INPUT, "%s: not a text in UTF-8", path);
}
