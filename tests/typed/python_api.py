"""What type checkers see of `import mlship`: never run; mypy --strict reads it in `make check`."""

from pathlib import Path
from typing import assert_type

import mlship
from mlship.ops.build import BuildReport
from mlship.ops.copy import Copied
from mlship.ops.deploy import DeployReport
from mlship.ops.image_build import BuiltImage
from mlship.ops.invoke import Answer
from mlship.ops.list import Listing
from mlship.ops.status import Status
from mlship.progress import Silent


class Heard:
    """Progress of somebody's own."""

    def say(self, text: str) -> None: ...
    def phase(self, name: str, total: int | None = None, *, unit: str = "items") -> None: ...
    def advance(self, amount: int = 1) -> None: ...


assert_type(mlship.build(object(), examples=[{"a": 1}], name="churn"), BuildReport)
assert_type(mlship.build().digest, str)
assert_type(mlship.list("team"), Listing)
assert_type(mlship.push("churn:1.4", rate=1e6), Copied)
assert_type(mlship.deploy("prod", plan=Path("churn.plan")), DeployReport)
assert_type(mlship.invoke("prod", [{"a": 1}], via="tunnel"), Answer)
assert_type(mlship.status(), Status)
assert_type(mlship.Project("services/churn", progress=False, timeout=3).rollback(to=3), DeployReport)
assert_type(mlship.Project(Path(), progress=Heard()).build_image(base="python:3.11"), BuiltImage)
assert_type(mlship.Project(progress=Silent()).destroy(yes=True).purged, bool)

mlship.deploy(5)  # type: ignore[arg-type]
mlship.invoke("prod", [], via="mail")  # type: ignore[arg-type]
mlship.sign("churn:1.4")  # type: ignore[call-arg]
mlship.pul("churn:1.4")  # type: ignore[attr-defined]
mlship.Project(progress="loud")  # type: ignore[arg-type]
