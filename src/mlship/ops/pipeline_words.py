"""What a project puts into its pipeline: parts that it needs, and words that are no commands there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePath

from mlship.bundle.lock import Lock
from mlship.config import Project, TargetSection
from mlship.config.files import named_files
from mlship.config.project import FILE_NAME, LOCK_NAME
from mlship.config.settings import DEFAULT_REGISTRY
from mlship.errors import UsageError

_URL = re.compile(r"[a-z][a-z0-9+]*://[A-Za-z0-9+._~:/@%?&=,-]*")
_PATH = re.compile(r"[A-Za-z0-9._+@,][A-Za-z0-9._+@,/-]*")
_PYTHON = re.compile(r"3\.\d{1,2}")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._!-]*")
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9][\w.-]*(\[[\w.,-]+\])?( ?(==|>=|<=|~=|!=|<|>) ?[\w.*+!-]+,?)*", re.ASCII
)  # no option, no URL, no marker
EXTRAS = {"s3": "aws", "azblob": "azure", "ssh": "ssh"}  # of kinds of registries and targets


@dataclass(frozen=True)
class Pipeline:
    """The pipeline of `project` to `target`. `beneath` is the project's folder in its repository, empty if it
    is all of it."""

    project: Project
    lock: Lock
    target: str
    section: TargetSection
    beneath: str = ""

    @property
    def registry(self) -> str:
        """The URL of the default registry, or of the only one that mlship.toml names; empty if it does not
        say which. Raises UsageError for one that a pipeline would read as something else."""
        known = self.project.registries
        only = next(iter(known)) if len(known) == 1 else ""
        name = DEFAULT_REGISTRY if DEFAULT_REGISTRY in known else only
        return _plain(_URL, known[name].url, f"the URL of the registry {name}") if name else ""

    @property
    def parts(self) -> frozenset[str]:
        """Which parts of a template are kept."""
        scheme = self.registry.partition("://")[0].partition("+")[0]
        signed = "signature" in self.section.require
        found = {
            "registry": bool(self.registry),
            "no-registry": not self.registry,
            "login": scheme in ("", "oci"),
            "s3": scheme == "s3",
            "azblob": scheme == "azblob",
            "ssh": "ssh" in (scheme, self.section.type),
            "signed": signed,
            "unsigned": not signed,
            "beneath": bool(self.beneath),
        }
        return frozenset(name for name, kept in found.items() if kept)

    @property
    def words(self) -> dict[str, str]:
        """What stands for each `__WORD__`. Raises UsageError for what cannot stand in a pipeline."""
        beneath = _plain(_PATH, self.beneath, "the folder of the project") if self.beneath else ""
        pickle = self.project.model.engine == "python"
        found = pickle or self.section.scan_except  # by a scan: the target says what does not count
        return {
            "PROJECT": self.project.project.name,
            "TARGET": self.target,
            "REGISTRY": self.registry,
            "PYTHON": _plain(_PYTHON, self.lock.runtime.python, f"the Python of {LOCK_NAME}"),
            "BUILD": "mlship build --locked" + " --allow-pickle" * pickle,
            "VERIFY": "mlship verify" if found else "mlship verify --scan",
            "FOLDER": beneath or ".",
            "IN": f"{beneath}/" if beneath else "",
        }

    @property
    def sources(self) -> str:
        """What a build reads, as prerequisites of make. Raises UsageError for a name that make would read as
        something else."""
        names = [_plain(_PATH, name, "the file") for name in self.files]
        found = [f"$(wildcard {name}/* {name}/*/*)" if self._is_folder(name) else name for name in names]
        modules = {module.partition(".")[0] for module in self._modules}
        folders = sorted(module for module in modules if self._is_folder(module))
        if modules - set(folders):
            found.append("$(wildcard *.py)")
        found += [f"$(wildcard {name}/*.py {name}/*/*.py)" for name in folders]
        return " ".join((FILE_NAME, LOCK_NAME, *found))

    @property
    def files(self) -> tuple[str, ...]:
        """The files and folders that a build reads beside mlship.toml, mlship.lock and modules."""
        root, reduction = self.project.root, self.project.reduction
        patterns = reduction.include if reduction else ()
        included = sorted(str(path.relative_to(root)) for pattern in patterns for path in root.glob(pattern))
        return tuple(dict.fromkeys((*named_files(self.project), *included)))

    @property
    def requirements(self) -> str:
        """What the pipeline installs: this mlship, and the packages with which the lock was made."""
        lines = [f"mlship-toolchain[{','.join(sorted(self._extras))}]=={version('mlship-toolchain')}"]
        made_with = dict(self.lock.model.converter) if self.lock.model else {}
        pins = self.lock.runtime.pins
        for asked in self.project.runtime.requirements:
            if asked in pins:
                made_with.setdefault(asked, pins[asked])
            else:
                lines.append(_plain(_REQUIREMENT, asked, "the requirement"))
        for name, exact in sorted(made_with.items()):
            public = exact.partition("+")[0]  # 2.13.0+cpu is what one index calls 2.13.0
            named = _plain(_PACKAGE, name, "the package")
            lines.append(f"{named}=={_plain(_VERSION, public, f'the version of {named}')}")
        return "".join(f"{line}\n" for line in ("# What the pipeline of mlship builds with.", *lines))

    @property
    def _extras(self) -> set[str]:
        """Of all that mlship.toml names, so that two pipelines of one project install the same."""
        used = {section.url.partition("://")[0] for section in self.project.registries.values()}
        used |= {section.type for section in self.project.targets.values()}
        signing = {"sign"} if self.project.trust.keys else set()
        return {"build", *signing, *(EXTRAS[one] for one in used & EXTRAS.keys())}

    @property
    def _modules(self) -> tuple[str, ...]:
        reduction, model = self.project.reduction, self.project.model.callable
        named = (reduction.module if reduction else None, model[0] if model else None)
        return tuple(module for module in named if module)

    def _is_folder(self, name: str) -> bool:
        return (self.project.root / name).is_dir()


def check_interpreter(project: Project) -> None:
    """Raises ConfigError if mlship.toml names an interpreter: a runner has only the one that it activates."""
    if project.project.python is not None:
        raise project.error(
            "project",
            "python",
            what=f"is {project.project.python!r}, which a pipeline has not",
            fix="Remove the line: without it the active virtual environment is used, here and there",
        )


def _plain(form: re.Pattern[str], text: str, what: str) -> str:
    """`text` if it is of that form. Raises UsageError: anywhere else it could become a command."""
    if form.fullmatch(text) and (form is not _PATH or ".." not in PurePath(text).parts):
        return text
    raise UsageError(
        f"{what} cannot stand in a pipeline: {text!r}",
        cause="it has characters that a shell, make or YAML would read as their own",
        fix="Give it a plain name",
    )
