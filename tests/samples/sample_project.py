"""A project as tests of the command line have it: the head of its mlship.toml, its own registry, its last
build."""

from __future__ import annotations

import json
from pathlib import Path

from mlship.registry.over_store import StoreRegistry, open_folder

HEAD = '[project]\nname = "churn"\nversion = "1.0"\n[model]\nsource = "m"\n'


def own_registry(root: Path) -> StoreRegistry:
    return open_folder(f"dir://{root}/.mlship/store")


def count_as_built(root: Path, digest: str, version: str = "1.0") -> str:
    """Let churn:`version` be `digest` in the project's own registry, and its last build; the digest."""
    registry = own_registry(root)
    registry.set_tag("churn", version, digest, registry.read_tag("churn", version))
    record = {"schemaVersion": 1, "reference": f"churn:{version}", "digest": digest}
    (root / ".mlship" / "built.json").write_text(json.dumps(record))
    return digest
