"""A window on decisions: which are looked at, and a reader that is asked about them.

Questions can be ended from another thread, and see what whoever looks may see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forensics.errors import UsageError
from forensics.lake import sql
from forensics.lake.catalog import DataFile
from forensics.lake.find import COLUMNS, FIELDS, points_with_names
from forensics.lake.protect import columns_seen
from forensics.lake.snapshot import Snapshot

#: What every row begins with, so that it can be opened and told from others.
KEY = ("occurred_at", "decision_point", "decision_id", "request_id")
TIME, POINT, DECISION, REQUEST = range(len(KEY))
_FEATURE = "features."
_FIELDS = {**COLUMNS, **FIELDS}
_SCALARS = {"float64": "DOUBLE", "int64": "BIGINT", "bool": "BOOLEAN"}

#: A row: the values of :data:`KEY`, then of the columns asked for. Times are microseconds.
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at.

    Args:
        points: the decision points.
        columns: names of :data:`forensics.lake.find.COLUMNS` and ``FIELDS``, and ``features.x``.
        where: a condition, as ``forensics find --where`` takes it.
        order: the column that is sorted by.
        descending: newest or largest first.
        since_us: from when on; None for all there is.
        until_us: before when.
    """

    points: tuple[str, ...]
    columns: tuple[str, ...] = ()
    where: str | None = None
    order: str = "occurred_at"
    descending: bool = True
    since_us: int | None = None
    until_us: int | None = None

    @property
    def in_time(self) -> bool:
        """Whether rows stand in order of time."""
        return self.order == "occurred_at"

    def holds(self, time_us: int) -> bool:
        """Whether a time is in the window."""
        return (self.since_us is None or time_us >= self.since_us) and (
            self.until_us is None or time_us < self.until_us
        )


class Cancelled(Exception):
    """Somebody else ended the question."""


class Reader:
    """Asks questions about one snapshot, one at a time; other threads may :meth:`cancel` only."""

    def __init__(self, snapshot: Snapshot, connection: sql.Connection | None = None) -> None:
        # Footers of all files of a large lake would take several hundred megabytes.
        self._connection = connection or sql.connect([snapshot.root], footers=False)
        self._usable: dict[tuple[tuple[str, ...], str | None], dict[str, list[str]]] = {}
        self.snapshot = snapshot.through(self._connection)
        self.cancelled = False

    def another(self, snapshot: Snapshot | None = None) -> Reader:
        """A reader that can be asked beside this one, of this or of a later snapshot."""
        return Reader(snapshot or self.snapshot, self._connection.cursor())

    def cancel(self) -> None:
        """End the question that is being answered, and refuse further ones."""
        self.cancelled = True
        self._connection.interrupt()

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows that answer ``query``.

        Raises:
            Cancelled: when it was ended.
            UsageError: when a condition does not suit the values that it met.
            IntegrityError: when a file is gone or damaged.
        """
        if self.cancelled:
            raise Cancelled
        with sql.reading("A table of decisions"):
            try:
                return self._connection.execute(query, list(parameters)).fetchall()
            except sql.ExpressionError as error:
                what = "The condition cannot be evaluated."
                raise UsageError(what, str(error).splitlines()[0]) from error
            except (sql.SqlError, RuntimeError) as error:
                if self.cancelled:
                    raise Cancelled from error
                raise

    def files(
        self, view: View, first_us: int | None = None, end_us: int | None = None
    ) -> list[tuple[str, DataFile]]:
        """The files of a view that may hold times of a span, with their decision points."""
        lows = [us for us in (first_us, view.since_us) if us is not None]
        highs = [us for us in (end_us, view.until_us) if us is not None]
        low, high = max(lows, default=None), min(highs, default=None)
        last = high - 1 if high is not None else None
        return [
            (point, file)
            for point in view.points
            for file in self.snapshot.files(f"decisions/{point}", low, last)
        ]

    def source(
        self,
        view: View,
        names: Sequence[str],
        files: Iterable[tuple[str, DataFile]],
        first_us: int | None = None,
        end_us: int | None = None,
    ) -> str | None:
        """The SQL that selects columns ``"0"``, ``"1"``, …, one for each of ``names``.

        None where no file can hold a row of the view.

        Raises:
            UsageError: when the view's condition cannot be used.
        """
        by_point: dict[str, list[str]] = {}
        for point, file in files:
            path = self.snapshot.root / "decisions" / point / file.name
            by_point.setdefault(point, []).append(str(path))
        asked = view.points, view.where
        if asked not in self._usable:
            self._usable[asked] = dict(points_with_names(self.snapshot, *asked))
        usable = self._usable[asked]
        selects = [
            self._select(view, point, names, paths, usable[point], first_us, end_us)
            for point, paths in by_point.items()
            if point in usable
        ]
        return " UNION ALL BY NAME ".join(selects) or None

    def _select(
        self,
        view: View,
        point: str,
        names: Sequence[str],
        paths: list[str],
        used: list[str],
        first_us: int | None,
        end_us: int | None,
    ) -> str:
        features = self.snapshot.tables[f"decisions/{point}"].features
        wanted = [
            f'{self._expression(view, name, features)} AS "{at}"' for at, name in enumerate(names)
        ]
        lows = [us for us in (first_us, view.since_us) if us is not None]
        highs = [us for us in (end_us, view.until_us) if us is not None]
        within = [f"occurred_at >= make_timestamptz({us})" for us in lows]
        within += [f"occurred_at < make_timestamptz({us})" for us in highs]
        read = f"SELECT * FROM read_parquet({sql.literal(paths)}, union_by_name = true)"
        source = f"{read} WHERE {' AND '.join(within)}" if within else read
        source = columns_seen(self.snapshot, point, source)
        if view.where is None:
            return f"SELECT {', '.join(wanted)} FROM ({source})"
        named = [f"{path} AS {name}" for name, path in _FIELDS.items()]
        named += [f"features[{sql.literal(name)}] AS {sql.identifier(name)}" for name in used]
        named += ["features"] if features else []
        columns = ", ".join(f'"{at}"' for at in range(len(names)))
        inner = f"SELECT {', '.join([*named, *wanted])} FROM ({source})"
        return f"SELECT {columns} FROM ({inner}) WHERE ({view.where}\n)"

    def _expression(self, view: View, name: str, features: Mapping[str, str]) -> str:
        """A column as SQL, of one type in all points of the view."""
        if name == "occurred_at":
            return "epoch_us(occurred_at)"
        if name in ("decision_id", "request_id"):  # one names the other where only one was given
            return f"coalesce({name}, decision_id, request_id)"
        if not name.startswith(_FEATURE):
            return _FIELDS[name]
        feature = name.removeprefix(_FEATURE)
        known = [self.snapshot.tables[f"decisions/{point}"].features for point in view.points]
        types = {types[feature] for types in known if feature in types}
        type_ = _SCALARS.get(types.pop(), "VARCHAR") if len(types) == 1 else "VARCHAR"
        return f"{f'features[{sql.literal(feature)}]' if feature in features else 'NULL'}::{type_}"


def names_of(snapshot: Snapshot, points: Iterable[str]) -> list[str]:
    """All columns that there are: those of every decision, then features as ``features.x``."""
    features = [
        _FEATURE + name
        for point in points
        for name in snapshot.tables[f"decisions/{point}"].features
    ]
    return [*_FIELDS, *dict.fromkeys(features)]
