"""The folder of this file on the path, so that its tests can share `scripted`; a ledger in a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mlship.store import open_store
from mlship.target.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_store(f"dir://{tmp_path}/ledger"), "here/churn")
