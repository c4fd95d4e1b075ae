#include "infer/prompts.h"

#include "core/io.h"
#include "tests/harness.h"

#include <unistd.h>

static char path[LT_PATH_MAX];

static lt_status read_text(const char *text, int64_t blocks, lt_prompts *prompts) {
    CHECK_OK(lt_write_file(path, text, strlen(text)));
    lt_status status = lt_prompts_read(path, blocks, prompts);
    unlink(path);
    return status;
}

static bool is_at(const lt_prompts *prompts, int64_t block, const char *text) {
    const char *found = lt_prompts_at(prompts, block);
    return text ? found && strcmp(found, text) == 0 : !found;
}

static void lines_share_the_blocks_equally(void) {
    lt_prompts p;
    CHECK_OK(read_text("a cat\n\n  a dog: brown \r\nthird", 8, &p));
    CHECK(p.count == 3);
    CHECK(p.first[0] == 0 && p.first[1] == 2 && p.first[2] == 5);
    CHECK(is_at(&p, 0, "a cat") && is_at(&p, 1, "a cat") && is_at(&p, 2, "a dog: brown"));
    CHECK(is_at(&p, 5, "third") && is_at(&p, 1000000, "third"));
    lt_prompts_free(&p);
    for (int64_t blocks = 3; blocks < 40; blocks++) {
        CHECK_OK(read_text("a\nb\nc\n", blocks, &p));
        for (int i = 0; i < 3; i++) {
            int64_t length = (i < 2 ? p.first[i + 1] : blocks) - p.first[i];
            CHECK(length == blocks / 3 || length == blocks / 3 + 1);
        }
        lt_prompts_free(&p);
    }
}

static void numbered_lines_start_at_their_block(void) {
    lt_prompts p;
    CHECK_OK(read_text("2: a cat\n10:a dog\n", 12, &p));
    CHECK(is_at(&p, 0, NULL) && is_at(&p, 1, NULL));
    CHECK(is_at(&p, 2, "a cat") && is_at(&p, 9, "a cat") && is_at(&p, 10, "a dog"));
    lt_prompts_free(&p);
}

static void one_prompt_holds_for_all_blocks(void) {
    lt_prompts p;
    CHECK_OK(lt_prompts_one("x", &p));
    CHECK(is_at(&p, 0, "x") && is_at(&p, 99, "x"));
    lt_prompts_free(&p);
    CHECK_OK(lt_prompts_one(NULL, &p));
    CHECK(is_at(&p, 0, NULL));
    lt_prompts_free(&p);
}

static void bad_files_name_the_line(void) {
    lt_prompts p;
    CHECK_FAILS(lt_prompts_read("/nowhere/x.txt", 4, &p), LT_INPUT, "/nowhere/x.txt");
    CHECK_OK(read_text("\xef\xbb\xbf"
                       "2: a cat\n",
                       12, &p)); /* as editors on Windows save it */
    CHECK(p.count == 1 && p.first[0] == 2 && strcmp(p.text[0], "a cat") == 0);
    lt_prompts_free(&p);
    CHECK_FAILS(read_text("\n \n", 4, &p), LT_INPUT, "no prompt");
    CHECK_FAILS(read_text("0: a\n\nb\n", 4, &p), LT_INPUT, "line 3");
    CHECK_FAILS(read_text("a\n4: b\n", 4, &p), LT_INPUT, "line 2");
    CHECK_FAILS(read_text("4: a\n4: b\n", 9, &p), LT_INPUT, "line 2");
    CHECK_FAILS(read_text("a\nb\nc\n", 2, &p), LT_INPUT, "3 prompts for 2 blocks");
    CHECK_FAILS(read_text("a\xff\n", 2, &p), LT_INPUT, "UTF-8");
}

int main(int argc, char **argv) {
    char folder[TEST_FOLDER];
    test_make_folder("lt_prompts", folder);
    CHECK_OK(lt_path_join(path, folder, "prompts.txt"));
    RUN(lines_share_the_blocks_equally);
    RUN(numbered_lines_start_at_their_block);
    RUN(one_prompt_holds_for_all_blocks);
    RUN(bad_files_name_the_line);
    CHECK_OK(lt_remove_tree(folder));
    return test_end();
}
