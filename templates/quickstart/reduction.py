"""From raw measurements of a cell nucleus to the twelve numbers that the model reads.

The same function is used by train.py and packed into the bundle, so training and serving cannot differ.
"""

import json
from pathlib import Path

import numpy as np

MEDIANS = json.loads(Path(__file__).with_name("medians.json").read_text(encoding="utf-8"))
WORST = [name for name in MEDIANS if name.startswith("worst_")]


def reduce(columns):
    """Columns by name, each of shape [rows], missing = NaN -> {"X": float32 of shape [rows, 12]}."""
    known = {name: fill(columns[name], median) for name, median in MEDIANS.items()}
    worst = [np.log1p(known[name]) for name in WORST]
    growth = known["worst_radius"] / known["mean_radius"]
    unevenness = known["radius_error"] / known["mean_radius"]
    return {"X": np.stack([*worst, growth, unevenness], axis=1).astype(np.float32)}


def fill(values, median):
    """`values` with the training median where a measurement is missing."""
    return np.where(np.isnan(values), median, values)
