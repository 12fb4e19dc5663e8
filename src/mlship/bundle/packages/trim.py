"""What is left out of a runtime's wheels: files that a running model never reads.

The list has a number, which stands in lock and spec: another list is another runtime. Found by removing one
thing at a time and importing, loading and running (numpy 2.4, onnxruntime 1.31).
"""

from __future__ import annotations

import re

VERSION = 2
NOTHING = 0  # the number of "everything is kept"

_SUFFIXES = (".pyi", ".h", ".hpp", ".pxd", ".pyx", ".c", ".cpp", ".a")
_ANYWHERE = frozenset(("tests", "__pycache__"))
_FOLDERS = (
    "joblib/test/",
    "numpy/_pyinstaller/",
    "numpy/distutils/",
    "numpy/doc/",
    "onnxruntime/backend/",
    "onnxruntime/datasets/",
    "onnxruntime/quantization/",
    "onnxruntime/tools/",
    "onnxruntime/transformers/",
)
# A second copy of the engine, for C programs; the Python module has its own and is not linked to it.
_FILES = re.compile(r"onnxruntime/capi/libonnxruntime\.so(\.[0-9.]+)?")


def is_trimmed(path: str) -> bool:
    """Whether list 2 leaves out `path`, a path inside of site-packages."""
    folders = path.split("/")[:-1]
    return (
        path.endswith(_SUFFIXES)
        or path.startswith(_FOLDERS)
        or not _ANYWHERE.isdisjoint(folders[1:])
        or _FILES.fullmatch(path) is not None
    )
