#include "core/log.h"
#include "tests/harness.h"

#include <pthread.h>

static lt_status checks(int value) {
    LT_CHECK(value > 0, LT_INPUT, "value %d: expected more than %d", value, 0);
    return LT_OK;
}

static lt_status passes_on(int value) {
    LT_TRY(checks(value));
    return LT_OK;
}

static void codes_are_the_exit_codes_of_the_program(void) {
    CHECK(LT_OK == 0 && LT_USAGE == 2 && LT_INPUT == 3 && LT_FAILED == 4 && LT_UNAVAILABLE == 5 &&
          LT_INTERRUPTED == 6);
}

static void failure_records_code_and_message(void) {
    CHECK_OK(passes_on(1));
    CHECK_FAILS(passes_on(-3), LT_INPUT, "value -3: expected more than 0");
}

static void context_goes_in_front(void) {
    lt_fail(LT_INPUT, "no frames");
    CHECK(lt_fail_in(LT_FAILED, "clip %d", 7) == LT_FAILED);
    CHECK(strcmp(lt_error(), "clip 7: no frames") == 0);
}

static void message_may_quote_the_last_one(void) {
    lt_fail(LT_INPUT, "inner");
    lt_fail(LT_INPUT, "outer (%s)", lt_error());
    CHECK(strcmp(lt_error(), "outer (inner)") == 0);
    lt_fail_in(LT_INPUT, "after %s", lt_error());
    CHECK(strcmp(lt_error(), "after outer (inner): outer (inner)") == 0);
}

static void long_messages_are_cut_at_2_KiB(void) {
    char *text = malloc(5001);
    memset(text, 'x', 5000);
    text[5000] = '\0';
    lt_fail(LT_FAILED, "%s", text);
    CHECK(strlen(lt_error()) == 2047);
    lt_fail_in(LT_FAILED, "%s", text);
    CHECK(strlen(lt_error()) == 2047);
    lt_fail(LT_FAILED, "short");
    lt_fail_in(LT_FAILED, "%.2000s", text);
    CHECK(strlen(lt_error()) == 2007);
    free(text);
}

static void *fails_elsewhere(void *seen) {
    snprintf(seen, 64, "%s", lt_error());
    lt_fail(LT_FAILED, "other thread");
    return NULL;
}

static void threads_have_messages_of_their_own(void) {
    lt_fail(LT_INPUT, "this thread");
    char seen[64] = "untouched";
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, fails_elsewhere, seen) == 0);
    pthread_join(thread, NULL);
    CHECK(strcmp(seen, "") == 0);
    CHECK(strcmp(lt_error(), "this thread") == 0);
}

static char logged[8192];

static void collect(lt_log_level level, const char *line, void *user) {
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s%d:%s|", (const char *)user, (int)level, line);
}

static void log_drops_what_is_above_the_level(void) {
    logged[0] = '\0';
    lt_log_init(collect, "", LT_LOG_WARN);
    lt_info("not this");
    lt_warn("that %d", 1);
    lt_log(LT_LOG_ERROR, "and this");
    lt_log_init(NULL, NULL, LT_LOG_INFO);
    lt_warn("silence");
    CHECK(strcmp(logged, "1:that 1|0:and this|") == 0);
}

static void log_sends_single_lines_to_both_sinks(void) {
    logged[0] = '\0';
    lt_log_init(collect, "a", LT_LOG_DEBUG);
    lt_log_tee(collect, "b");
    lt_debug("one\ntwo\n");
    lt_log_tee(NULL, NULL);
    lt_info("three");
    lt_log_init(NULL, NULL, LT_LOG_INFO);
    CHECK(strcmp(logged, "a3:one|b3:one|a3:two|b3:two|a2:three|") == 0);
}

static void log_keeps_long_lines_whole(void) {
    char text[3001];
    memset(text, 'y', 3000);
    text[3000] = '\0';
    logged[0] = '\0';
    lt_log_init(collect, "", LT_LOG_INFO);
    lt_info("%s", text);
    lt_log_init(NULL, NULL, LT_LOG_INFO);
    CHECK(strlen(logged) == 3000 + strlen("2:|"));
}

/* A file may have any name; a terminal must show it and not obey it. */
static void names_in_messages_are_shown_and_not_obeyed(void) {
    static const char name[] = "a\x1b[2J\r\nb\xc2\x9b\xe2\x80\xae\xff\xc3\xa4.mp4";
    static const char shown[] = "a\\x1b[2J\\r\\nb\\u009b\\u202e\\xff\xc3\xa4.mp4";
    lt_fail(LT_INPUT, "%s", name);
    CHECK(strcmp(lt_error(), shown) == 0);
    lt_fail_in(LT_INPUT, "%s", name);
    CHECK(strncmp(lt_error(), shown, strlen(shown)) == 0 && strlen(lt_error()) == 2 * strlen(shown) + 2);
    lt_fail(LT_INPUT, "%s", lt_error());
    CHECK(strlen(lt_error()) == 2 * strlen(shown) + 2);
    logged[0] = '\0';
    lt_log_init(collect, "", LT_LOG_INFO);
    lt_info("%s", name);
    lt_log_init(NULL, NULL, LT_LOG_INFO);
    CHECK(strncmp(logged, "2:", 2) == 0 && strncmp(logged + 2, shown, strlen(shown)) == 0);
}

static void messages_of_several_lines_keep_them(void) {
    lt_fail(LT_INPUT, "found:\n%sexpected:\n%s", "a\n\x1b", "b\n");
    CHECK(strcmp(lt_error(), "found:\na\n\\x1bexpected:\nb\n") == 0);
    lt_fail_in(LT_INPUT, "file\n");
    CHECK(strcmp(lt_error(), "file\n: found:\na\n\\x1bexpected:\nb\n") == 0);
}

int main(int argc, char **argv) {
    RUN(codes_are_the_exit_codes_of_the_program);
    RUN(failure_records_code_and_message);
    RUN(context_goes_in_front);
    RUN(message_may_quote_the_last_one);
    RUN(long_messages_are_cut_at_2_KiB);
    RUN(threads_have_messages_of_their_own);
    RUN(log_drops_what_is_above_the_level);
    RUN(log_sends_single_lines_to_both_sinks);
    RUN(log_keeps_long_lines_whole);
    RUN(names_in_messages_are_shown_and_not_obeyed);
    RUN(messages_of_several_lines_keep_them);
    return test_end();
}
