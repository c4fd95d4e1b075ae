#include "core/text.h"
#include "tests/harness.h"

static const char *shown(const char *text, lt_layout layout) {
    static char out[256];
    return lt_printable(out, sizeof out, text, layout);
}

static void letters_of_any_script_stay(void) {
    static const char *const texts[] = {"plain name.mp4",
                                        "Stra\xc3\x9f"
                                        "e",
                                        "\xe5\x8b\x95\xe7\x94\xbb",             /* kanji */
                                        "\xd9\x85\xd8\xb1\xe2\x80\x8c\xd8\xa7", /* Persian with a joiner */
                                        "\xf0\x9f\x8e\xac",
                                        "a\\b \"'&<>"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK(strcmp(shown(texts[i], LT_ONE_LINE), texts[i]) == 0);
}

static void controls_are_escaped(void) {
    CHECK(strcmp(shown("\x1b]0;title\a", LT_ONE_LINE), "\\x1b]0;title\\x07") == 0);
    CHECK(strcmp(shown("a\rb\tc\nd\x7f", LT_ONE_LINE), "a\\rb\\tc\\nd\\x7f") == 0);
    CHECK(strcmp(shown("a\rb\tc\nd", LT_LINES), "a\\rb\tc\nd") == 0);
    CHECK(strcmp(shown("\xc2\x9b"
                       "31m",
                       LT_ONE_LINE),
                 "\\u009b31m") == 0);
    CHECK(strcmp(shown("\xe2\x80\xae"
                       "4pm.exe\xe2\x81\xa9",
                       LT_ONE_LINE),
                 "\\u202e4pm.exe\\u2069") == 0);
    CHECK(strcmp(shown("\xef\xbb\xbf\xf3\xa0\x81\x81", LT_ONE_LINE), "\\ufeff\\ue0041") == 0);
}

static void bytes_that_are_no_letters_are_escaped(void) {
    CHECK(strcmp(shown("\x9b\xff\xc3", LT_ONE_LINE), "\\x9b\\xff\\xc3") == 0);
    CHECK(strcmp(shown("\xc0\x9b\xed\xa0\x80", LT_ONE_LINE), "\\xc0\\x9b\\xed\\xa0\\x80") == 0);
}

static void what_does_not_fit_ends_with_a_whole_character(void) {
    char out[6];
    CHECK(strcmp(lt_printable(out, sizeof out, "abcd\xc3\xa4", LT_ONE_LINE), "abcd") == 0);
    CHECK(strcmp(lt_printable(out, sizeof out, "abc\xc3\xa4x", LT_ONE_LINE), "abc\xc3\xa4") == 0);
    CHECK(strcmp(lt_printable(out, sizeof out, "ab\x1b", LT_ONE_LINE), "ab") == 0);
}

static void a_copy_holds_all_of_the_longest_escapes(void) {
    char *copy = lt_printable_copy("\x1b\xff\xef\xbb\xbf\xf3\xa0\x81\x81", LT_ONE_LINE);
    CHECK(copy && strcmp(copy, "\\x1b\\xff\\ufeff\\ue0041") == 0);
    free(copy);
}

static void cells_of_a_table_have_one_width(void) {
    char out[64];
    CHECK(strcmp(lt_table_cell(out, sizeof out, "ab", 4), "ab  ") == 0);
    CHECK(strcmp(lt_table_cell(out, sizeof out, "\xc3\xa4\xc3\xa4\xc3\xa4", 2), "\xc3\xa4\xc3\xa4") == 0);
    CHECK(strcmp(lt_table_cell(out, sizeof out,
                               "a\x1b"
                               "b",
                               6),
                 "a\\x1bb") == 0);
    CHECK(strcmp(lt_table_cell(out, sizeof out, "a\x1b", 4), "a   ") == 0);
    CHECK(strcmp(lt_table_cell(out, sizeof out, "a\\b", 4), "a\\b ") == 0);
}

static const char *field(const char *text) {
    static char *out;
    size_t size;
    free(out);
    FILE *to = open_memstream(&out, &size);
    lt_csv_text(to, text);
    fclose(to);
    return out;
}

static void a_text_is_one_field_and_no_formula(void) {
    CHECK(strcmp(field("plain name"), "plain name") == 0);
    CHECK(strcmp(field("a,\"b\"\r\nc"), "\"a,\"\"b\"\"\r\nc\"") == 0);
    CHECK(strcmp(field("=1+1"), "\"'=1+1\"") == 0 && strcmp(field("@x\""), "\"'@x\"\"\"") == 0);
    CHECK(strcmp(field("-1"), "\"'-1\"") == 0 && strcmp(field("+x"), "\"'+x\"") == 0);
    CHECK(strcmp(field("a=b"), "a=b") == 0 && strcmp(field(""), "") == 0);
}

int main(int argc, char **argv) {
    RUN(letters_of_any_script_stay);
    RUN(controls_are_escaped);
    RUN(bytes_that_are_no_letters_are_escaped);
    RUN(what_does_not_fit_ends_with_a_whole_character);
    RUN(a_copy_holds_all_of_the_longest_escapes);
    RUN(cells_of_a_table_have_one_width);
    RUN(a_text_is_one_field_and_no_formula);
    return test_end();
}
