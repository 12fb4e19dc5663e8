"""One package of the host for a release that sees none of the host's packages: pyarrow, for files that only
it can read. Everything else still comes from the bundle."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Optional

from mlship_runtime.errors import SiteError


class _Lent(MetaPathFinder):
    """Finds the package `name` in `folder`; its own modules are found through it."""

    def __init__(self, name: str, folder: str) -> None:
        self._name, self._folder = name, folder

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        return PathFinder.find_spec(fullname, [self._folder]) if fullname == self._name else None


def borrow(name: str, folder: str) -> None:
    """Have `import name` find the bundle's package, else that in `folder`. Raises SiteError if there is
    neither, or it does not go with this Python."""
    if folder and importlib.util.find_spec(name) is None:
        sys.meta_path.append(_Lent(name, folder))
    try:
        importlib.import_module(name)
    except ImportError as error:
        fix = "Add pyarrow to the bundle's requirements, or: pip install 'mlship-toolchain[parquet]'"
        raise SiteError("Parquet needs pyarrow, which is not there", cause=str(error), fix=fix) from error
