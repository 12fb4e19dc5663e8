"""Settings of the user, from the environment: one MLSHIP_* variable for each."""

from __future__ import annotations

import os
import shlex

from mlship.config.folders import data_dir

DEFAULT_REGISTRY = "default"
VARIABLES = {
    "MLSHIP_HOME": "folder of the default registry and of local services ($XDG_DATA_HOME/mlship)",
    "MLSHIP_CACHE": "folder for what can be fetched again ($XDG_CACHE_HOME/mlship)",
    "MLSHIP_REGISTRY": "URL of the default registry (a folder in MLSHIP_HOME)",
    "MLSHIP_PROJECT": "folder of the project (here or a folder above)",
    "MLSHIP_PYTHON": "the project's interpreter, where [project] python is not set (the active environment)",
    "MLSHIP_KEY_PASSPHRASE": "passphrase of the private key, for `key generate`, `sign` and `promote` (none)",
    "MLSHIP_PYTHON_LINUX_ARM64": "command that runs a Python for linux/arm64 here, to try builds with",
    "MLSHIP_PYTHON_LINUX_AMD64": "command that runs a Python for linux/amd64 here, to try builds with",
    "MLSHIP_OCI_PROFILES": "what registries take, HOST=PROFILE between commas (found out)",
    "MLSHIP_CA_FILE": "certificates that registries may show, too: a PEM file (those of the system)",
    "MLSHIP_TIMEOUT": "seconds, like --timeout",
    "MLSHIP_SUMMARY": "a file, like --summary of the commands that have it",
    "MLSHIP_JSON": "1 is --json",
    "MLSHIP_QUIET": "1 is --quiet",
    "MLSHIP_DEBUG": "1 is --debug",
}


# Platforms that an emulator can run here, as mlship.toml calls them.
EMULATED = {"linux/arm64": "MLSHIP_PYTHON_LINUX_ARM64", "linux/amd64": "MLSHIP_PYTHON_LINUX_AMD64"}


def emulated_python(platform: str) -> list[str]:
    """The words of the command that runs a Python for `platform` (linux/arm64) here, if one is named."""
    return shlex.split(os.environ.get(EMULATED.get(platform, ""), ""))


def default_registry_url() -> str:
    """Where `push` goes when nothing else is said."""
    return os.environ.get("MLSHIP_REGISTRY") or f"dir://{data_dir() / 'registry'}"


def oci_profiles() -> dict[str, str]:
    """The name of a registry's profile by its host."""
    entries = os.environ.get("MLSHIP_OCI_PROFILES", "").split(",")
    return {
        host.strip(): name.strip() for host, _, name in (entry.partition("=") for entry in entries) if host
    }


def ca_file() -> str | None:
    """A file of certificates that are trusted beside those of the system, if the environment names one."""
    return os.environ.get("MLSHIP_CA_FILE") or None


def key_passphrase() -> str | None:
    """The passphrase of the private key, if the environment gives one."""
    return os.environ.get("MLSHIP_KEY_PASSPHRASE")
