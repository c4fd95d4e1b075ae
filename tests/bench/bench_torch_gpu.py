#!/usr/bin/env python3
"""Times PyTorch's and diffusers' counterparts of our GPU benchmarks; prints a JSON line per figure.

usage: python3 tests/bench/bench_torch_gpu.py [--mode eager,compile,tuned] [--repeats 5] WORK...
       WORK: attention, forward-480p, forward-480p-x2, forward-block, forward-720p, step-480p, step-block

Needs torch, and for all but `attention` the package diffusers; random weights, bf16, one GPU. `compile` compiles each
transformer block. `tuned` is what someone would do who tunes PyTorch: compiled, tf32 where products are float32, and linear
attention with bf16 products (its error is printed; `tf32`, for attention alone, keeps float32 sums). Each work has a line of
mode `floor` too: the time that its products and its bytes would take at the rates of this card, measured beforehand: products
in the model's own shapes by torch.matmul, copies of 1 GiB. `ms` are medians between CUDA events.
"""
import argparse
import gc
import json

import torch
import torch.nn.functional as F

WIDTH, LAYERS, HEADS, DIM, FFN = 2240, 20, 20, 112, 3
# What is no product at 32,760 tokens, in ms, on a card that copies 2.97 TB/s: a block's rows when well fused; the
# softmax of cross-attention in all blocks; and in a training step everything of that kind, the optimizer and the norm
# of the gradients.
ROWS_OF_A_BLOCK, CROSS_ATTENTION, ROWS_OF_A_STEP, TOKENS, COPIES = 1.3, 3.5, 138.0, 32760, 2.97e12
VIDEO_480P, BLOCK_480P, VIDEO_720P = (16, 21, 60, 104), (16, 10, 60, 104), (128, 11, 22, 40)
WORKS = {  # latent, patch, batch, training, recompute
    "forward-480p": (VIDEO_480P, (1, 2, 2), 1, False, False),
    "forward-480p-x2": (VIDEO_480P, (1, 2, 2), 2, False, False),
    "forward-block": (BLOCK_480P, (1, 2, 2), 1, False, False),
    "forward-720p": (VIDEO_720P, (1, 1, 1), 1, False, False),
    "step-480p": (VIDEO_480P, (1, 2, 2), 1, True, True),
    "step-block": (BLOCK_480P, (1, 2, 2), 1, True, False),
}


def arguments():
    p = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("works", nargs="+", metavar="WORK", choices=["attention", *WORKS])
    p.add_argument("--mode", default="eager,compile,tuned", help="which renditions")
    p.add_argument("--repeats", type=int, default=5, help="calls of which the median is taken")
    p.add_argument("--device", default="cuda", help="cuda; anything else is for trying this program")
    return p.parse_args()


def emit(work, mode, ms, **more):
    print(json.dumps({"work": work, "mode": mode, "ms": round(ms, 4), **more}), flush=True)


def median_ms(args, fn, warmup=2):
    for _ in range(warmup):
        fn()
    if args.device != "cuda":
        return 1.0
    times = []
    for _ in range(args.repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        fn()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def clear(args):
    gc.collect()
    torch._dynamo.reset()
    if args.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib(args):
    return round(torch.cuda.max_memory_allocated() / 2**30, 2) if args.device == "cuda" else 0


# ---- floors
# -----------------------------------------------------------------------------------------------------------

def copy_rate(args):
    """Bytes a second, read and written."""
    x = torch.empty(1 << 30, dtype=torch.uint8, device=args.device)
    y = torch.empty_like(x)
    return 2 * x.numel() / (median_ms(args, lambda: y.copy_(x), 3) * 1e-3)


def products_ms(args, tokens):
    """All matrix products of a forward pass, in the model's own shapes."""
    def one(k, m):
        x = torch.randn(tokens, k, device=args.device, dtype=torch.bfloat16)
        w = torch.randn(m, k, device=args.device, dtype=torch.bfloat16)
        return median_ms(args, lambda: x @ w.t(), 3)
    square = one(WIDTH, WIDTH)  # out, the two of cross-attention, three taps of the temporal convolution
    return LAYERS * (one(WIDTH, 3 * WIDTH) + one(WIDTH, 2 * FFN * WIDTH) + one(FFN * WIDTH, WIDTH) + 6 * square)


def model_floor(args, tokens, training, recompute):
    products, share = products_ms(args, tokens), tokens / TOKENS * COPIES / copy_rate(args)
    if training:
        return (4 if recompute else 3) * products + ROWS_OF_A_STEP * share
    return products + CROSS_ATTENTION * tokens / TOKENS + ROWS_OF_A_BLOCK * LAYERS * share


# ---- attention
# --------------------------------------------------------------------------------------------------------

def attention_published(q, k, v, qr, kr):
    """[B, N, H, D] each, q and k after ReLU, qr and kr rotated too: float32 products, as published."""
    q, k, v, qr, kr = (u.permute(0, 2, 3, 1) for u in (q, k, v, qr, kr))
    qr, kr, v = qr.float(), kr.float(), v.float()
    norm = 1 / (k.sum(-1, keepdim=True).transpose(-2, -1) @ q + 1e-15)
    return ((v @ kr.transpose(-1, -2)) @ qr * norm).flatten(1, 2).transpose(1, 2).to(torch.bfloat16)


def attention_bf16(q, k, v, qr, kr):
    """bf16 products with float32 accumulation, the state rounded to bf16."""
    q, k, v, qr, kr = (u.transpose(1, 2) for u in (q, k, v, qr, kr))
    state, norm = kr.transpose(-2, -1) @ v, k.sum(2, dtype=torch.float32)
    out = (qr @ state).float() / ((q @ norm.to(q.dtype)[..., None]).float() + 1e-15)
    return out.transpose(1, 2).flatten(2).to(torch.bfloat16)


def attention_error(found, inputs, head=3):
    """RMS of the difference from float64 over RMS of that, on one head."""
    q, k, v, qr, kr = (u[0, :, head].detach().double() for u in inputs)
    wanted = qr @ (kr.t() @ v) / (q @ k.sum(0))[:, None]
    dim = v.shape[1]
    return ((found[0, :, head * dim:(head + 1) * dim].double() - wanted).norm() / wanted.norm()).item()


def bench_attention(args, tokens=TOKENS):
    clear(args)
    shape = (1, tokens, HEADS, DIM)
    inputs = [torch.randn(shape, device=args.device, dtype=torch.bfloat16) for _ in range(5)]
    inputs = [(u if i == 2 else u.relu_()).requires_grad_() for i, u in enumerate(inputs)]
    grad = torch.randn(1, tokens, HEADS * DIM, device=args.device, dtype=torch.bfloat16)
    rate, tensor = copy_rate(args), 2 * inputs[0].numel()
    emit("attention forward", "floor", 1e3 * 4 * tensor / rate, copies_gbs=round(rate * 1e-9))
    emit("attention forward+backward", "floor", 1e3 * 11 * tensor / rate)
    rivals = {"eager": (attention_published, False, False), "compile": (attention_published, True, False),
              "tf32": (attention_published, True, True), "tuned": (attention_bf16, True, True)}
    modes = args.mode.split(",")
    for mode in modes + (["tf32"] if "tuned" in modes else []):
        fn, compiled, tf32 = rivals[mode]
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch._dynamo.reset()
        run = torch.compile(fn) if compiled else fn

        def both():
            for u in inputs:
                u.grad = None
            run(*inputs).backward(grad)
        with torch.no_grad():
            emit("attention forward", mode, median_ms(args, lambda: run(*inputs), 3),
                 error=float(f"{attention_error(run(*inputs), inputs):.2g}"))
        emit("attention forward+backward", mode, median_ms(args, both, 3))
    torch.backends.cuda.matmul.allow_tf32 = False


# ---- the model
# --------------------------------------------------------------------------------------------------------

class TunedAttention:
    """In place of the published processor of linear attention."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):
        x = hidden_states
        q, k, v = attn.norm_q(attn.to_q(x)), attn.norm_k(attn.to_k(x)), attn.to_v(x)
        q, k, v = (u.unflatten(2, (attn.heads, -1)) for u in (q, k, v))
        q, k = F.relu(q), F.relu(k)
        cos, sin = rotary_emb[0][..., 0::2], rotary_emb[1][..., 1::2]

        def rotate(u):
            even, odd = u.unflatten(-1, (-1, 2)).unbind(-1)
            return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).type_as(u)
        return attn.to_out[1](attn.to_out[0](attention_bf16(q, k, v, rotate(q), rotate(k))))


def make_model(args, channels, patch, mode, training, recompute, **smaller):
    from diffusers import SanaVideoTransformer3DModel
    with torch.device(args.device):
        model = SanaVideoTransformer3DModel(in_channels=channels, out_channels=channels, mlp_ratio=float(FFN),
                                            patch_size=patch, **smaller)
    model = model.to(torch.bfloat16).train(training)
    if mode == "tuned":
        for block in model.transformer_blocks:
            block.attn1.set_processor(TunedAttention())
    if recompute:
        model.enable_gradient_checkpointing()
    if mode != "eager":
        for i, block in enumerate(model.transformer_blocks):
            model.transformer_blocks[i] = torch.compile(block)
    torch.backends.cuda.matmul.allow_tf32 = mode == "tuned"
    return model


def time_model(args, model, latent, batch, training, text_width=2304):
    x = torch.randn(batch, *latent, device=args.device, dtype=torch.bfloat16)
    text = torch.randn(batch, 300, text_width, device=args.device, dtype=torch.bfloat16)
    t, mask = torch.full((batch,), 500.0, device=args.device), torch.ones(batch, 300, device=args.device)

    def forward():
        return model(x, text, t, encoder_attention_mask=mask, return_dict=False)[0]
    if not training:
        with torch.no_grad():
            return median_ms(args, forward)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step():
        (forward().float() ** 2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return median_ms(args, step)


def bench_model(args, work):
    latent, patch, batch, training, recompute = WORKS[work]
    clear(args)
    tokens = batch * latent[1] * latent[2] * latent[3] // (patch[0] * patch[1] * patch[2])
    emit(work, "floor", model_floor(args, tokens, training, recompute), tokens=tokens)
    for mode in args.mode.split(","):
        clear(args)
        try:
            model = make_model(args, latent[0], patch, mode, training, recompute)
            emit(work, mode, time_model(args, model, latent, batch, training), peak_gib=peak_gib(args))
        except torch.OutOfMemoryError:
            emit(work, mode, float("inf"), error="out of memory")
        model = None
    torch.backends.cuda.matmul.allow_tf32 = False


def main():
    args = arguments()
    torch.manual_seed(0)
    for work in args.works:
        bench_attention(args) if work == "attention" else bench_model(args, work)


if __name__ == "__main__":
    main()
