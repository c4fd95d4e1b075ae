/* What the parts of the forward pass share. Private to model/dit/. */
#ifndef LT_MODEL_DIT_DIT_IMPL_H
#define LT_MODEL_DIT_DIT_IMPL_H

#include "model/dit/dit.h"

/* One forward call. */
typedef struct lt_dit_pass {
    const lt_dit *dit;
    lt_dit_input in;
    int groups, width;
    int64_t grid[3], tokens; /* tokens of one block: frames, rows, columns; their product */
    lt_rope rope;
    lt_var *time;       /* [G, 1, C]: for the final modulation */
    lt_var *modulation; /* [G, 6, C]: every layer adds its table */
    lt_var *text;       /* [batch, L, C] */
    lt_dit_keep keep;
    lt_var *
        normed; /* where nothing is recorded: [G, T, C], the next norm, made with the sum before it. Where the products that read
                     * it are e4m3, so is it, with a scale for each row; x1 lies there so too, for cross-attention's q */
} lt_dit_pass;

/* One layer of it: the user data of its segment and of those within. */
typedef struct lt_dit_step {
    lt_dit_pass *pass;
    int layer;
    lt_var *x, *x1, *x2, *out; /* the residual stream: before, between and after the branches */
    lt_var *mod[6];
    lt_var *inputs[3], *branch_inputs[3][2];
} lt_dit_step;

/* What is left of a forward once time and text are embedded. */
lt_status lt_dit_body(lt_tape *tape, lt_dit_pass *pass, lt_var **velocity);
/* The same by way of pass->in.replay. */
lt_status lt_dit_replay_body(lt_tape *tape, lt_dit_pass *pass, lt_var **velocity);
/* Whether somebody looks at values in between. */
bool lt_dit_probed(void);

/* The operations to come compute `value`: its fate, as the pass's lt_dit_keep says. lt_dit_small: values always kept. */
void lt_dit_begin(lt_tape *tape, const lt_dit_step *step, lt_dit_value value);
void lt_dit_small(lt_tape *tape);

/* One layer, `step` an lt_dit_step; an lt_segment_fn. */
lt_status lt_dit_layer_run(lt_tape *tape, void *step);
/* Block linear attention with cache, h [G, T, C] -> [G, T, C]. */
lt_status lt_dit_attention(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out);
/* Mix-FFN with temporal convolution, h [G, T, C] -> [G, T, C]. */
lt_status lt_dit_ffn(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out);
/* x [G, T, C] with RMS norm over all heads, as [G, T, heads, C / heads]. Where nothing is recorded, in place, and times `gain` [C]
 * (NULL: 1) besides. */
lt_status lt_dit_normalise(lt_tape *tape, lt_var *x, lt_var *weight, lt_var *gain, double eps, int heads,
                           lt_var **out);
/* Only that norm's factor of each token, `scale` [G, T]: where nothing is recorded, attention multiplies as it loads x, which is not
 * written again. */
lt_status lt_dit_scale(lt_tape *tape, const lt_var *x, double eps, lt_tensor *scale);
/* x [G, T, C] as [G, T, heads, C / heads], where nothing is recorded. */
lt_status lt_dit_heads(lt_tape *tape, const lt_var *x, int heads, lt_var **out);
/* Shows a value to the probe (lt_dit_set_probe) as "LAYER.what", or "what" where layer < 0. */
void lt_dit_report(const char *what, int layer, const lt_var *value);

#endif
