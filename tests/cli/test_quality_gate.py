"""`promote --require quality` and targets that ask for it: what is measured, compared, attested and refused.

The bundles are of the sample, whose answers are told here: the process that would give them is left out.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import make_layers, make_spec, write_bundle
from sample_project import HEAD

from mlship.bundle.rows.record import Recorded
from mlship.registry import open_registry
from mlship.trust.private import generate_key

TOML = (
    HEAD
    + """[trust]
keys = { release = "release.pub", other = "other.pub" }
[targets.prod]
type = "local"
require = ["quality"]
[targets.strict]
type = "local"
require = ["quality"]
signed_by = ["other"]
"""
)
OUTPUTS = [
    {"name": "label", "datatype": "INT64", "shape": [-1, 1], "nullable": False},
    {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2], "nullable": False, "classes": ["0", "1"]},
    {"name": "score", "datatype": "FP64", "shape": [-1, 1], "nullable": False},
]
AGES = list(range(10))
LEFT = [age >= 5 for age in AGES]
MEASURED: list[str] = []
PROMOTE = ("promote", "churn:1.0", "prod", "--require", "quality")


def answered(wrong: int, data: Sequence[float | None]) -> list[dict[str, Any]]:
    """Who is 5 or older has left; the first `wrong` rows are answered wrongly. Age 99 gives NaN."""
    rates = [0.9 if (age or 0) >= 5 else 0.1 for age in data]
    rates = [1 - rate if at < wrong else rate for at, rate in enumerate(rates)]
    score: list[float | None] = [None if age == 99 else rate for age, rate in zip(data, rates, strict=True)]
    pairs = [part for rate in rates for part in (1 - rate, rate)]
    values = {"label": [int(rate > 0.5) for rate in rates], "probabilities": pairs, "score": score}
    shapes = {"label": [len(data), 1], "probabilities": [len(data), 2], "score": [len(data), 1]}
    return [
        {"name": name, "datatype": "", "shape": shapes[name], "data": found} for name, found in values.items()
    ]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A registry with three bundles, two keys, and how many rows each bundle answers wrongly: 1.0 one of ten,
    1.1 four, 1.2 none."""
    folder, wrong = tmp_path_factory.mktemp("ready"), {}
    registry = open_registry(f"dir://{folder}/registry")
    for version, count in (("1.0", 1), ("1.1", 4), ("1.2", 0)):
        layers = make_layers(folder, model=version.encode())
        spec = make_spec(layers, version=version)
        spec["schema"]["outputs"] = OUTPUTS
        digest = write_bundle(registry, layers, spec)
        registry.set_tag("churn", version, digest, None)
        wrong[digest] = count
    (folder / "keys").mkdir()
    for name in ("release", "other"):
        generate_key(folder / "keys" / f"{name}.key")
    return folder, wrong


@pytest.fixture
def churn(
    ready: tuple[Path, dict[str, int]],
    tmp_path: Path,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., Any],
) -> Callable[..., Any]:
    """`churn(quality, *words)`: a run in a project with this [quality]."""
    folder, wrong = ready
    shutil.copytree(folder / "registry", own_home / "registry")
    shutil.copytree(folder / "keys", tmp_path, dirs_exist_ok=True)

    def fake(python: Any, boot: Any, release: Any, inputs: Any, *_: Any) -> Recorded:
        MEASURED.append(release["reference"])
        return Recorded(answered(wrong[release["digest"]], inputs[0]["data"]), [])

    monkeypatch.setattr("mlship.ops.quality.record", fake)
    MEASURED.clear()
    (tmp_path / "mlship.toml").write_text(TOML)
    write(tmp_path, AGES, LEFT)

    def started(quality: str, *words: str) -> Any:
        said = f'[quality]\nrows = "held.csv"\nanswers = "left"\n{quality}\n'
        (tmp_path / "mlship.toml").write_text(TOML.replace("[trust]", said + "[trust]"))
        return run(*words)

    return started


def write(folder: Path, ages: Sequence[float], left: Sequence[object]) -> None:
    lines = [
        f"{age},{int(gone) if isinstance(gone, bool) else gone}" for age, gone in zip(ages, left, strict=True)
    ]
    (folder / "held.csv").write_text("\n".join(["age,left", *lines]) + "\n")


def test_what_is_good_enough_is_promoted(churn) -> None:
    ended = churn('metric = "accuracy"\nmin = 0.9', *PROMOTE)
    assert (ended.code, MEASURED) == (0, ["churn:1.0"])
    assert "accuracy 0.9 on 10 rows; noted, but not signed (--key)" in " ".join(ended.out.split())


@pytest.mark.parametrize(
    ("quality", "why"),
    [
        ('metric = "accuracy"\nmin = 0.91', "accuracy 0.9 on 10 rows: below min = 0.91"),
        ('metric = "log_loss"\nmax = 0.1', "on 10 rows: above max = 0.1"),
    ],
)
def test_what_is_not_stays_where_it_is(churn, run, quality: str, why: str) -> None:
    ended = churn(quality, *PROMOTE, "--key", "release.key")
    assert (ended.code, ended.out) == (9, "")
    assert ended.err.splitlines()[-1].startswith("error: churn:1.0 does not pass the gate quality: ")
    assert why in ended.err
    assert "prod" not in run("list", "churn").out
    assert churn(quality, "plan", "prod", "churn:1.0").code == 9  # and nothing is attested


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_no_worse_than_what_it_replaces(churn, metric: str) -> None:
    against = f'metric = "{metric}"\nnot_worse_than = "prod"\nmargin = '
    first = churn(against + "0.0", *PROMOTE)
    assert (first.code, "there is no prod yet to compare with" in " ".join(first.out.split())) == (0, True)
    worse = churn(against + "0.1", "promote", "churn:1.1", "prod", "--require", "quality")
    assert (worse.code, "prod has 0." in worse.err, "0.1 is the margin" in worse.err) == (9, True, True)
    assert [name.partition("@")[0] for name in MEASURED] == ["churn:1.0", "churn", "churn:1.1"]
    better = churn(against + "0.0", "promote", "churn:1.2", "prod", "--require", "quality")
    assert (better.code, "(prod: 0." in " ".join(better.out.split())) == (0, True)
    again = churn(against + "0.0", "promote", "churn:1.2", "prod", "--require", "quality")
    assert (again.code, "which is prod already" in " ".join(again.out.split())) == (0, True)
    assert churn(against + "5", "promote", "churn:1.1", "prod", "--require", "quality").code == 0


def test_a_target_takes_the_word_of_a_key_and_measures_nothing(churn, tmp_path: Path) -> None:
    quality, plan = 'metric = "accuracy"\nmin = 0.9', ("plan", "prod", "churn:1.0")
    assert churn(quality, *PROMOTE).code == 0
    refused = churn(quality, *plan)
    assert (refused.code, "nobody who is trusted attests the quality of churn:1.0" in refused.err) == (
        9,
        True,
    )
    assert churn(quality, *PROMOTE, "--key", "release.key").code == 0
    MEASURED.clear()
    assert churn(quality, *plan).code not in (4, 9)  # what stops it then is that it runs nowhere
    assert churn(quality, "plan", "strict", "churn:1.0").code == 9
    assert churn('metric = "accuracy"\nmin = 0.95', *plan).code == 9
    assert churn('metric = "f1"\nmin = 0.1', *plan).code == 9
    said = churn(quality, *PROMOTE).out
    assert "accuracy 0.9 on 10 rows, as release attests" in " ".join(said.split())
    write(tmp_path, AGES[1:], LEFT[1:])
    assert churn(quality, *plan).code == 9  # it is of other rows
    (tmp_path / "held.csv").unlink()
    assert churn(quality, *plan).code not in (4, 9)
    assert MEASURED == []


def test_what_is_attested_is_shown(churn) -> None:
    quality = 'metric = "accuracy"\nnot_worse_than = "prod"\nmargin = 0.5'
    assert churn(quality, *PROMOTE, "--key", "release.key").code == 0
    assert (
        churn(quality, "promote", "churn:1.1", "prod", "--require", "quality", "--key", "other.key").code == 0
    )
    assert "accuracy 0.6 on 10 rows, 0.9 before; other says so" in churn(quality, "inspect", "churn:1.1").out
    (shown,) = churn(quality, "inspect", "churn:1.0", "--json").envelope["result"]["quality"]
    assert (shown["name"], shown["value"], shown["rows"], shown["comparedDigest"]) == (
        "release",
        0.9,
        10,
        None,
    )


def test_a_revoked_key_attests_nothing(churn, run, tmp_path: Path) -> None:
    quality = 'metric = "accuracy"\nmin = 0.9'
    assert churn(quality, *PROMOTE, "--key", "release.key").code == 0
    key = run("key", "show", "release.pub", "--json").envelope["result"]["id"]
    toml = (tmp_path / "mlship.toml").read_text()
    (tmp_path / "mlship.toml").write_text(toml.replace("[trust]\n", f'[trust]\nrevoked = ["{key}"]\n'))
    assert run("plan", "prod", "churn:1.0").code == 9


def test_what_is_attested_was_compared_with_what_the_tag_is(churn) -> None:
    quality = 'metric = "accuracy"\nnot_worse_than = "prod"\nmargin = 0.5'
    assert churn(quality, *PROMOTE, "--key", "release.key").code == 0
    assert churn(quality, "plan", "prod", "churn:1.0").code not in (4, 9)
    assert churn(quality, "tag", "churn:1.1", "prod").code == 0
    moved = churn(quality, "plan", "prod", "churn:1.0")
    assert (moved.code, "is not compared with what prod is now" in moved.err) == (9, True)
    assert churn(quality, *PROMOTE, "--key", "release.key").code == 0
    assert churn(quality, "plan", "prod", "churn:1.0").code not in (4, 9)


def test_what_is_attested_in_comparison_with_another_bundle_lets_nothing_worse_through(churn) -> None:
    quality = 'metric = "accuracy"\nnot_worse_than = "prod"\nmargin = 0.1'
    worse = ("promote", "churn:1.1", "--require", "quality", "--key", "release.key")
    assert churn(quality, *worse[:2], "staging", *worse[2:]).code == 0  # there is no prod yet
    assert churn(quality, *PROMOTE, "--key", "release.key").code == 0
    refused = churn(quality, *worse[:2], "prod", *worse[2:])
    assert (refused.code, "0.1 is the margin" in refused.err) == (9, True)
    assert churn(quality, "list", "churn", "--json").out.count('"prod"') == 1


def test_one_number_is_a_probability_where_that_is_said(churn) -> None:
    quality = 'metric = "roc_auc"\nmin = 0.5\noutput = "score"\n'
    assert "Say which: positive" in churn(quality, *PROMOTE).err
    rated = churn(quality + "positive = 1", *PROMOTE)
    assert (rated.code, "roc_auc 0.9 on 10 rows" in " ".join(rated.out.split())) == (0, True)


def test_answers_that_are_no_numbers_are_the_bundles_fault(churn, tmp_path: Path, run) -> None:
    write(tmp_path, [1, 99], [0, 1])
    ended = churn('metric = "rmse"\nmax = 1', *PROMOTE)
    assert (ended.code, "answers score = NaN (or infinity) for the held-out row 1" in ended.err) == (4, True)
    assert "prod" not in run("list", "churn").out


HEAD = "age,left\n"
GOOD = 'metric = "accuracy"\nmin = 0.5'
REFUSED = [
    (GOOD, HEAD, "has a header and no rows"),
    (GOOD, "", "held.csv is empty"),
    (GOOD, None, "'held.csv', which is not a file"),
    (GOOD, "year,left\n1,1\n", "held.csv has no column 'age'"),
    (GOOD, "age,gone\n1,1\n", "held.csv has no column 'left'"),
    (GOOD, HEAD + "1,\n", "held.csv:2 column 'left': '' is missing"),
    (GOOD, HEAD + "1,nan\n", "held.csv:2 column 'left': 'nan' is missing"),
    (GOOD, HEAD + "x,1\n", "held.csv:2 column 'age': 'x' is not a finite number"),
    (GOOD, HEAD + "1,1\n2,7\n", "quality.answers has '7' in row 1 (from 0), which is no class"),
    ('metric = "roc_auc"\nmin = 0.5', HEAD + "1,1\n2,1\n", "has no value for these rows: every row is of"),
    ('metric = "r2"\nmin = 0.5', HEAD + "1,1\n", "has no value for these rows: r2 needs two rows"),
    ('metric = "accuracy"', HEAD + "1,1\n", "quality has no bound"),
    (GOOD.replace("0.5", "inf"), HEAD + "1,1\n", "quality.min is no finite number"),
    (GOOD + "\nmax = 0.4", HEAD + "1,1\n", "quality.min is 0.5, above max = 0.4"),
    (GOOD + '\nnot_worse_than = "prod"', HEAD + "1,1\n", "quality.not_worse_than stands alone"),
    (GOOD + "\nmargin = 0.1", HEAD + "1,1\n", "quality.margin stands alone"),
    (GOOD + '\noutput = "other"', HEAD + "1,1\n", "is none of this bundle's: label, probabilities, score"),
    (
        GOOD + '\noutput = "score"',
        HEAD + "1,1\n",
        "accuracy reads decisions: churn:1.0 answers label (INT64)",
    ),
    ('metric = "f1"\nmin = 0\npositive = 2', HEAD + "1,1\n", "quality.positive is no class of this bundle's"),
    (GOOD + "\npositive = 1", HEAD + "1,1\n", "quality.positive says nothing to accuracy"),
    (GOOD.replace("accuracy", "best"), HEAD + "1,1\n", "invalid enum value 'best'"),
]


@pytest.mark.parametrize(("quality", "held", "why"), REFUSED, ids=[why for _, _, why in REFUSED])
def test_what_cannot_be_asked_is_refused(
    churn, run, tmp_path: Path, quality: str, held: str | None, why: str
) -> None:
    (tmp_path / "held.csv").unlink()
    if held is not None:
        (tmp_path / "held.csv").write_text(held)
    ended = churn(quality, *PROMOTE, "--key", "release.key")
    assert (ended.code, ended.out, why in ended.err) == (2, "", True), ended.err
    assert len([line for line in ended.err.splitlines() if not line.startswith("measuring")]) == 1
    churn(GOOD, "list")
    assert "prod" not in run("list", "churn").out


def test_without_the_section_nothing_is_asked(churn, run, tmp_path: Path) -> None:
    (tmp_path / "mlship.toml").write_text(TOML.partition("[targets")[0])
    ended = run(*PROMOTE)
    assert (ended.code, "the gate quality needs [quality] in mlship.toml" in ended.err) == (2, True)
    (tmp_path / "mlship.toml").write_text(TOML)
    assert "asks for quality, but there is no [quality]" in run("plan", "prod", "churn:1.0").err
    (tmp_path / "mlship.toml").unlink()
    assert "needs a project, whose mlship.toml has [quality]" in run(*PROMOTE).err
    assert "--key signs what the gate quality found" in run("promote", "churn:1.0", "prod", "--key", "x").err
