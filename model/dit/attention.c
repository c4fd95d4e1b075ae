/* Block linear attention over the block itself and the cache: the order in which blocks read and commit. */
#include "model/dit/dit_impl.h"

#include <string.h>

typedef struct attention {
    const lt_dit_step *step;
    lt_segment_box box;
    int segments;            /* per block */
    lt_var **S, **z;         /* [G * segments]: each block's own states */
    lt_var **sum_S, **sum_z; /* [G]: what each block reads */
    lt_tensor all_S, all_z;  /* [G, H, D, D], [G, H, D] */
    lt_tensor q_gain;        /* [H, D], or empty */
} attention;

lt_segment_box lt_dit_segment_box(const int64_t grid[3], lt_granularity granularity) {
    lt_segment_box box = {(int)grid[0], (int)grid[1], (int)grid[2]};
    if (granularity == LT_GRAIN_FRAME) box.frames = 1;
    if (granularity == LT_GRAIN_TILE) box.height = (box.height + 1) / 2, box.width = (box.width + 1) / 2;
    return box;
}

static lt_status project_qkv(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_dit_qkv *out) {
    const lt_dit_config *c = &step->pass->dit->config;
    int64_t C = step->pass->width;
    lt_var *packed, *parts[3];
    lt_dit_begin(tape, step, LT_DIT_QKV);
    LT_TRY(lt_linear_apply(tape, &step->weights->qkv, h, &packed));
    lt_tensor views[3];
    for (int i = 0; i < 3; i++) views[i] = lt_slice(packed->value, 2, i * C, C);
    views[2] = lt_split(views[2], 2, c->heads, c->head_dim);
    LT_TRY(lt_tape_views(tape, packed, 3, views, parts));
    lt_dit_begin(tape, step, LT_DIT_QK);
    *out = (lt_dit_qkv){.v = parts[2]};
    LT_TRY(step->pass->run->norm_qk(tape, step, parts[0], parts[1], out));
    lt_dit_small(tape);
    return LT_OK;
}

static lt_status open_attention(lt_tape *tape, const lt_dit_step *step, const lt_dit_qkv *x, attention *a) {
    const lt_dit_pass *p = step->pass;
    int64_t G = p->groups, H = p->dit->config.heads, D = p->dit->config.head_dim;
    lt_granularity granularity = p->in.cache ? p->in.cache->spec[0].granularity : LT_GRAIN_BLOCK;
    *a = (attention){.step = step, .box = lt_dit_segment_box(p->grid, granularity), .q_gain = x->q_gain};
    a->segments = lt_segment_count(&p->rope, a->box);
    a->S = lt_tape_saved(tape, (2 * a->segments + 2) * G * sizeof *a->S);
    if (!a->S) return LT_FAILED;
    a->z = a->S + a->segments * G;
    a->sum_S = a->z + a->segments * G;
    a->sum_z = a->sum_S + G;
    lt_dtype dtype = lt_ctx_sum_dtype(tape->ctx);
    LT_TRY(LT_NEW(tape->step, dtype, &a->all_S, G, H, D, D));
    LT_TRY(LT_NEW(tape->step, dtype, &a->all_z, G, H, D));
    return lt_ag_attn_state(tape, x->k, x->v, &x->k_norm, &p->rope, a->box, a->S, a->z);
}

static lt_reader reader_of(const attention *a, int g) {
    const lt_dit_input *in = &a->step->pass->in;
    return (lt_reader){.layer = a->step->layer,
                       .sequence = g % in->batch,
                       .stream = g / in->batch % in->streams,
                       .block = a->step->pass->rope.first_frame[g] / a->step->pass->grid[0],
                       .first_frame = a->step->pass->rope.first_frame[g],
                       .t = in->t[g],
                       .own_count = a->segments,
                       .own_S = a->S + g * a->segments,
                       .own_z = a->z + g * a->segments};
}

/* What the groups of a block read: each its block's own states and, of its sequence's cache, what that says. */
static lt_status read_groups(lt_tape *tape, attention *a, int first, int count) {
    lt_cache *cache = a->step->pass->in.cache;
    lt_ag_sum *sums = lt_tape_saved(tape, count * sizeof *sums);
    lt_reader *readers = lt_tape_saved(tape, count * sizeof *readers);
    if (!sums || !readers) return LT_FAILED;
    for (int i = 0; i < count; i++) {
        lt_reader *r = &readers[i];
        *r = reader_of(a, first + i);
        sums[i] = (lt_ag_sum){.count = r->own_count, .S = r->own_S, .z = r->own_z};
    }
    if (cache) LT_TRY(lt_cache_read(cache, tape, count, readers, sums));
    for (int i = 0; i < count; i++) {
        sums[i].out_S = lt_select(a->all_S, 0, first + i);
        sums[i].out_z = lt_select(a->all_z, 0, first + i);
    }
    LT_TRY(lt_ag_attn_combine(tape, count, sums));
    for (int i = 0; i < count; i++) {
        a->sum_S[first + i] = sums[i].sum_S;
        a->sum_z[first + i] = sums[i].sum_z;
    }
    return LT_OK;
}

/* After block `block` was read: its committing stream's shares are noted and its states become entries. */
static lt_status commit_block(lt_tape *tape, attention *a, int block, lt_tensor r) {
    const lt_dit_input *in = &a->step->pass->in;
    if (!in->cache || in->commit_stream < 0) return LT_OK;
    lt_commit *commits = lt_tape_saved(tape, in->batch * sizeof *commits);
    if (!commits) return LT_FAILED;
    for (int b = 0; b < in->batch; b++) {
        int within = in->commit_stream * in->batch + b, g = block * in->streams * in->batch + within;
        commits[b] = (lt_commit){.reader = reader_of(a, g),
                                 .r = lt_select(r, 0, within),
                                 .rope = &a->step->pass->rope,
                                 .box = a->box,
                                 .motion = in->motion[block * in->batch + b]};
    }
    return lt_cache_commit(in->cache, tape, in->batch, commits);
}

/* Every stream of one block reads, then the block commits. */
static lt_status run_block(lt_tape *tape, attention *a, lt_var *q, lt_var *o, int block) {
    const lt_dit_input *in = &a->step->pass->in;
    int count = in->streams * in->batch, first = block * count;
    lt_tensor r;
    LT_TRY(read_groups(tape, a, first, count));
    lt_rope rope = a->step->pass->rope;
    rope.first_frame += first;
    lt_dit_begin(tape, a->step, LT_DIT_ATTN);
    LT_TRY(lt_ag_attn_output(tape, q, a->q_gain, a->sum_S + first, a->sum_z + first,
                             lt_slice(a->all_S, 0, first, count), lt_slice(a->all_z, 0, first, count), &rope,
                             &o, &r));
    lt_dit_small(tape);
    return commit_block(tape, a, block, r);
}

/* q cut into blocks, and the pieces of the output they write. */
static lt_status cut_blocks(lt_tape *tape, const lt_dit_pass *p, lt_var *q, lt_var *o, lt_var **q_parts,
                            lt_var **o_parts) {
    int blocks = p->in.blocks, count = p->in.streams * p->in.batch;
    lt_tensor *views = lt_tape_saved(tape, blocks * sizeof *views);
    if (!views) return LT_FAILED;
    for (int i = 0; i < blocks; i++) {
        views[i] = lt_slice(q->value, 0, i * count, count);
        LT_TRY(lt_tape_piece(tape, o, lt_slice(o->value, 0, i * count, count), &o_parts[i]));
    }
    return lt_tape_views(tape, q, blocks, views, q_parts);
}

lt_status lt_dit_attention(lt_tape *tape, const lt_dit_step *step, lt_var *h, lt_var **out) {
    const lt_dit_pass *p = step->pass;
    lt_var *o;
    lt_dit_qkv x;
    attention a;
    LT_TRY(project_qkv(tape, step, h, &x));
    if (p->in.cache) LT_TRY(lt_cache_layer_begin(p->in.cache, tape, step->layer));
    LT_TRY(open_attention(tape, step, &x, &a));
    lt_var **q_parts = lt_tape_saved(tape, 2 * p->in.blocks * sizeof *q_parts);
    if (!q_parts) return LT_FAILED;
    lt_var **o_parts = q_parts + p->in.blocks;
    lt_dit_begin(tape, step, LT_DIT_ATTN);
    LT_TRY(lt_tape_new(tape, x.q->value.dtype, true, &o, x.q->value.ndim, x.q->value.shape));
    lt_dit_small(tape);
    LT_TRY(cut_blocks(tape, p, x.q, o, q_parts, o_parts));
    for (int block = 0; block < p->in.blocks; block++)
        LT_TRY(run_block(tape, &a, q_parts[block], o_parts[block], block));
    return LT_AG_RESHAPE(tape, o, out, p->groups, p->tokens, p->width);
}
