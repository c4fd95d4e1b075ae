#!/usr/bin/env python3
"""What longtake writes, read with h5py and numpy alone; fields are found by their names.

    python3 scripts/read_results.py DATA.h5 [RESULTS_DIR]     a dataset (ingest, scenes); what an ablation left"""
import sys
import h5py
import numpy as np

if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
    asked = sys.argv[1:] in (["-h"], ["--help"])
    print(__doc__, file=sys.stdout if asked else sys.stderr)
    sys.exit(0 if asked else 2)

with h5py.File(sys.argv[1]) as file:
    clips, frames = file["clips"][:], file["frames"]  # a table with a row per clip; uint8 [frame, row, column, RGB]
    print(f"{len(clips)} clips, frames {frames.shape}, {file.attrs['fps']:g} per second")
    for domain, role in np.unique(clips[["domain", "role"]]):
        some = clips[(clips["domain"] == domain) & (clips["role"] == role)]
        print(f"  {domain.decode()}/{role.decode()}: {len(some)} clips of {len(np.unique(some['group']))} groups, "
              f"{some['frames'].sum()} frames, flow {np.nanmean(some['flow_px_per_s']):.1f} px/s")
    first, count = int(clips["first_frame"][0]), int(clips["frames"][0])
    print(f"  clip 0: {count} frames, mean colour {frames[first:first + count].mean(axis=(0, 1, 2)).round(1)}")

if len(sys.argv) == 3:
    with h5py.File(f"{sys.argv[2]}/results.h5") as file:
        rows, samples = file["rows"][:], file["samples"][:]  # a row per policy and domain; every single loss
    for number, row in enumerate(rows):
        losses = samples["loss"][(samples["row"] == number) & (samples["evicting"] != 0)]
        print(f"  {row['domain'].decode():<10} {row['policy'].decode():<90.90} loss {row['loss']:.4f} of {len(losses)}, "
              f"{row['vs_reference']:+.4f} [{row['vs_reference_low']:+.4f}, {row['vs_reference_high']:+.4f}] {row['vs_reference_verdict'].decode()}")
