"""mlship in Python: the verbs of the command line as functions, with the same words and the same results.

    import mlship

    mlship.build(model, examples=frame)
    mlship.deploy("local")
    mlship.invoke("local", frame.head())

They are about the project that the current folder is in; `mlship.Project(folder)` has them as methods. What
goes wrong is raised as one of `mlship.errors`. Nothing is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlship.api.project import Project as Project
    from mlship.errors import MlshipError as MlshipError
    from mlship.errors import MlshipWarning as MlshipWarning

    _here = Project()
    build = _here.build
    inspect = _here.inspect
    diff = _here.diff
    verify = _here.verify
    sign = _here.sign
    score = _here.score
    list = _here.list  # noqa: A001 - a function is named like its verb
    push = _here.push
    pull = _here.pull
    copy = _here.copy
    tag = _here.tag
    untag = _here.untag
    promote = _here.promote
    plan = _here.plan
    deploy = _here.deploy
    status = _here.status
    history = _here.history
    logs = _here.logs
    invoke = _here.invoke
    rollback = _here.rollback
    repair = _here.repair
    destroy = _here.destroy
    build_image = _here.build_image
    push_image = _here.push_image
    save_image = _here.save_image
    inspect_image = _here.inspect_image
    verify_image = _here.verify_image

_VERBS = frozenset(
    (
        "build",
        "inspect",
        "diff",
        "verify",
        "sign",
        "score",
        "list",
        "push",
        "pull",
        "copy",
        "tag",
        "untag",
        "promote",
        "plan",
        "deploy",
        "status",
        "history",
        "logs",
        "invoke",
        "rollback",
        "repair",
        "destroy",
        "build_image",
        "push_image",
        "save_image",
        "inspect_image",
        "verify_image",
    )
)
_ELSEWHERE = {
    "Project": "mlship.api.project",
    "MlshipError": "mlship.errors",
    "MlshipWarning": "mlship.errors",
}
__all__ = sorted([*_VERBS, *_ELSEWHERE])


if not TYPE_CHECKING:  # checkers know the names above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name not in _VERBS and name not in _ELSEWHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module = import_module(_ELSEWHERE.get(name, "mlship.api.project"))
        found = getattr(module.Project() if name in _VERBS else module, name)
        globals()[name] = found
        return found


def __dir__() -> Iterable[str]:
    return {*globals(), *__all__}
