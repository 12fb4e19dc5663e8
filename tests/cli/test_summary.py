"""--summary: a section of Markdown for each command, in which nothing of others is Markdown."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sample_project import HEAD, count_as_built, own_registry

from mlship.cli import summary
from mlship.cli.blocks import Block, Facts, Line, Table
from mlship.cli.render_markdown import LONGEST, MOST_ROWS, draw

HOSTILE = [
    "<script>alert(1)</script>",
    "[click](https://evil.example)",
    "![x](https://evil.example/p.png)",
    "a | b |\n| --- | --- |\n| c | d",
    "`code` **bold** ~~gone~~ $x$ &lt;",
    "# heading",
    "- list\n- list",
    "1. one",
    "2) two",
    "> quote",
    "---",
    "===",
    "<!-- comment",
    "line\r\n\r\n## two\x1b[31m\u202e",
    "\\",
    "ends with \\",
    "::error::x",
]
PLAIN = {"paragraph_open", "paragraph_close", "inline"}
CELLS = {f"{tag}_{end}" for tag in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")}
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def read(text: str) -> list[Any]:
    """The tokens of `text`, those within lines after each line."""
    found = []
    for token in READER.parse(text):
        found += [token, *(token.children or [])]
    return found


def shown(text: str) -> list[str]:
    """What a reader of each paragraph or cell sees; fails if anything in it is more than text."""
    lines = []
    for token in read(text):
        assert token.type in PLAIN | CELLS | {"text", "html_inline"}, (token.type, text)
        assert token.type != "html_inline" or token.content == "<!-- -->", text
        if token.type == "inline":
            lines.append("".join(x.content for x in token.children if x.type == "text"))
    return lines


def words(text: str) -> str:
    return " ".join("".join(x if x.isprintable() else " " for x in text).split())


@pytest.mark.parametrize("text", HOSTILE)
def test_what_others_write_stays_text_in_its_line_and_its_cell(text: str) -> None:
    assert shown(draw([Line(text)])) == [words(text)]
    assert shown(draw([Facts([("name", text)])])) == ["", "", "name", words(text)]
    assert shown(draw([Table("", ("a", text), [(text, "b")])])) == ["a", words(text), words(text), "b"]


@settings(max_examples=40)
@given(st.text(min_size=1, max_size=60))
@example("@ann")
@example("churn@sha256:1")
def test_any_text_is_shown_as_it_stands(text: str) -> None:
    for blocks in ([Line(text)], [Facts([(text, "x")])]):
        assert words(text) in [line or "" for line in shown(draw(blocks))] or not words(text)


def test_nobody_is_called_by_a_name_in_a_text() -> None:
    assert draw([Line("by @ann of churn@sha256:1")]) == "by @<!-- -->ann of churn@sha256:1\n\n"


def test_tables_and_texts_end_somewhere() -> None:
    text = draw([Table("t", ("n",), [(str(at),) for at in range(1000)]), Line("x" * 9999)])
    assert f"and {1000 - MOST_ROWS} more" in text
    assert len(text.splitlines()) < MOST_ROWS + 12
    assert max(map(len, text.splitlines())) <= LONGEST


@pytest.fixture
def pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a build."""
    from sample_bundle import make_bundle

    (tmp_path / "mlship.toml").write_text(HEAD)
    monkeypatch.chdir(tmp_path)
    count_as_built(tmp_path, make_bundle(own_registry(tmp_path)))
    return tmp_path


def test_each_command_adds_a_section(run: Any, pushed: Path) -> None:
    (pushed / "s.md").write_text("what was there\n")
    for command in (["verify"], ["push", "--tag", "pr-17"]):
        assert run(*command, "--summary", "s.md").code == 0
    text = (pushed / "s.md").read_text()
    assert text.startswith("what was there\n### mlship verify\n\nchurn:1.0 is whole")
    assert "\n### mlship push\n\nchurn:pr-17 is in dir://" in text
    assert "| sent |" in text
    listed = run("list", "default", "--json").envelope["result"]["bundles"]
    assert [entry["tags"] for entry in listed] == [["pr-17"]]


def test_a_failure_is_told_too(run: Any, pushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLSHIP_SUMMARY", "s.md")
    ended = run("verify", "nope/churn:1.0")
    assert ended.code == 2
    text = (pushed / "s.md").read_text()
    assert text.startswith("### mlship verify failed\n\nExit code 2: there is no registry 'nope'")
    assert run("list").code == 0  # has none, and is not bothered
    assert (pushed / "s.md").read_text() == text


@pytest.mark.parametrize("name", ["", "folder", "missing/s.md"])
def test_what_cannot_be_written_is_refused_before_anything_is_done(name: str, run: Any, pushed: Path) -> None:
    (pushed / "folder").mkdir()
    ended = run("push", "--summary", name, "--json")
    assert (ended.code, ended.envelope["error"]["kind"]) == (2, "usage")
    assert "the summary cannot be written" in ended.envelope["error"]["what"]
    assert run("list", "default", "--json").envelope["result"]["bundles"] == []


def test_a_summary_that_is_lost_later_does_not_undo_what_was_done(
    run: Any, pushed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "check", lambda file: file.mkdir())
    ended = run("push", "--summary", "s.md", "--json")
    assert ended.code == 0
    assert ended.envelope["warnings"] == ["the summary could not be written to s.md: Is a directory"]


def test_a_full_disk_costs_the_summary_alone(run: Any, pushed: Path) -> None:
    ended = run("verify", "--summary", "/dev/full")
    assert ended.code == 0
    assert "warning: the summary could not be written to /dev/full: No space left" in ended.err


def test_sections_of_commands_side_by_side_do_not_mix(tmp_path: Path) -> None:
    file = tmp_path / "s.md"

    def one(name: str) -> None:
        run: Any = SimpleNamespace(command=name, summary=file, warnings=[])
        blocks: list[Block] = [Line(name * 300)]
        for _ in range(50):
            summary.tell(run, blocks)

    both = [threading.Thread(target=one, args=(name,)) for name in "ab"]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    sections = file.read_text().split("### mlship ")[1:]
    assert len(sections) == 100
    assert all(text == f"{text[0]}\n\n{text[0] * 300}\n\n" for text in sections)


def test_warnings_are_told(tmp_path: Path) -> None:
    run: Any = SimpleNamespace(command="x", summary=tmp_path / "s.md", warnings=["look *here*"])
    summary.tell(run, [Line("done")])
    text = (tmp_path / "s.md").read_text()
    assert text == "### mlship x\n\ndone\n\nWarnings:\n\n- look \\*here\\*\n\n"


def test_a_program_that_reads_no_more_does_not_cost_the_summary(command: list[str], pushed: Path) -> None:
    words = [*command, "verify", "--summary", "s.md"]
    shell = 'set -o pipefail; "$@" | true'
    subprocess.run(["bash", "-c", shell, "sh", *words], cwd=pushed, check=False)
    assert (pushed / "s.md").read_text().startswith("### mlship verify\n")
