#!/usr/bin/env bash
# libswscale's two flags for accuracy (accurate_rnd and full_chroma_int), given together, turn blue that is brighter than RGB can hold
# into none: limited-range YUV 4:2:0 of Y 255, U 255, V 128, levels that cameras do record, becomes (255, 229, 0), yellow, where (255, 228,
# 255) comes out without the flags.
# Seen with the wheel av==18.1.0.
# What longtake does: libswscale only scales planes; colours are converted and clamped in float (data/video_colour.c).
#
#   ./findings/swscale-colours.sh      exit 0: as described; 1: it behaves otherwise now
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >convert.py <<'PY'
import av, numpy as np
from fractions import Fraction

def rgb(y, u, v, flags):
    frame = av.VideoFrame.from_ndarray(np.concatenate([np.full((64, 64), y), np.full((16, 64), u), np.full((16, 64), v)]).astype(np.uint8), format="yuv420p")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    graph = av.filter.Graph()
    nodes = [graph.add_buffer(width=64, height=64, format=frame.format, time_base=Fraction(1, 25)),
             graph.add("scale", "flags=" + flags), graph.add("format", "rgb24"), graph.add("buffersink")]
    for a, b in zip(nodes, nodes[1:]): a.link_to(b)
    graph.configure()
    graph.push(frame)
    return graph.pull().to_ndarray()[32, 32].tolist()

print("libswscale", ".".join(map(str, av.library_versions["libswscale"])))
exact = "bicubic+accurate_rnd+full_chroma_int"
for name, y, u, v in (("white", 235, 128, 128), ("bluer than blue", 255, 255, 128)):
    print(f"{name}: plain {rgb(y, u, v, 'bicubic')}, exact flags {rgb(y, u, v, exact)}")
PY
python3 -m venv venv
venv/bin/pip install -q "av==18.1.0" "numpy==2.2.6"
venv/bin/python convert.py | tee out.txt
grep -q '^white: plain \[255, 255, 255\], exact flags \[255, 255, 255\]$' out.txt
grep -q '^bluer than blue: plain \[255, 228, 255\], exact flags \[255, 229, 0\]$' out.txt
echo "as described"
