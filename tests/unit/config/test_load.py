"""mlship.toml into typed sections, and what is said when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.config import Project, find_project, load_project, parse_project
from mlship.config.sections import Tolerance
from mlship.errors import ConfigError

SMALLEST = '[project]\nname = "churn"\n[model]\nsource = "model.joblib"\n'


def parse(text: str) -> Project:
    return parse_project(text, root=Path("/project"))


def test_the_smallest_project_has_sensible_defaults() -> None:
    project = parse(SMALLEST)
    assert (project.project.name, project.project.version) == ("churn", "0.1.0")
    assert str(project.reference) == "churn:0.1.0"
    assert project.model.file == "model.joblib"
    assert project.model.callable is None
    assert project.reduction is None
    assert project.golden.synthetic
    assert (project.golden.rows, project.golden.seed, project.golden.columns) == (64, 0, None)
    assert project.runtime.platforms == ()
    assert project.targets == {}


def test_a_model_may_come_from_a_function() -> None:
    project = parse(SMALLEST.replace("model.joblib", "pkg.train:make"))
    assert project.model.callable == ("pkg.train", "make")
    assert project.model.file is None


def test_how_to_answer_here_is_a_section_of_its_own() -> None:
    serve = parse(SMALLEST).serve
    assert (serve.port, serve.answering()) == (8080, {})
    external = '[serve.external]\ntokens = "own.tokens"\ncertificate = "/c"\nkey = "k"\n'
    serve = parse(SMALLEST + '[serve]\naccess_log = true\nlimits = { body = "1 MB" }\n' + external).serve
    assert serve.external is not None
    said = serve.external.beneath(Path("/project"))
    assert (said.tokens, said.certificate, said.key, said.client_ca) == (
        "/project/own.tokens",
        "/c",
        "/project/k",
        "",
    )
    assert serve.answering()["limits"] == {"body": 1_000_000}
    assert serve.answering()["accessLog"] is True


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[serve.external]\nport = 1", r"mlship\.toml:\d+: `external` does not say who may come in"),
        ('[serve.external]\ntokens = "t"\nhost = "0.0.0.0"', r":\d+: tokens would cross the network"),
        ("[serve]\nlimits = { row = 1 }", "serve.limits: object contains unknown field row"),
        ("[serve]\nhost = '::'", r"unknown key host in \[serve\]"),
    ],
)
def test_how_not_to_answer_is_told(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(SMALLEST + text)


def test_a_tolerance_may_be_given_in_part() -> None:
    project = parse(SMALLEST + "tolerance = { rel = 0.01 }\n")
    assert project.model.tolerance == Tolerance(rel=0.01)


def test_settings_of_an_adapter_are_passed_on_unread() -> None:
    project = parse(
        SMALLEST
        + '[targets.prod]\ntype = "local"\nport = 8080\nkeep = 1\n[targets.prod.environment]\nA = "b"\n'
    )
    target = project.targets["prod"]
    assert (target.type, target.keep) == ("local", 1)
    assert target.settings == {"port": 8080, "environment": {"A": "b"}}


# what is added to (or, with a first word "=", written instead of) the smallest project -> the message
WRONG = [
    ("[modle]\n", "mlship.toml:5: unknown section modle. Did you mean model?"),
    ("[golden]\nrowz = 3\n", "mlship.toml:6: unknown key rowz in [golden]. Did you mean rows?"),
    ("tolerance = { abz = 1 }\n", "mlship.toml:5: unknown key abz in [model.tolerance]. Did you mean abs?"),
    (
        "[bundle]\nzzz = 1\n",
        "mlship.toml:6: unknown key zzz in [bundle]. Known here: card, labels, max_size, not_secret",
    ),
    ("[golden]\nrows = 257\n", "mlship.toml:6: golden.rows: expected whole number <= 256"),
    ("[golden]\nrows = 0\n", "mlship.toml:6: golden.rows: expected whole number >= 1"),
    ('[golden]\nrows = "64"\n', "mlship.toml:6: golden.rows: expected whole number, got text"),
    ('[golden]\ncolumns = ["a", 1]\n', "mlship.toml:6: golden.columns[1]: expected text, got whole number"),
    ('[golden]\ncolumns = ["a", "a"]\n', "mlship.toml:6: golden.columns names a column twice"),
    ('[reduction]\nstep = "reduce"\n', 'mlship.toml:6: reduction.step must be written as "module:function"'),
    (
        '[reduction]\ninclude = ["x"]\n',
        "mlship.toml:5: reduction says nothing of what reduces. "
        'Give one: step = "module:function", graph = "FILE.onnx", or split = STEPS of a pipeline',
    ),
    (
        '[reduction]\ngraph = "r.onnx"\nsplit = 1\n',
        "mlship.toml:5: reduction has graph and split. "
        'Give one: step = "module:function", graph = "FILE.onnx", or split = STEPS of a pipeline',
    ),
    (
        '[reduction]\ngraph = "r.onnx"\ninclude = ["x"]\n',
        "mlship.toml:7: reduction.include is for a step in Python",
    ),
    (
        '[reduction]\nstep = "a:b"\nfuse = false\n',
        "mlship.toml:7: reduction.fuse is for ONNX graphs; a step in Python is never fused",
    ),
    ("[reduction]\nsplit = 0\n", "mlship.toml:6: reduction.split: expected whole number >= 1"),
    ('[runtime]\npython = "3"\n', 'mlship.toml:6: runtime.python must be written as "3.N"'),
    ("[runtime]\npython = 3.11\n", "mlship.toml:6: runtime.python: expected text, got number"),
    (
        '[runtime]\nplatforms = ["linux/x86"]\n',
        "mlship.toml:6: runtime.platforms[0]: invalid enum value 'linux/x86'. "
        "One of: linux/amd64, linux/arm64, macos/amd64, macos/arm64",
    ),
    ("[schema.age]\nmin = 3\nmax = 2\n", "mlship.toml:6: schema.age.min is 3, above max = 2"),
    (
        "[schema.age]\nnulable = 1\n",
        "mlship.toml:6: unknown key nulable in [schema.age]. Did you mean nullable?",
    ),
    (
        "targets = 3\n",
        "mlship.toml:5: unknown key targets in [model]. "
        "Known here: allow_globals, engine, source, tolerance, tracking_uri",
    ),
    (
        'engine = "python"\n[reduction]\nsplit = 1\n',
        'mlship.toml:7: reduction.split goes with models that become ONNX, not with engine = "python". '
        "Write the reduction as a step in Python",
    ),
    (
        '[targets]\nlocal = "x"\n',
        "mlship.toml:6: targets.local is not a table. Write [targets.local] above its keys",
    ),
    ("[targets.local]\nport = 1\n", "mlship.toml:5: [targets.local] has no type. Give it a type"),
    (
        '[targets.Prod]\ntype = "local"\n',
        "mlship.toml:5: 'Prod' is not a name. "
        "A name has at most 63 of a-z and 0-9, with single . _ - between them",
    ),
    ("[bundle\n", "mlship.toml:5: not TOML: expected ']' at the end of a table declaration"),
    ("[model]\n", "mlship.toml:5: not TOML: cannot declare ('model',) twice"),
    (
        '= [project]\nname = "a"\n',
        "mlship.toml: the section [model] is missing. Write [model] and its source below",
    ),
    (
        '= [model]\nsource = "a"\n',
        "mlship.toml: the section [project] is missing. Write [project] and its name below",
    ),
    (
        '= [project]\nname = "a"\nversion = "1 2"\n[model]\nsource = "a"\n',
        "mlship.toml:3: '1 2' is not a tag. A tag has at most 128 of A-Z a-z 0-9 . _ -",
    ),
]


@pytest.mark.parametrize(
    ("text", "message"), WRONG, ids=[message.split(": ", 1)[1][:40] for _, message in WRONG]
)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str) -> None:
    whole = text[2:] if text.startswith("= ") else SMALLEST + text
    with pytest.raises(ConfigError) as caught:
        parse(whole)
    assert str(caught.value) == message


def test_lines_are_right_with_windows_line_ends() -> None:
    with pytest.raises(ConfigError, match=r"^mlship.toml:6: "):
        parse((SMALLEST + "[golden]\nrowz = 3\n").replace("\n", "\r\n"))


def test_a_later_complaint_can_name_the_line_of_a_key() -> None:
    project = parse(SMALLEST + '[golden]\nfrom = "rows.csv"\n')
    error = project.error("golden", "from", what="is odd", fix="Do it")
    assert str(error) == "mlship.toml:6: golden.from is odd. Do it"


def test_the_project_is_found_in_a_folder_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlship.toml").write_text(SMALLEST)
    (tmp_path / "in" / "side").mkdir(parents=True)
    monkeypatch.delenv("MLSHIP_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path / "in" / "side")
    assert load_project().root == tmp_path


def test_the_environment_can_name_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlship.toml").write_text(SMALLEST)
    monkeypatch.setenv("MLSHIP_PROJECT", str(tmp_path))
    assert load_project().file == tmp_path / "mlship.toml"


def test_no_project_is_an_answer_or_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLSHIP_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_project() is None
    with pytest.raises(ConfigError, match="mlship init"):
        load_project()


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_project(tmp_path / "other.toml")
    (tmp_path / "mlship.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_project(tmp_path)


@pytest.mark.parametrize(
    ("text", "count"), [("200 MB", 200_000_000), ("1.5GB", 1_500_000_000), ("10 kB", 10_000)]
)
def test_a_budget_is_a_number_with_a_unit(text: str, count: int) -> None:
    assert parse(SMALLEST + f'[bundle]\nmax_size = "{text}"\n').bundle.max_bytes == count


@pytest.mark.parametrize("text", ["200", "MB", "-1 MB", "1 MiB", "1e3 MB"])
def test_a_budget_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match='max_size must be written as "200 MB"'):
        parse(SMALLEST + f'[bundle]\nmax_size = "{text}"\n')
