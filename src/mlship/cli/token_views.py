"""How tokens are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlship.cli.blocks import Block, Facts

if TYPE_CHECKING:
    from mlship.ops.token import TokenList, TokenMade


def token_made(result: TokenMade) -> Iterator[Block]:
    yield Facts(
        [
            ("token", f"{result.token} (shown this once)"),
            ("file", f"{result.file} (has its hash)"),
            ("valid", ", ".join(entry.name for entry in result.valid)),
        ]
    )


def token_list(result: TokenList) -> Iterator[Block]:
    yield Facts(
        [(entry.name, f"made {entry.made}") for entry in result.valid] or [("tokens", "none is valid")]
    )
