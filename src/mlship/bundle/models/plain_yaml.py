"""YAML as programs write it, and people simple things: mappings, lists and scalars in blocks, texts behind
`|` and `>`, and lists of scalars on one line. All else is refused.

No tags, anchors, aliases, other flow collections or several documents: nothing that makes objects, or much of
little. A scalar is text, or None for nothing.
"""

from __future__ import annotations

import re
from typing import Any

MAX_SIZE = 1 << 20
MAX_DEPTH = 32
_KEY = re.compile(r"(?P<key>[A-Za-z0-9_/][^\s:#]*(?: [^\s:#]+)*) *:(?: +(?P<rest>.*))?$")
_SINGLE = re.compile(r"((?:[^']|'')*)'(?!')(.*)$", re.DOTALL)
_DOUBLE = re.compile(r'((?:[^"\\]|\\.)*)"(.*)$', re.DOTALL)
_BLOCK = re.compile(r"([|>])([-+]?)(?:\s+#.*)?")
_ITEM = re.compile(
    r"""\s*(?:'((?:[^']|'')*)'\s*|"([^"\\]*)"\s*|([^\s,'"&*!|>%@`{}\[\]#:?-][^,'"{}\[\]#]*))(?:,|$)"""
)
_NOTHING = ("", "~", "null", "Null", "NULL")
_NOT_PLAIN = "&*!|>%@`{}[],#"
_ESCAPES = {"0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "r": "\r", "e": "\x1b", " ": " ", '"': '"',
            "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0"}  # fmt: skip
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)")


class NotPlain(Exception):
    """What is not read, and in which line."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")


def read(text: str) -> Any:
    """The document as dicts, lists, texts and None; raises NotPlain."""
    if len(text) > MAX_SIZE:
        raise NotPlain(1, f"more than {MAX_SIZE >> 20} MiB of it")
    reader = _Reader(text)
    found = reader.block(0, 0) if reader.more() else None
    if reader.more():
        raise reader.wrong("the indentation does not fit")
    return found


class _Reader:
    """Reads lines from `at` on."""

    def __init__(self, text: str) -> None:
        self.lines, self.at = text.splitlines(), 0

    def more(self) -> bool:
        """Go to the next line that says something; False at the end."""
        while self.at < len(self.lines):
            line = self.lines[self.at].strip()
            if line and not line.startswith("#"):
                return True
            self.at += 1
        return False

    def wrong(self, what: str) -> NotPlain:
        return NotPlain(self.at + 1, what)

    @property
    def indent(self) -> int:
        line = self.lines[self.at]
        width = len(line) - len(line.lstrip())
        if line[:width].strip(" "):
            raise self.wrong("a line begins with something else than blanks")
        return width

    @property
    def content(self) -> str:
        return self.lines[self.at].strip()

    def block(self, indent: int, depth: int) -> Any:
        """The mapping or list whose lines begin at `indent`."""
        if depth > MAX_DEPTH:
            raise self.wrong(f"more than {MAX_DEPTH} parts in each other")
        if self.indent != indent:
            raise self.wrong("the indentation does not fit")
        return self.listed(indent, depth) if _is_item(self.content) else self.mapping(indent, depth)

    def mapping(self, indent: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.more() and self.indent == indent and not _is_item(self.content):
            match = _KEY.match(self.content)
            if match is None:
                raise self.wrong("neither a key with a value nor an item of a list")
            if match["key"] in found:
                raise self.wrong(f"{match['key']} stands twice")
            found[match["key"]] = self.value(match["rest"] or "", indent, depth, lists_beside=True)
        return found

    def listed(self, indent: int, depth: int) -> list[Any]:
        found: list[Any] = []
        while self.more() and self.indent == indent and _is_item(self.content):
            rest = self.content[1:].strip()
            if _KEY.match(rest) or _is_item(rest):
                self.lines[self.at] = self.lines[self.at].replace("-", " ", 1)  # the item begins on this line
                found.append(self.block(self.indent, depth + 1))
            else:
                found.append(self.value(rest, indent, depth, lists_beside=False))
        return found

    def value(self, rest: str, indent: int, depth: int, *, lists_beside: bool) -> Any:
        """What follows a key or a dash: `rest` of its line, and the lines below that belong to it."""
        if rest[:1] in ("'", '"') and rest:
            return self.quoted(rest)
        if block := _BLOCK.fullmatch(rest):
            return self.text(indent, folded=block[1] == ">", end=block[2])
        if rest and not rest.startswith("#"):
            return self.plain(rest, indent)
        self.at += 1
        if not self.more():
            return None
        if self.indent > indent or (lists_beside and self.indent == indent and _is_item(self.content)):
            return self.block(self.indent, depth + 1)
        return None

    def plain(self, rest: str, indent: int) -> Any:
        if rest in ("{}", "[]"):
            self.at += 1
            return {} if rest == "{}" else []
        if rest.startswith("["):
            return self.items(self.uncommented(rest))
        if rest[0] in _NOT_PLAIN or rest.startswith(("- ", "? ")) or rest == "?":
            raise self.wrong(f"{rest[0]!r} begins something that is not read here")
        words = [self.uncommented(rest)]
        self.at += 1
        while self.more() and self.indent > indent:
            words.append(self.uncommented(self.content))
            self.at += 1
        text = " ".join(words)
        if ": " in text or text.endswith(":"):
            self.at -= 1
            raise self.wrong("a value holds ': ' without quotes")
        return None if text in _NOTHING else text

    def items(self, rest: str) -> list[str | None]:
        """A list of scalars between brackets."""
        if not rest.endswith("]"):
            raise self.wrong("a list between brackets must end on its line")
        inner, found, at = rest[1:-1], list[str | None](), 0
        while at < len(inner):
            match = _ITEM.match(inner, at)
            if match is None:
                raise self.wrong("a list between brackets may hold plain words and simple texts only")
            single, double, plain = match.groups()
            if plain is not None and (": " in plain or plain.rstrip().endswith(":")):
                raise self.wrong("a value holds ': ' without quotes")
            text = plain.rstrip() if plain is not None else double if double is not None else None
            found.append(single.replace("''", "'") if single is not None else text)
            at = match.end()
        self.at += 1
        return [None if item in _NOTHING[1:] else item for item in found]

    def text(self, indent: int, *, folded: bool, end: str) -> str:
        """The lines below that are further to the right, as they are or (`folded`) as paragraphs."""
        self.at += 1
        taken: list[str] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.strip() and (len(line) - len(line.lstrip(" ")) <= indent or line.startswith("\t")):
                break
            taken.append(line)
            self.at += 1
        body = [line for line in taken if line.strip()]
        width = min((len(line) - len(line.lstrip(" ")) for line in body), default=0)
        lines = [line[width:].rstrip("\r") if line.strip() else "" for line in taken]
        while lines and not lines[-1]:
            lines.pop()
        whole = "\n".join(lines)
        if folded:
            whole = re.sub(r"(?<=[^\n])\n(?=[^\n ])", " ", whole).replace("\n\n", "\n")
        return whole if end == "-" or not whole else whole + "\n"

    def uncommented(self, text: str) -> str:
        return re.split(r"\s#", text, maxsplit=1)[0].rstrip()

    def quoted(self, rest: str) -> str:
        """A text between quotes, over as many lines as it takes: a line break is a blank, an empty line a
        break."""
        mark, parts, line = rest[0], "", rest[1:]
        whole = re.compile(
            r"((?:[^']|'')*)'(?!')(.*)$" if mark == "'" else r'((?:[^"\\]|\\.)*)"(.*)$', re.DOTALL
        )
        start = self.at
        while True:
            parts += line
            if mark in line and (ended := whole.match(parts)):
                break
            self.at += 1
            if self.at >= len(self.lines):
                raise NotPlain(start + 1, "a quote has no end")
            line = self.lines[self.at].strip()
            if mark == '"' and re.search(r"(?<!\\)(?:\\\\)*\\$", parts):
                parts = parts[:-1]
            elif not line:
                parts += "\n"
            elif not parts.endswith("\n"):
                parts += " "
        if ended[2].strip() and not ended[2].lstrip().startswith("#"):
            raise self.wrong("there is something behind a closing quote")
        self.at += 1
        return ended[1].replace("''", "'") if mark == "'" else _ESCAPE.sub(self.unescaped, ended[1])

    def unescaped(self, match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            number = int(code[1:], 16)
            if number > 0x10FFFF:
                raise self.wrong(f"there is no character {code}")
            return chr(number)
        if code not in _ESCAPES:
            raise self.wrong(f"\\{code} stands for nothing")
        return _ESCAPES[code]


def _is_item(content: str) -> bool:
    return content == "-" or content.startswith("- ")
