"""How a file holds its records: all that the copybook does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from typing import Any

from mlship_runtime.errors import BadInput
from mlship_runtime.records.codepages import DEFAULT, CodePage, code_page
from mlship_runtime.records.items import BINARY, NATIVE
from mlship_runtime.records.layout import LONGEST, Layout, layout_of
from mlship_runtime.records.parse import read_copybook
from mlship_runtime.records.source import AUTO, FORMATS

FB, VB, VB_BLOCKS = "fb", "vb", "vb-blocks"
_CHOICES = {
    "recfm": (FB, VB, VB_BLOCKS),
    "signs": ("ebcdic", "ascii"),
    "native": ("big", "little"),
    "floats": ("hex", "ieee"),
    "source": FORMATS,
}


@dataclass(frozen=True)
class RecordForm:
    """`copybook` is its text, `name` what messages call it, `record` the name of the 01 that is meant.

    `recfm`: fb (one record after the other), vb (each after its record descriptor word, as transfers with RDW
    give them), vb-blocks (after block descriptor words, too). `lrecl` is the length of fb records where it is
    more than the copybook's. `signs` is how zoned numbers of ASCII code pages are signed; those of EBCDIC
    carry the sign in a nibble. `native` is the byte order of COMP-5, `floats` what COMP-1 and COMP-2 are.
    `names` maps fields, as COBOL or a column names them, to columns of the schema."""

    copybook: str
    name: str = "the copybook"
    record: str = ""
    source: str = AUTO
    recfm: str = FB
    lrecl: int = 0
    code_page: str = DEFAULT
    signs: str = "ebcdic"
    native: str = "big"
    floats: str = "hex"
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def page(self) -> CodePage:
        return code_page(self.code_page)

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def layout(self) -> Layout:
        """Raises BadInput, CopybookError."""
        layout = _layout(self.copybook, self.name, self.source, self.record)
        if self.lrecl and self.recfm == FB and self.lrecl < layout.length:
            what = f"records of {self.lrecl} bytes are shorter than {self.name} says"
            raise BadInput(what, cause=f"{layout.record} has {layout.length}")
        if self.lrecl > LONGEST:
            raise BadInput(f"records of {self.lrecl} bytes are longer than {LONGEST}")
        return layout

    def little(self, kind: str) -> bool:
        """Whether a binary number of that kind has its low byte first."""
        return kind == NATIVE and self.native == "little" and kind != BINARY


@lru_cache(maxsize=16)
def _layout(copybook: str, name: str, source: str, record: str) -> Layout:
    return layout_of(read_copybook(copybook, name, source), record)


def form_of(document: Mapping[str, Any]) -> RecordForm:
    """What `document` says; raises BadInput that names the part at fault."""
    known = {part.name: part for part in fields(RecordForm)}
    for name, value in document.items():
        if name not in known:
            raise BadInput(f"the form of records has an unknown part {name!r}", field=name)
        wanted: type = dict if name == "names" else int if name == "lrecl" else str
        if type(value) is not wanted:
            raise BadInput(f"{name} of the form of records is not of type {wanted.__name__}", field=name)
        if value not in _CHOICES.get(name, (value,)):
            raise BadInput(
                f"{value!r} is no {name}", field=name, fix=f"Known are {', '.join(_CHOICES[name])}"
            )
    if not document.get("copybook"):
        raise BadInput("the form of records has no copybook")
    form = RecordForm(**document)
    code_page(form.code_page)
    return form
