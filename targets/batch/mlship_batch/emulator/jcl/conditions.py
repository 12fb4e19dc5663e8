"""COND= and IF: whether a step runs, from how the steps before it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mlship_batch.emulator.jcl.cards import JclError
from mlship_batch.emulator.jcl.operands import inner

_OPERATORS = {
    "GT": "GT", ">": "GT", "GE": "GE", ">=": "GE", "EQ": "EQ", "=": "EQ", "LT": "LT", "<": "LT", "LE": "LE",
    "<=": "LE", "NE": "NE", "¬=": "NE", "!=": "NE",
}  # fmt: skip
_TOKEN = re.compile(r"\s*(\(|\)|>=|<=|¬=|!=|>|<|=|¬|!|&|\||[A-Z0-9@#$.]+)")
_NOT, _AND, _OR = {"¬", "!", "NOT"}, {"&", "AND"}, {"|", "OR"}


@dataclass(frozen=True)
class Ended:
    """How a step ended: its code, or the abend (Sxxx or Unnnn)."""

    code: int = 0
    abend: str = ""


Outcomes = Mapping[str, Ended]  # of the steps that ran, in their order, by name


def compare(left: int, operator: str, right: int) -> bool:
    return {
        "GT": left > right,
        "GE": left >= right,
        "EQ": left == right,
        "LT": left < right,
        "LE": left <= right,
        "NE": left != right,
    }[operator]


@dataclass(frozen=True)
class Test:
    """One of COND: true (the step is bypassed) if `code` `operator` the code of `step` (empty: of any)."""

    code: int
    operator: str
    step: str = ""

    def holds(self, outcomes: Outcomes) -> bool:
        ended = [outcomes[self.step]] if self.step in outcomes else [] if self.step else outcomes.values()
        return any(compare(self.code, self.operator, each.code) for each in ended if not each.abend)


@dataclass(frozen=True)
class Cond:
    """COND of a job or step. `after_abend` is EVEN or ONLY."""

    tests: tuple[Test, ...] = ()
    after_abend: str = ""

    def bypasses(self, outcomes: Outcomes, abended: bool) -> bool:
        if abended and not self.after_abend:
            return True
        if self.after_abend == "ONLY" and not abended:
            return True
        return any(test.holds(outcomes) for test in self.tests)


def read_cond(value: str, card: int) -> Cond:
    """Raises JclError."""
    if not value:
        return Cond()
    parts = inner(value, card)
    if not parts[0].startswith("(") and parts[0] not in ("EVEN", "ONLY"):
        parts = [value]
    tests, after = [], ""
    for part in parts:
        if part in ("EVEN", "ONLY"):
            after = part
        else:
            tests.append(_test(inner(part, card), card))
    return Cond(tuple(tests), after)


def _test(parts: list[str], card: int) -> Test:
    code, operator = parts[0], parts[1] if len(parts) > 1 else ""
    if (
        not code.isdigit()
        or int(code) > 4095
        or operator not in ("GT", "GE", "EQ", "LT", "LE", "NE")
        or len(parts) > 3
    ):
        raise JclError("IEFC662I INVALID LABEL OR VALUE IN THE COND FIELD", card)
    return Test(int(code), operator, parts[2] if len(parts) == 3 else "")


def holds(expression: str, outcomes: Outcomes, card: int) -> bool:
    """Whether the condition of an IF is true now. Raises JclError."""
    tokens = _tokens(expression, card)
    reader = _Reader(tokens, outcomes, card)
    value = reader.any_of()
    if reader.at != len(tokens):
        raise JclError("IEFC011I INVALID IF CONDITION", card)
    return value


def _tokens(expression: str, card: int) -> list[str]:
    found, at = [], 0
    text = expression.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise JclError("IEFC011I INVALID IF CONDITION", card)
        found.append(token[1])
        at = token.end()
    return found


class _Reader:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, tokens: list[str], outcomes: Outcomes, card: int) -> None:
        self.tokens, self.outcomes, self.card, self.at = tokens, outcomes, card, 0

    def any_of(self) -> bool:
        value = self.all_of()
        while self._take(_OR):
            value = self.all_of() or value
        return value

    def all_of(self) -> bool:
        value = self.one()
        while self._take(_AND):
            value = self.one() and value
        return value

    def one(self) -> bool:
        if self._take(_NOT):
            return not self.one()
        if self._take({"("}):
            value = self.any_of()
            if not self._take({")"}):
                raise JclError("IEFC011I INVALID IF CONDITION", self.card)
            return value
        return self._relation()

    def _relation(self) -> bool:
        step, _, word = self._next().rpartition(".")
        ended = self._of(step)
        operator = _OPERATORS.get(self.tokens[self.at]) if self.at < len(self.tokens) else None
        if operator:
            self.at += 1
        right = self._next() if operator else "TRUE"
        if word == "RC" and operator and right.isdigit():
            code = max((each.code for each in ended if not each.abend), default=None)
            return code is not None and compare(code, operator, int(right))
        if word == "ABENDCC" and operator in ("EQ", "NE"):
            return any(each.abend == right for each in ended) == (operator == "EQ")
        value = bool(ended) if word == "RUN" else any(each.abend for each in ended)
        if (
            word not in ("RUN", "ABEND")
            or right not in ("TRUE", "FALSE")
            or operator not in (None, "EQ", "NE")
        ):
            raise JclError("IEFC011I INVALID IF CONDITION", self.card)
        return (value == (right == "TRUE")) == (operator != "NE")

    def _of(self, step: str) -> list[Ended]:
        if not step:
            return list(self.outcomes.values()) or [Ended()]
        return [self.outcomes[step]] if step in self.outcomes else []

    def _next(self) -> str:
        if self.at == len(self.tokens):
            raise JclError("IEFC011I INVALID IF CONDITION", self.card)
        self.at += 1
        return self.tokens[self.at - 1]

    def _take(self, words: set[str]) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] in words:
            self.at += 1
            return True
        return False
