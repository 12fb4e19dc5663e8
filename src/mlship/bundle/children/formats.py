"""What kind of file a model lies in: told by its first bytes, whatever it is called."""

from __future__ import annotations

import zipfile
from pathlib import Path

ONNX, PICKLE, SKOPS, XGBOOST, LIGHTGBM = "onnx", "pickle", "skops", "xgboost", "lightgbm"
TORCH, TORCH_SCRIPT, TORCH_EXPORT = "torch", "torch script", "torch export"
FUNCTION = "function"  # tells nothing beforehand

# Kind of file -> what its conversion needs: module -> package.
_LEARNED = {"numpy": "numpy", "sklearn": "scikit-learn", "skl2onnx": "skl2onnx", "onnx": "onnx"}
NEEDED = {
    ONNX: {"numpy": "numpy", "onnx": "onnx"},
    FUNCTION: {"numpy": "numpy", "onnx": "onnx"},
    PICKLE: _LEARNED,
    TORCH: {"numpy": "numpy", "onnx": "onnx", "torch": "torch"},
    TORCH_SCRIPT: {"numpy": "numpy", "onnx": "onnx", "torch": "torch"},
    TORCH_EXPORT: {"numpy": "numpy", "onnx": "onnx", "torch": "torch"},
    SKOPS: {**_LEARNED, "skops": "skops"},
    XGBOOST: {**_LEARNED, "xgboost": "xgboost", "onnxmltools": "onnxmltools"},
    LIGHTGBM: {**_LEARNED, "lightgbm": "lightgbm", "onnxmltools": "onnxmltools"},
}

LEFT = {"numpy": "numpy", "sklearn": "scikit-learn"}  # of a model that is not converted


def format_of(path: Path) -> str:
    """The kind of the file at `path`; PICKLE for all that is no other kind, and for what is not there."""
    if path.suffix == ".onnx":
        return ONNX
    try:
        with path.open("rb") as file:
            start = file.read(5)
    except OSError:
        return PICKLE
    if start.startswith(b"{"):  # JSON and UBJSON alike
        return XGBOOST
    if start in (b"tree\n", b"tree\r"):
        return LIGHTGBM
    return _of_archive(path) if start.startswith(b"PK") and zipfile.is_zipfile(path) else PICKLE


def _of_archive(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    if "schema.json" in names:
        return SKOPS
    if "constants.pkl" in names:
        return TORCH_SCRIPT
    if names & {"archive_format", "serialized_exported_program.json"}:  # of PyTorch 2.8 and later, and before
        return TORCH_EXPORT
    return TORCH if "data.pkl" in names else PICKLE
