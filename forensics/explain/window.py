"""Contributions of many decisions at once, in batches, by the process of each model."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from forensics.errors import ReplayError
from forensics.explain.scorers import Longs, Scorer, Scorers, ask, inputs
from forensics.lake.arrow import column as to_arrow
from forensics.lake.batches import Batch, batches
from forensics.lake.datafile import DataReader
from forensics.lake.derived import Piece
from forensics.lake.snapshot import Snapshot
from forensics.lake.texts import Texts, Vocabulary
from forensics.replay.bulk import scores
from forensics.replay.bulk.identity import TEXTS
from forensics.replay.client import ModelDescription
from forensics.replay.evidence import Artifacts

#: Rows of one question to the model, which uses all threads from 2,000 rows on, and bytes of the
#: contributions that it answers: its process holds them twice, and we once.
_ASKED_MIN, _ASKED_MAX = 2_048, 262_144
_ANSWER_BYTES_MAX = 64 << 20
#: Questions grow until they take this long.
_ASKED_S = 10.0
_GROWTH_MAX = 8
#: CatBoost prepares the contributions of all leaves anew for each question, as long as some
#: thousand rows take; from then on a tree and a row take it hardly more than this.
_CATBOOST_S = 2e-7
#: Leaf columns that say which decision a row is, what was decided and by which score.
_IDENTITY = ("decision_id", "occurred_at", "outcome", "score", "score_bytes", "score_dtype")
_IDENTITY_TEXTS = ("outcome", "score_dtype")


class Share(NamedTuple):
    """Some decisions of a data file: how many, and a digest of which."""

    decisions: int
    rows: str


class _Part(NamedTuple):
    """Some decisions of a batch: what the model is asked, and what of them is told.

    ``matrix`` and ``texts`` are those of :func:`forensics.explain.scorers.inputs`; ``known`` is
    None where the model's output is not the score.
    """

    matrix: NDArray[Any]
    texts: dict[int, list[str]]
    rows: Longs
    decision_ids: Any
    times_us: Longs
    outcomes: Texts
    known: scores.Scores | None
    in_batch: Longs

    def piece(
        self, some: Longs, own: NDArray[Any], margins: NDArray[Any], values: NDArray[Any]
    ) -> Piece:
        """The answers to ``some`` of the rows: contributions with the base, margins and values."""
        confirmed = np.ones(len(some), np.bool_)
        if self.known is not None:
            near = self.known.closeness(values.astype("f8"), self.in_batch[some])
            confirmed = (near == scores.EXACT) | (near == scores.ULP)
        return Piece(
            self.rows[some],
            self.decision_ids.take(to_arrow(some)),
            self.times_us[some],
            Texts(self.outcomes.codes[some], self.outcomes.values),
            margins,
            own[:, -1],
            confirmed,
            own[:, :-1],
        )


class Scoring:
    """Asks the models of a decision point about data files. A context manager; thread-bound.

    Args:
        snapshot: the lake.
        artifacts: its models.
        point: the decision point.
    """

    def __init__(self, snapshot: Snapshot, artifacts: Artifacts, point: str) -> None:
        self._scorers = Scorers(snapshot, artifacts, point)
        self._reader = DataReader()
        self._asked: dict[Path, int] = {}

    def __enter__(self) -> Scoring:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._scorers.__exit__()

    @property
    def found(self) -> list[Scorer | str]:
        """Every scorer that occurred, or in its place why its decisions cannot be explained."""
        return self._scorers.found

    def shares(self, path: Path, window_us: tuple[int, int]) -> dict[int, Share]:
        """Which decisions of a data file each of the scorers found has, by its place.

        Args:
            path: the data file.
            window_us: first time, and the one before which it ends, in microseconds since 1970.

        Raises:
            IntegrityError: when a page is not what was written.
            ReplayError: when a model's process fails.
        """
        counts: dict[int, int] = {}
        hashes: dict[int, hashlib._Hash] = {}
        for batch, places in self._placed(path, window_us):
            for place in np.unique(places[places >= 0]).tolist():
                rows = np.flatnonzero(places == place)
                counts[place] = counts.get(place, 0) + len(rows)
                digest = hashes.setdefault(place, hashlib.sha256())
                digest.update((batch.first_row + rows).astype("<i8").tobytes())
        return {place: Share(counts[place], hashes[place].hexdigest()[:32]) for place in counts}

    def pieces(
        self,
        path: Path,
        window_us: tuple[int, int],
        place: int,
        skipped: dict[str, int],
        progress: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Piece]:
        """Attributions of the decisions in a data file that one scorer scored.

        Args:
            path: the data file.
            window_us: as for :meth:`shares`.
            place: of the scorer in ``found``.
            skipped: how many decisions cannot be explained is added here, by reason.
            progress: told how many more decisions are done.

        Raises:
            ReplayError: when the model's process fails.
            IntegrityError: when a page is not what was written.
        """
        scorer = self.found[place]
        assert isinstance(scorer, Scorer)
        most = rows_at_most(scorer.description)
        held: list[_Part] = []
        for batch, places in self._placed(path, window_us):
            rows = np.flatnonzero(places == place)
            if not len(rows):
                continue
            try:
                part = _part(scorer, batch, rows)
            except ValueError as error:
                skipped[str(error)] = skipped.get(str(error), 0) + len(rows)
                continue
            # What a question costs whatever its size is shared by as many rows as fit.
            if held and sum(len(each.rows) for each in held) + len(rows) > most:
                yield from self._pieces(scorer, held, skipped, progress)
                held = []
            held.append(part)
        yield from self._pieces(scorer, held, skipped, progress)

    def inputs(
        self, path: Path, window_us: tuple[int, int], scorer: Scorer
    ) -> Iterator[tuple[NDArray[Any], Texts]]:
        """Numeric inputs of the decisions that one scorer scored, with their outcomes.

        Inputs are in the order of the scorer's names; what it takes as text is NaN. Errors are
        those of :meth:`pieces`.
        """
        place = self._scorers.place(scorer)
        for batch, places in self._placed(path, window_us):
            rows = np.flatnonzero(places == place)
            outcomes = batch.texts("outcome")
            assert outcomes is not None
            try:
                matrix, texts = inputs(scorer, batch, rows)
            except ValueError:
                continue
            matrix[:, list(texts)] = np.nan
            yield matrix, Texts(outcomes.codes[rows], outcomes.values)

    def _placed(
        self, path: Path, window_us: tuple[int, int]
    ) -> Iterator[tuple[Batch, NDArray[np.int32]]]:
        """Batches of a data file with the place of each row's scorer; -1 outside the window."""
        file = self._reader.open(path, [*TEXTS, *_IDENTITY_TEXTS])
        for batch in batches(file):
            batch.load(_IDENTITY)
            times = batch.micros("occurred_at")
            inside = (times >= window_us[0]) & (times < window_us[1])
            if inside.any():
                yield batch, self._scorers.of(batch, inside)

    def _pieces(
        self,
        scorer: Scorer,
        held: list[_Part],
        skipped: dict[str, int],
        progress: Callable[[int], None],
    ) -> Iterator[Piece]:
        """Attributions of parts that are asked about together; none of rows that get no answer."""
        if not held:
            return
        width, at = scorer.description.width, scorer.position
        matrix, texts = _together(held)
        answered: list[tuple[Longs, NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        for some, (own, margins, values) in self._asked_of(
            scorer, matrix, texts, skipped, progress
        ):
            answered.append(
                (
                    some,
                    own.reshape(len(some), -1, width + 1)[:, at],
                    margins.reshape(len(some), -1)[:, at],
                    values.reshape(len(some), -1)[:, at],
                )
            )
        if not answered:
            return
        some, own, margins, values = (np.concatenate(each) for each in zip(*answered, strict=True))
        there = np.isfinite(own).all(axis=1) & np.isfinite(margins)
        if not there.all():
            silent = "the model gives no answer to these inputs"
            skipped[silent] = skipped.get(silent, 0) + int((~there).sum())
        order = np.argsort(some)
        order = order[there[order]]
        places = some[order]
        start = 0
        for part in held:
            low, high = np.searchsorted(places, (start, start + len(part.rows)))
            if low < high:
                of = order[low:high]
                yield part.piece(places[low:high] - start, own[of], margins[of], values[of])
            start += len(part.rows)

    def _asked_of(
        self,
        scorer: Scorer,
        matrix: NDArray[Any],
        texts: dict[int, list[str]],
        skipped: dict[str, int],
        progress: Callable[[int], None],
    ) -> Iterator[tuple[Longs, list[NDArray[Any]]]]:
        """Contributions, margins and values, with the places in ``matrix`` that they are of.

        Rows that the model refuses, as some do without a category, are found by halving, so that
        one of them does not stand in the way of the others.
        """
        kinds = ("contributions", "margin", scorer.use.kind)
        # Where a category is missing, a refusal is likely: those rows are asked by themselves.
        lacking = np.isnan(matrix[:, list(texts)]).any(axis=1)
        waiting = [np.flatnonzero(lacking), np.flatnonzero(~lacking)]
        died = False
        while waiting:
            size = self._asked.setdefault(scorer.path, rows_at_first(scorer.description))
            some = waiting.pop()
            if len(some) > size:
                waiting.append(some[size:])
                some = some[:size]
            if not len(some):
                continue
            began = time.monotonic()
            worker = self._scorers.workers.borrow(scorer.path)
            try:
                answers = ask(worker, scorer, matrix[some], texts, kinds)
            except ReplayError as error:
                if not worker.usable:
                    if died:
                        raise
                    # It may only have been asked as often as it may be: once more, by a new one.
                    died = True
                    waiting.append(some)
                    continue
                if len(some) > 1:
                    waiting += [some[len(some) // 2 :], some[: len(some) // 2]]
                    continue
                skipped[str(error)] = skipped.get(str(error), 0) + 1
            else:
                died = False
                if len(some) == size:
                    growth = _ASKED_S / max(time.monotonic() - began, 1e-3)
                    longer = int(size * min(max(growth, 1.0), _GROWTH_MAX))
                    self._asked[scorer.path] = min(longer, rows_at_most(scorer.description))
                yield some, answers
            progress(len(some))


def _part(scorer: Scorer, batch: Batch, rows: Longs) -> _Part:
    """The rows of a batch that a model scored.

    Raises:
        ValueError: when a feature is not what the model takes; says which.
    """
    matrix, texts = inputs(scorer, batch, rows)
    outcomes = batch.texts("outcome")
    assert outcomes is not None
    return _Part(
        matrix,
        texts,
        batch.first_row + rows,
        batch.strings("decision_id", rows),
        batch.micros("occurred_at")[rows],
        Texts(outcomes.codes[rows], outcomes.values),
        scores.recorded(batch) if scorer.is_score else None,
        rows,
    )


def _together(parts: list[_Part]) -> tuple[NDArray[Any], dict[int, list[str]]]:
    """The inputs of several parts as those of one; each part has its own places of texts."""
    if len(parts) == 1:
        return parts[0].matrix, parts[0].texts
    matrix = np.concatenate([part.matrix for part in parts])
    known = {at: Vocabulary() for at in parts[0].texts}
    start = 0
    for part in parts:
        rows = slice(start, start + len(part.rows))
        start = rows.stop
        for at, values in part.texts.items():
            there = ~np.isnan(part.matrix[:, at])
            table = np.array([known[at].code(text) for text in values], matrix.dtype)
            matrix[rows, at][there] = table[part.matrix[there, at].astype(np.int64)]
    return matrix, {at: vocabulary.values for at, vocabulary in known.items()}


def rows_at_first(description: ModelDescription) -> int:
    """Rows of the first question to a model, before it is known how long it takes."""
    most = rows_at_most(description)
    if not description.runtime.startswith("catboost "):
        return min(_ASKED_MIN, most)
    row_s = _CATBOOST_S * max(1, description.rounds) * description.outputs
    return min(max(_ASKED_MIN, int(_ASKED_S / row_s)), most)


def rows_at_most(description: ModelDescription) -> int:
    """Rows of the largest question to a model: what it answers takes 64 MiB at most."""
    row_bytes = 8 * description.outputs * (description.width + 1)
    return max(1, min(_ASKED_MAX, _ANSWER_BYTES_MAX // row_bytes))
