"""What tells rows of a batch apart for replay: models, configuration, steps, which features."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forensics.lake import exactness
from forensics.lake.batches import Batch
from forensics.lake.grouping import Groups, grouped
from forensics.records.decision import Decision

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MODEL = ("name", "version", "digest", "runtime", "runtime_version")
_CONFIG = ("digest", "values", "revision")
_CACHE = ("model_digest", "config_digest")
_STEP = ("id", "kind", "component", "digest", "status", "error?")
_TEXTS = (
    *(f"model.{name}" for name in _MODEL),
    *(f"config.{name}" for name in _CONFIG),
    *(f"cache.{name}" for name in _CACHE),
)
#: Leaf columns that tell rows apart.
COLUMNS = (
    *_TEXTS,
    "cache.hit",
    "threshold",
    *(f"steps.{name.rstrip('?')}" for name in _STEP),
    "exact.key_value.key",
    "exact.key_value.value",
)
#: Those of them that are text.
TEXTS = tuple(name for name in COLUMNS if name not in ("cache.hit", "threshold"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Identities(NamedTuple):
    """The groups of a batch, and for each what it is known by in other batches."""

    groups: Groups
    keys: list[Hashable]


def identities(batch: Batch) -> Identities:
    """Groups of rows that are replayed alike. Loads the columns that it needs."""
    batch.load([*COLUMNS, *(f"features.{name}" for name in list(batch.features)[:1])])
    texts = {name: batch.texts(name) for name in _TEXTS}
    steps = batch.shapes("steps", _STEP)
    thresholds, hits = batch.coded("threshold"), batch.coded("cache.hit")
    patterns = _patterns(batch)
    columns: list[NDArray[np.integer[Any]]] = [
        column.codes for column in texts.values() if column is not None
    ]
    columns += [steps.codes, hits.codes, thresholds.codes, patterns.codes]
    groups = grouped(columns, batch.rows)
    keys: list[Hashable] = []
    for row in groups.first:
        keys.append(
            (
                tuple(None if column is None else column.at(row) for column in texts.values()),
                steps.values[steps.codes[row]],
                hits.at(row),
                thresholds.at(row),
                patterns.values[patterns.codes[row]],
                tuple(batch.features),
            )
        )
    return Identities(groups, keys)


def representative(batch: Batch, row: int, point: str, types: Mapping[str, str]) -> Decision:
    """A decision that stands for all of a group; of its features only the names are right.

    Args:
        batch: with the columns of :func:`identities`.
        row: one of the group's rows.
        point: the decision point.
        types: its features' types by name.
    """

    def group(prefix: str, names: tuple[str, ...]) -> dict[str, Any]:
        found = {}
        for name in names:
            column = batch.texts(f"{prefix}.{name}")
            if column is not None and (text := column.at(row)) is not None:
                found[name] = text
        return found

    steps = batch.shapes("steps", _STEP)
    threshold, hit = batch.coded("threshold").at(row), batch.coded("cache.hit").at(row)
    patterns = _patterns(batch)
    cache = group("cache", _CACHE)
    if hit is not None:
        cache["hit"] = float(hit) == 1
    return Decision(
        decision_point=point,
        decision_id="",
        request_id="",
        occurred_at=_EPOCH,
        outcome="",
        environment="",
        score=None,
        score_dtype=None,
        score_bytes=None,
        threshold=None if threshold is None else float(threshold),
        features=dict.fromkeys(_present(batch, types, patterns.values[patterns.codes[row]])),
        feature_types=types,
        model=group("model", _MODEL),
        config=group("config", _CONFIG),
        execution={},
        subject={},
        writer={},
        cache=cache,
        consumer={},
        explanation={},
        capture={},
        feature_sources=(),
        steps=tuple(_step(item) for item in steps.values[steps.codes[row]]),
        candidates=(),
        other={},
        extra={},
        sealed={},
    )


#: Of a row: whether it has no features at all, those it lacks, and those it has without a type.
_Pattern = tuple[bool, frozenset[str], frozenset[str]]


class _Patterns(NamedTuple):
    codes: NDArray[np.int64]
    values: list[_Pattern]


def _patterns(batch: Batch) -> _Patterns:
    """Which features rows lack although the file has columns for them, and the other way round."""
    exact = batch.exact
    nothing: _Pattern = (False, frozenset(), frozenset())
    codes = np.zeros(batch.rows, np.int64)
    named = np.array([name.startswith("features.") for name in exact.names], np.bool_)
    entries = exact.kinds != exactness.WRITTEN
    if len(named):
        entries &= named[exact.codes]
    without = batch.nulls(f"features.{next(iter(batch.features), '')}")
    values = [nothing]
    if entries.any():
        rows, marks = exact.rows[entries], exact.codes[entries] * 2 + exact.kinds[entries]
        # A row's set of entries is told by the sum of random numbers that stand for them.
        random = np.random.default_rng(7).integers(1, 1 << 62, 2 * len(exact.names), np.uint64)
        starts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1]))
        sums = np.add.reduceat(random[marks], starts)
        _, first, place = np.unique(sums, return_index=True, return_inverse=True)
        codes[rows[starts]] = place + 1
        ends = np.append(starts[1:], len(rows))
        for at in first:
            of = marks[starts[at] : ends[at]]
            kinds: tuple[set[str], set[str]] = (set(), set())
            for mark in of:
                kinds[mark % 2].add(exact.names[mark // 2].removeprefix("features."))
            values.append(
                (False, frozenset(kinds[exactness.ABSENT]), frozenset(kinds[exactness.NULL]))
            )
    if without is not None:
        codes[without] = len(values)
        values.append((True, frozenset(), frozenset()))
    return _Patterns(codes, values)


def _present(batch: Batch, types: Mapping[str, str], pattern: _Pattern) -> list[str]:
    """Names of the features that rows with this pattern have, in the order of their types."""
    nothing, absent, untyped = pattern
    if nothing:
        return []
    there = {*batch.features, *untyped} - absent
    order = {name: at for at, name in enumerate(types)}
    return sorted(there, key=lambda name: order.get(name, len(order)))


def _step(item: tuple[str | None, ...]) -> dict[str, Any]:
    names = (name.rstrip("?") for name in _STEP)
    return {name: text for name, text in zip(names, item, strict=True) if text is not None}
