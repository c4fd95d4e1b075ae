#!/usr/bin/env bash
# TensorBoard drops the step at which a run goes on. A program that resumes writes a SessionLog START with the step it is at, and
# the reader throws away what an interrupted session had written "greater than the given event.step" (its docstring); the code throws
# away that step too. A run of 4 steps that goes on with a START at its last step, 4, shows 1, 2, 3, 5, 6.
# Seen with tensorboard==2.20.0.
# What longtake does: the START of a resumed run carries the first step that is still to come (train/tensorboard.c).
#
#   ./findings/tensorboard-restart.sh      exit 0: as described; 1: it behaves otherwise now
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q "tensorboard==2.20.0" "numpy==2.2.6" "setuptools==80.9.0"
cat >restart.py <<'PY'
import tensorboard.version
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

def session(name, start, steps):
    with open(name, "wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(file_version="brain.Event:2").SerializeToString())
        if start is not None:
            writer.write(Event(step=start, session_log=SessionLog(status=SessionLog.START)).SerializeToString())
        for step in steps:
            value = Summary.Value(tag="loss", simple_value=float(step))
            writer.write(Event(step=step, summary=Summary(value=[value])).SerializeToString())

def seen(start):
    session("run/events.out.tfevents.1.a", None, range(1, 5))
    session("run/events.out.tfevents.2.a", start, range(5, 7))
    events = EventAccumulator("run").Reload()
    return [event.step for event in events.Scalars("loss")]

import os
os.mkdir("run")
print("tensorboard", tensorboard.version.VERSION, "- START at 4:", seen(4), "- START at 5:", seen(5))
print("its docstring:", " ".join(EventAccumulator._Purge.__doc__.split()))
PY
venv/bin/python restart.py 2>errors | tee seen || { cat errors >&2; exit 1; }
grep -q 'START at 4: \[1, 2, 3, 5, 6\] - START at 5: \[1, 2, 3, 4, 5, 6\]$' seen
grep -q 'greater than the given event.step' seen
echo "as described"
