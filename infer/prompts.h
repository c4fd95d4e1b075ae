/* Which prompt each block of a generated video has. */
#ifndef LT_INFER_PROMPTS_H
#define LT_INFER_PROMPTS_H

#include "core/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lt_prompts {
    int64_t *first;    /* [count]: first block of each, ascending */
    const char **text; /* [count] */
    int count;
    lt_pool pool;
} lt_prompts;

/* Reads a UTF-8 text file with one prompt per line for a video of `blocks` blocks; empty lines do not count. Either all
 * lines are "BLOCK: PROMPT" with growing block numbers from 0 on (what comes before the first has the null prompt), or
 * none is, and the lines share the blocks equally, in order. LT_INPUT names the line that is wrong. */
lt_status lt_prompts_read(const char *path, int64_t blocks, lt_prompts *out);
/* One prompt for all blocks; NULL: the null prompt. */
lt_status lt_prompts_one(const char *prompt, lt_prompts *out);
void lt_prompts_free(lt_prompts *prompts);

/* The prompt of a block; NULL: the null prompt. */
const char *lt_prompts_at(const lt_prompts *prompts, int64_t block);

#ifdef __cplusplus
}
#endif
#endif
