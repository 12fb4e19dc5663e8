"""Which classes and functions a model file may name. Written once: builds ask it of a file that they only
read, a target before it imports anything.

A name is `module.name`. Plain names hold data and nothing else; some names can never be permitted, whoever
asks; all others must be permitted one by one.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from mlship_runtime.errors import InvalidBundle

_TYPES = (
    "set", "frozenset", "dict", "list", "tuple", "int", "float", "complex", "bool", "str", "bytes",
    "bytearray", "slice", "range", "object", "NoneType",
)  # fmt: skip
PLAIN = frozenset(
    [f"builtins.{name}" for name in _TYPES]
    + [f"collections.{name}" for name in ("OrderedDict", "defaultdict", "deque", "Counter")]
    + ["_codecs.encode", "copyreg._reconstructor", "joblib.numpy_pickle.NumpyArrayWrapper"]
    + ["numpy.dtype", "numpy.ndarray"]
    + [
        f"numpy.{core}.{name}"
        for core in ("core", "_core")
        for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
    ]
)
# Of the standard library, what can be permitted: values, and functions of numbers.
_HARMLESS = frozenset(
    ["functools.partial", "decimal.Decimal", "fractions.Fraction", "uuid.UUID"]
    + [f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")]
)
_HARMLESS_MODULES = frozenset(("math", "cmath", "statistics"))
# Packages that run or fetch what they are given.
_NEVER = frozenset(
    (
        "dill", "cloudpickle", "joblib", "pip", "setuptools", "pkg_resources", "wheel", "uv", "IPython",
        "ipykernel", "pexpect", "ptyprocess", "sh", "plumbum", "fabric", "invoke", "paramiko", "requests",
        "urllib3", "httpx", "aiohttp", "cffi", "pycparser", "numba", "torch", "mlship", "mlship_runtime",
    )
)  # fmt: skip
_NEVER_BENEATH = (
    "numpy.f2py.", "numpy.distutils.", "numpy.testing.", "numpy.ctypeslib.", "numpy.lib.npyio.",
    "numpy.lib._npyio_impl.", "scipy.io.", "scipy.weave.", "pandas.io.", "pandas.core.computation.",
    "sklearn.datasets.", "sklearn.externals.",
)  # fmt: skip
# Wherever they are: what runs text, opens files, or reaches what is not named.
_NEVER_NAMES = frozenset(
    (
        "eval", "exec", "execfile", "compile", "open", "system", "popen", "Popen", "call", "check_call",
        "check_output", "run", "getattr", "setattr", "delattr", "__import__", "import_module", "load",
        "loads", "fromfile", "loadtxt", "genfromtxt", "memmap", "tofile", "save", "savetxt", "read_pickle",
        "to_pickle", "unpickle", "attrgetter", "methodcaller", "exit",
    )
)  # fmt: skip


def forbidden(name: str) -> str:
    """Why `name` can never be permitted; empty if it can be."""
    module, _, attribute = name.rpartition(".")
    top = module.partition(".")[0]
    if not all(part.isidentifier() for part in name.split(".")) or not module:
        return "it is no name of a class or function in a module"
    if name in PLAIN or name in _HARMLESS or module in _HARMLESS_MODULES:
        return ""
    if top == "__main__":
        return "it belongs to the script or notebook that saved it"
    if _of_standard_library(top):
        return "the standard library can reach files, processes and the network"
    if top in _NEVER or name.startswith(_NEVER_BENEATH) or attribute in _NEVER_NAMES:
        return "it can run, open or fetch what it is given"
    return ""


def resolve(name: str) -> Any:
    """The class or function called `name`, imported. Raises InvalidBundle if it is forbidden, also under the
    name that it was made with, or not there."""
    module, _, attribute = name.rpartition(".")
    if why := forbidden(name):
        raise _refused(name, why)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise InvalidBundle(
            f"the model needs {name}", cause=f"{type(error).__name__}: {error}".splitlines()[0]
        ) from error
    if isinstance(found, ModuleType) or not callable(found):
        raise _refused(name, "it is no class and no function")
    home = getattr(found, "__module__", None)
    own = f"{home}.{getattr(found, '__name__', attribute)}"
    if (
        isinstance(home, str)
        and home.partition(".")[0] != module.partition(".")[0]
        and (why := forbidden(own))
    ):
        raise _refused(name, f"it is {own}: {why}")
    return found


def _refused(name: str, why: str) -> InvalidBundle:
    return InvalidBundle(f"the model names {name[:100]!a}, which cannot be permitted", cause=why)


def _of_standard_library(top: str) -> bool:
    names = getattr(sys, "stdlib_module_names", None)  # from Python 3.10 on
    if names is not None:
        return top in names
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return False
    origin = spec.origin if spec else None
    if origin in ("built-in", "frozen"):
        return True
    library = os.path.dirname(os.__file__) + os.sep
    return origin is not None and origin.startswith(library) and "-packages" not in origin
