"""Settings of the user, from the environment: one MLSHIP_* variable for each."""

from __future__ import annotations

import os

from mlship.config.folders import data_dir
from mlship.errors import ConfigError

DEFAULT_REGISTRY = "default"
VARIABLES = {
    "MLSHIP_HOME": "folder of the default registry and of local services ($XDG_DATA_HOME/mlship)",
    "MLSHIP_CACHE": "folder for what can be fetched again ($XDG_CACHE_HOME/mlship)",
    "MLSHIP_REGISTRY": "URL of the default registry (a folder in MLSHIP_HOME)",
    "MLSHIP_PROJECT": "folder of the project (here or a folder above)",
    "MLSHIP_PYTHON": "the project's interpreter, where [project] python is not set (the active environment)",
    "MLSHIP_TIMEOUT": "seconds, like --timeout",
    "MLSHIP_JSON": "1 is --json",
    "MLSHIP_QUIET": "1 is --quiet",
    "MLSHIP_DEBUG": "1 is --debug",
}


def default_registry_url() -> str:
    """Where `push` goes when nothing else is said."""
    return os.environ.get("MLSHIP_REGISTRY") or f"dir://{data_dir() / 'registry'}"


def timeout_from_environment() -> float | None:
    """MLSHIP_TIMEOUT in seconds; raises ConfigError if it is not a positive number."""
    text = os.environ.get("MLSHIP_TIMEOUT")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"MLSHIP_TIMEOUT is {text!r}", fix="Give a number of seconds")
    return seconds
