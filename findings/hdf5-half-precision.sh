#!/usr/bin/env bash
# HDF5 stores float32 numbers in a float16 dataset wrongly, and which ones depends on their order: once a number below the
# smallest normal half (6.1e-5) has gone through, numbers that round up to a power of two come out halved (0.99999 as 0.5),
# and numbers exactly between two halves go up instead of to the even one. Latents and flow are such data.
# Seen with the wheel h5py==3.14.0 (HDF5 1.14.6). The wheel h5py==3.15.1 says it has the same HDF5 and is right.
# What longtake does: it converts to half bits itself and hands HDF5 only bits (core/convert.c).
#
#   ./findings/hdf5-half-precision.sh      exit 0: as described; 1: it behaves otherwise now
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >store.py <<'PY'
import h5py, numpy as np

def through(x):
    with h5py.File("m.h5", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset("d", x.shape, "f2")
        data[...] = x
        return data[...]

x = np.random.default_rng(0).standard_normal(1_000_000).astype(np.float32)
alone, after = through(np.float32([0.99999])), through(np.float32([1e-5, 0.99999]))
print("h5py", h5py.__version__, "HDF5", h5py.version.hdf5_version, "- wrong of 1,000,000 normals:",
      int((through(x) != x.astype(np.float16)).sum()), "- 0.99999 alone:", float(alone[0]), "- after 1e-5:", float(after[1]))
PY
for version in 3.14.0 3.15.1; do
    python3 -m venv "$version"
    "$version/bin/pip" install -q "h5py==$version" "numpy==2.2.6"
    "$version/bin/python" store.py | tee "$version.txt"
done
grep -q 'wrong of 1,000,000 normals: 402 - 0.99999 alone: 1.0 - after 1e-5: 0.5$' 3.14.0.txt
grep -q 'wrong of 1,000,000 normals: 0 - 0.99999 alone: 1.0 - after 1e-5: 1.0$' 3.15.1.txt
echo "as described"
