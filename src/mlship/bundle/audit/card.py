"""The card of a bundle: its bill of materials, and what the project itself says of the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlship.bundle.archive import Layer, write_layer
from mlship.bundle.audit.sbom import sbom
from mlship.bundle.audit.secrets import refuse_secrets
from mlship.bundle.document import CARD_PATH, Content
from mlship.config import Project
from mlship_runtime.bundle.canonical import encode

SBOM_PATH = "card/sbom.cdx.json"
MAX_CARD = 1 << 20


def read_card(project: Project) -> bytes | None:
    """The file that [bundle] card names; None if it names none. Raises ConfigError if it is no text of at
    most MAX_CARD bytes, BuildError if it looks like it has a secret."""
    name = project.bundle.card
    if name is None:
        return None
    try:
        with (project.root / name).open("rb") as file:
            data = file.read(MAX_CARD + 1)
    except OSError as error:
        raise project.error("bundle", "card", what=f"is not to be read: {error.strerror}") from error
    if len(data) > MAX_CARD:
        raise project.error("bundle", "card", what=f"is too large: at most {MAX_CARD} bytes are packed")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise project.error("bundle", "card", what="is not UTF-8 text", cause=str(error)) from error
    refuse_secrets(project, {name: data})
    return data


def write_card(content: Content, layers: Sequence[Layer], card: bytes | None, folder: Path) -> Layer:
    """The layer of the bundle that has `layers` beside it and the spec's, written into `folder`."""
    files = [(SBOM_PATH, encode(sbom(content, layers)))]
    if card is not None:
        files.append((CARD_PATH, card))
    return write_layer(folder / "card.tar", "card", files)
