"""Columns of one type that lie in one array, each a row of it."""

from __future__ import annotations

from mlship_runtime.model.datatypes import Array


class Table(dict[str, Array]):
    """The columns `names` by name, and `whole`, the array of all of them: whoever wants them side by side
    need not copy them one by one. Not to be changed after it was made."""

    __slots__ = ("names", "whole")

    def __init__(self, names: tuple[str, ...], whole: Array) -> None:
        super().__init__(zip(names, whole))
        self.names, self.whole = names, whole
