#!/usr/bin/env python3
"""Times the PyTorch/diffusers counterpart of a small model on the CPU, eager and compiled; prints JSON lines.

usage: OMP_NUM_THREADS=2 python3 tests/bench/bench_torch_cpu.py [--height 16 --width 16 ...] [--mode eager,compile]
Needs the packages torch and diffusers. float32. The defaults are the model `tiny` on one block (256 tokens); with
--frames 32 it has 2,048 tokens. A training step is forward, backward, fused AdamW and clearing of the gradients, on
every latent token. `ms` is the median of --repeats runs, the best of --rounds such medians, because other work on the
machine can only add time; `fastest_ms` is the fastest single run.
"""
import argparse
import json
import time

import torch
from diffusers import SanaVideoTransformer3DModel


def arguments():
    p = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, value in dict(heads=4, dim=32, layers=4, cross_heads=4, cross_dim=32, channels=24, frames=4, height=16,
                            width=16, batch=1, text_width=64, text_length=64, repeats=9, rounds=3, seed=0).items():
        p.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, help=" ")
    p.add_argument("--mlp-ratio", type=float, default=2.0, help=" ")
    p.add_argument("--patch", default="1x2x2", help="frames x rows x columns")
    p.add_argument("--mode", default="eager,compile", help="eager, compile or both")
    p.add_argument("--work", default="forward,train_step", help="forward, train_step or both")
    return p.parse_args()


def make_model(args):
    torch.manual_seed(args.seed)
    return SanaVideoTransformer3DModel(
        in_channels=args.channels, out_channels=args.channels, num_attention_heads=args.heads,
        attention_head_dim=args.dim, num_layers=args.layers, num_cross_attention_heads=args.cross_heads,
        cross_attention_head_dim=args.cross_dim, cross_attention_dim=args.heads * args.dim,
        caption_channels=args.text_width, mlp_ratio=args.mlp_ratio,
        patch_size=tuple(int(n) for n in args.patch.split("x"))).train()


def works(args, model, compiled):
    """name -> function that does one forward (no gradients) or one training step."""
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    x = torch.randn(args.batch, args.channels, args.frames, args.height, args.width)
    target = torch.randn_like(x)
    text, mask = torch.randn(args.batch, args.text_length, args.text_width), torch.ones(args.batch, args.text_length)
    t = torch.full((args.batch,), 500.0)
    call = lambda: run(x, text, t, encoder_attention_mask=mask, return_dict=False)[0]

    def forward():
        with torch.no_grad():
            call()

    def train_step():
        ((call() - target) ** 2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return {"forward": forward, "train_step": train_step}


def best_median_ms(fn, repeats, rounds, warmup=3):
    """The best median of `rounds`, and the fastest run of all."""
    for _ in range(warmup):
        fn()
    medians, fastest = [], float("inf")
    for _ in range(rounds):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            fn()
            times.append((time.perf_counter() - start) * 1e3)
        medians.append(sorted(times)[repeats // 2])
        fastest = min(fastest, *times)
    return min(medians), fastest


def main():
    args = arguments()
    patch = [int(n) for n in args.patch.split("x")]
    tokens = (args.frames // patch[0]) * (args.height // patch[1]) * (args.width // patch[2])
    for mode in args.mode.split(","):
        torch._dynamo.reset()
        model = make_model(args)
        todo = works(args, model, mode == "compile")
        for name in args.work.split(","):
            ms, fastest = best_median_ms(todo[name], args.repeats, args.rounds)
            print(json.dumps({
                "name": f"torch_cpu_{name}", "mode": mode, "ms": round(ms, 3),
                "fastest_ms": round(fastest, 3), "tokens": tokens, "batch": args.batch,
                "parameters": sum(p.numel() for p in model.parameters()), "threads": torch.get_num_threads(),
                "torch": torch.__version__, "config": {k: v for k, v in vars(args).items() if k not in (
                    "mode", "work", "repeats", "rounds", "seed")}}), flush=True)


if __name__ == "__main__":
    main()
