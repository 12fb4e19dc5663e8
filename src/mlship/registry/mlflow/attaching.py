"""What is attached to a bundle lies among the artifacts of its version: attachments/DIGITS, and .json says
what it is."""

from __future__ import annotations

from collections.abc import Iterator

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.source import MAX_ATTACHMENT, Attachment
from mlship.digest import hex_of, is_digest, sha256
from mlship.registry.mlflow.artifacts import Folder
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields

SCHEMA = 1
_PLACE = "attachments"
_MAX_RECORD = 4096


class Attaching:
    """The attachments in the artifacts of one version."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def add(self, media_type: str, data: bytes) -> Attachment:
        """Keep `data`; the record comes last, so what is listed is there."""
        attachment = Attachment(media_type, sha256(data), len(data))
        if attachment not in self.listed():
            record = {"schemaVersion": SCHEMA, "mediaType": media_type, "size": len(data)}
            place = f"{_PLACE}/{hex_of(attachment.digest)}"
            for name, content in ((place, data), (f"{place}.json", canonical.encode(record))):
                self.folder.write(name, len(content), [content].copy)
        return attachment

    def listed(self) -> list[Attachment]:
        """All of them, sorted. Raises BundleError for a record that cannot be read."""
        names = (name.removesuffix(".json") for name in self.folder.listed(_PLACE) if name.endswith(".json"))
        return sorted(found for digits in names if (found := self._record(digits)))

    def pieces(self, attachment: Attachment) -> Iterator[bytes]:
        """The content; whoever reads it checks it."""
        name = f"{_PLACE}/{hex_of(attachment.digest)}"
        return self.folder.pieces(name, attachment.digest, attachment.size)

    def _record(self, digits: str) -> Attachment | None:
        digest, name = f"sha256:{digits}", f"{_PLACE}/{digits}.json"
        data = self.folder.read(name, _MAX_RECORD) if is_digest(digest) else None
        if data is None:  # removed meanwhile
            return None
        with as_bundle_error():
            fields = Fields(
                canonical.decode(data, max_bytes=_MAX_RECORD), f"{name} in {self.folder.client.url}"
            )
            fields.schema_version(SCHEMA)
            size = fields.number("size")
            if size > MAX_ATTACHMENT:
                raise fields.wrong("size", f"is more than {MAX_ATTACHMENT}")
            return Attachment(fields.text("mediaType", 200), digest, size)
