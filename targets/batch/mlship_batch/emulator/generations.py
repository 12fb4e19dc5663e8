"""Generation data groups: relative numbers as one job sees them, roll-in at the end of a step, roll-off."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from mlship_batch.emulator.catalog import Catalog, NotThere, Refused, Taken
from mlship_batch.names import generation_name, generation_number
from mlship_runtime.files import read_json, remove, write_json

_MOST = 255
_WRAP = 9999


@dataclass(frozen=True)
class Group:
    """`limit` generations; at the next, the oldest rolls off (`empty`: all do) and, with `scratch`, is
    deleted."""

    base: str
    limit: int
    empty: bool = False
    scratch: bool = False
    last: int = 0


class Generations:
    """The groups of a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def define(self, group: Group) -> None:
        """Raises Taken, and Refused for a limit that cannot be."""
        if not 1 <= group.limit <= _MOST:
            raise Refused(f"IDC3211I LIMIT {group.limit} IS NOT BETWEEN 1 AND {_MOST}")
        if self._catalog.find(group.base) or self._catalog.is_group(group.base):
            raise Taken(f"IDC3013I DUPLICATE DATA SET NAME {group.base}")
        self._catalog.group_file(group.base).parent.mkdir()
        self._keep(group)

    def alter(self, group: Group) -> None:
        """Another limit; it holds from the next roll-in on. Raises Refused."""
        if group.limit < len(self.active(group.base)) or group.limit > _MOST:
            raise Refused(f"IDC3211I LIMIT {group.limit} IS LESS THAN WHAT IS THERE, OR MORE THAN {_MOST}")
        self._keep(group)

    def find(self, base: str) -> Group | None:
        value = read_json(self._catalog.group_file(base))
        return Group(**value) if value else None

    def get(self, base: str) -> Group:
        """Raises NotThere."""
        found = self.find(base)
        if found is None:
            raise NotThere(f"GENERATION DATA GROUP {base} NOT FOUND")
        return found

    def active(self, base: str) -> list[int]:
        """The numbers of those that are rolled in, oldest first."""
        names = self._catalog.names(f"{base}.*")
        numbers = (generation_number(base, dsn) for dsn in names)
        return sorted(number for number in numbers if number is not None)

    def delete(self, base: str, *, force: bool) -> None:
        """Raises NotThere, and Refused while it has generations."""
        self.get(base)
        left = self.active(base)
        if left and not force:
            raise Refused(f"IDC3022I {base} STILL HAS {len(left)} GENERATIONS")
        for number in left:
            self._catalog.delete(generation_name(base, number))
        remove(self._catalog.group_file(base).parent)

    def roll_in(self, base: str, dsn: str) -> list[str]:
        """List `dsn` as the newest; the names of those that rolled off."""
        group = self.get(base)
        number = generation_number(base, dsn)
        before = self.active(base)
        self._catalog.listing(dsn, True)
        self._keep(Group(base, group.limit, group.empty, group.scratch, max(group.last, number or 0)))
        if len(before) < group.limit:
            return []
        off = [
            generation_name(base, old)
            for old in (before if group.empty else before[: len(before) + 1 - group.limit])
        ]
        for old in off:
            if group.scratch:
                self._catalog.delete(old)
            else:
                self._catalog.listing(old, False)
        return off

    def _keep(self, group: Group) -> None:
        write_json(self._catalog.group_file(group.base), asdict(group))


@dataclass
class Seen:
    """Relative numbers of one job: what (0) is when it first speaks of a group stays (0) to its end."""

    generations: Generations
    _bases: dict[str, tuple[list[int], int]] = field(default_factory=dict)

    def resolve(self, base: str, relative: int) -> str:
        """The data set meant. Raises NotThere."""
        if base not in self._bases:
            group = self.generations.get(base)
            active = self.generations.active(base)
            self._bases[base] = (active, max([group.last, *active]))
        active, last = self._bases[base]
        if relative > 0:
            number = last + relative
            if number > _WRAP:
                raise Refused(f"GENERATION {number} OF {base} CANNOT BE")
            return generation_name(base, number)
        if len(active) + relative < 1:
            raise NotThere(f"DATA SET {base}({relative}) NOT FOUND")
        return generation_name(base, active[relative - 1])
