"""Groups by which an answer is broken down: a field of the record, or a feature, in few values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.errors import UsageError
from forensics.lake import sql
from forensics.lake.batches import Batch
from forensics.lake.find import COLUMNS, FIELDS
from forensics.lake.snapshot import Snapshot
from forensics.lake.texts import Texts
from forensics.records.times import to_micros
from forensics.replay.bulk.run import Window, files

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What an answer is broken down by where nothing was asked for.
USUAL = ("environment", "region", "model_version")
#: Fields that are different in every decision, or that what is asked about decides.
_NEVER = ("request_id", "decision_id", "decision_point", "occurred_at", "sequence")
_NUMBERS = frozenset(("score", "threshold", "duration_ms"))
_FLAGS = frozenset(("cache_hit",))
_NUMERIC = ("float64", "int64", "double", "float", "int32")
#: Whole numbers of few different values are groups of their own; others are cut at quantiles.
_DIFFERENT_MAX = 8
_QUANTILES = (0.2, 0.4, 0.6, 0.8)


class Slice(NamedTuple):
    """One way to group decisions.

    ``path`` is the column. Numbers are grouped by ``edges``, a group from each to the next, which
    ``labels`` are for; of a ``flag`` the values are true and false.
    """

    name: str
    path: str
    edges: tuple[float, ...] | None = None
    labels: tuple[str, ...] = ()
    flag: bool = False

    def column(self, batch: Batch) -> Texts:
        """The group of each row, by its words. Loads what it needs."""
        batch.load((self.path,), seldom=True)
        if self.edges is None and not self.flag:
            texts = batch.texts(self.path)
            return texts or Texts(np.full(batch.rows, -1, np.int32), [])
        found = batch.numbers(self.path)
        if found is None:
            return Texts(np.full(batch.rows, -1, np.int32), [])
        numbers, there = found
        if self.flag:
            return Texts(_codes(numbers, there, numbers), ["false", "true"])
        places = np.searchsorted(np.array(self.edges), numbers, side="right")
        return Texts(_codes(numbers, there, places), list(self.labels))


def slices(
    snapshot: Snapshot, window: Window, names: Iterable[str], types: Mapping[str, str]
) -> tuple[Slice, ...]:
    """The groupings called ``names``: fields as ``find`` has them, or features.

    Raises:
        UsageError: when there is no such field, or it tells every decision from the others.
    """
    found = []
    fields = {**COLUMNS, **FIELDS}
    for name in names:
        feature = name.removeprefix("features.")
        if name in fields and name not in _NEVER:
            path = "environment" if name == "environment" else fields[name]
            if name in _NUMBERS:
                found.append(Slice(name, path, *_edges(snapshot, window, path)))
            else:
                found.append(Slice(name, path, flag=name in _FLAGS))
        elif feature in types:
            path = f"features.{feature}"
            if types[feature] in _NUMERIC:
                quoted = f"features[{sql.literal(feature)}]"
                found.append(Slice(name, path, *_edges(snapshot, window, quoted)))
            else:
                found.append(Slice(name, path, flag=types[feature] == "bool"))
        else:
            known = sorted({*fields, *types} - set(_NEVER))
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            raise UsageError(
                f"Decisions cannot be grouped by {name!r}.",
                f"Nearest: {', '.join(near)}." if near else f"Known: {', '.join(known[:20])}.",
            )
    return tuple(found)


def _edges(
    snapshot: Snapshot, window: Window, column: str
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Where a numeric column of the window is cut, and what the groups are called."""
    table = f"decisions/{window.decision_point}"
    paths = [str(snapshot.root / table / file.name) for file in files(snapshot, window)]
    if not paths:
        return (), _labels(())
    conditions = [f"isfinite({column})"]
    for sign, time in ((">=", window.since), ("<", window.until)):
        if time is not None:
            conditions.append(f"occurred_at {sign} make_timestamptz({to_micros(time)})")
    source = (
        f"FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
        f"WHERE {' AND '.join(conditions)}"
    )
    with sql.reading("A table of decisions"):
        different = snapshot.connection.execute(
            f"SELECT DISTINCT {column} {source} LIMIT {_DIFFERENT_MAX + 1}"
        ).fetchall()
        if len(different) <= _DIFFERENT_MAX and all(v == int(v) for (v,) in different):
            values = sorted(float(value) for (value,) in different)
            return tuple(values[1:]), tuple(f"{value:g}" for value in values) or ("any",)
        ((cuts, whole),) = snapshot.connection.execute(
            f"SELECT approx_quantile({column}::DOUBLE, {list(_QUANTILES)}), "
            f"bool_and({column} = floor({column})) {source}"
        ).fetchall()
    edges = tuple(sorted({float(round(cut)) if whole else _round(cut) for cut in cuts or ()}))
    return edges, _labels(edges)


def _round(number: float) -> float:
    """A number of three digits near ``number``."""
    return float(f"{number:.3g}")


def _labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    if not edges:
        return ("any",)
    middle = (f"{low:g} to {high:g}" for low, high in pairwise(edges))
    return f"below {edges[0]:g}", *middle, f"{edges[-1]:g} or more"


def _codes(
    numbers: NDArray[np.float64],
    there: NDArray[np.bool_] | None,
    places: NDArray[np.integer] | NDArray[np.float64],
) -> NDArray[np.int32]:
    known = ~np.isnan(numbers) if there is None else there & ~np.isnan(numbers)
    with np.errstate(invalid="ignore"):
        return np.where(known, places, -1).astype(np.int32)
