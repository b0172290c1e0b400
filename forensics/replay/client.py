"""The parent's side of a model's or rule set's child process: what it can be asked.

Only array types cross the boundary, in bulk and without being looked at: neither side needs numpy.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from forensics.errors import ReplayError
from forensics.replay.ensemble import ARRAYS, Ensemble
from forensics.replay.formats import detect
from forensics.replay.libraries import find_library
from forensics.replay.process import Child, refused
from forensics.replay.runtimes.interface import KINDS, ModelRefusedError

#: Address space for the runtimes that are a shared library and no more, and for the others, which
#: map far more than they use.
_MEMORY_BYTES = 4 << 30
_MEMORY_PACKAGE_BYTES = 16 << 30
#: Rule engines use what they map, and rules can be made to use it all.
_MEMORY_RULES_BYTES = 2 << 30
_LEAN = ("xgboost", "lightgbm", "linear")


class ModelDescription(NamedTuple):
    """What a model file says about itself.

    Attributes:
        features: names in the model's order; empty where the file names none.
        width: number of features.
        objective: what the model was trained for, as its library calls it.
        file_version: version of the library that wrote the file, or of the format.
        runtime: library and version that runs it, e.g. ``xgboost 3.2.0``.
        rounds: boosting rounds; 0 where the model has none.
        best_iteration: of early stopping, counted from 0; None where the file says none.
        cuts: by feature, its split points, ascending float64.
        dtype: typecode of the feature matrix, ``f`` or ``d``.
        score_dtype: typecode of every answer, ``f`` or ``d``.
        outputs: numbers a row that ``value`` and ``margin`` answer.
        texts: positions of the features that are given as text.
        categories: by position, the texts that the file knows for it; their places are the codes
            in an :class:`Ensemble`.
        categorical: positions of the features whose splits are over sets of codes.
        classes: labels of the outputs; empty where there are none.
        link: how the margin becomes the value: ``identity``, ``logit``, ``log``, ``softmax``, or
            empty where it is none of these.
        kinds: which of :data:`KINDS` it can answer.
    """

    features: tuple[str, ...]
    width: int
    objective: str
    file_version: str
    runtime: str
    rounds: int
    best_iteration: int | None
    cuts: tuple[array[float], ...]
    dtype: str
    score_dtype: str
    outputs: int
    texts: tuple[int, ...]
    categories: Mapping[int, tuple[str, ...]]
    categorical: tuple[int, ...]
    classes: tuple[str, ...]
    link: str
    kinds: tuple[str, ...]


class ModelWorker(Child):
    """A model in a child process with limits. Use as a context manager, or call :meth:`close`.

    Args:
        model: path of the model file, whose bytes the caller has verified.
        packages: a folder with installed packages, searched for the model's library before those
            of this interpreter.
        memory_bytes: address space the child may use; by default what such models are known to do
            with.
        cpu_s: processor seconds that the child may use in its life.
        timeout_s: longest wait for one answer.
        threads: threads for large batches; all processors where None.

    Raises:
        ReplayError: when the file is of a format that is never loaded, or cannot be read.
        DependencyError: when the library that runs such models is not installed.
    """

    what = "the model"

    def __init__(
        self,
        model: Path,
        *,
        packages: Path | None = None,
        memory_bytes: int | None = None,
        cpu_s: int = 120,
        timeout_s: float = 60.0,
        threads: int | None = None,
    ) -> None:
        self._threads = threads or os.cpu_count() or 1
        self._description: ModelDescription | None = None
        try:
            runtime = detect(model)
        except ModelRefusedError as error:
            raise refused(error.reason, error.todo) from error
        except OSError as error:
            raise ReplayError(f"the file cannot be read: {error}") from error
        usual = _MEMORY_BYTES if runtime in _LEAN else _MEMORY_PACKAGE_BYTES
        super().__init__(
            model,
            runtime,
            find_library(runtime, packages),
            memory_bytes=memory_bytes or usual,
            cpu_s=cpu_s,
            timeout_s=timeout_s,
        )

    def describe(self) -> ModelDescription:
        """The model's description; waits until it is loaded.

        Raises:
            ReplayError: when the model was refused, or the child died or took too long.
        """
        if self._description is None:
            header, blocks = self._greeting("d")
            cuts, start = [], 0
            for count in header.pop("cut_counts"):
                cuts.append(blocks[0][start : start + count])
                start += count
            for name in ("features", "texts", "categorical", "classes", "kinds"):
                header[name] = tuple(header[name])
            header["categories"] = {
                int(at): tuple(names) for at, names in header["categories"].items()
            }
            self._description = ModelDescription(**header, cuts=tuple(cuts))
        return self._description

    def predict(
        self,
        rows: Any,
        count: int,
        *,
        columns: Mapping[int, Any] | None = None,
        kinds: Sequence[str] = ("value",),
        trees: int = 0,
        texts: Mapping[int, Sequence[str]] | None = None,
    ) -> tuple[array[float], ...]:
        """One array of type ``score_dtype`` for each of ``kinds``.

        ``value`` and ``margin`` have ``outputs`` numbers a row, ``contributions`` has for each
        output ``width + 1``, the last of which is the base value.

        Args:
            rows: features of type ``dtype``, row after row, NaN where missing, in an array or any
                other C-contiguous buffer; one row with ``columns``.
            count: number of rows.
            columns: by feature position, a buffer of ``count`` values that replace those of the one
                row given.
            kinds: which of :data:`KINDS`, among those that the model can answer.
            trees: boosting rounds to use; all where 0.
            texts: by position of a feature that takes text, the texts that occur; the matrix holds
                the place of the text in them.

        Raises:
            ReplayError: as :meth:`describe`, and when the model cannot answer this.
        """
        description = self.describe()
        dtype, width = description.dtype, description.width
        expected = width if columns is not None else width * count
        blocks = [_view("the rows need", rows, dtype, expected)]
        for values in (columns or {}).values():
            blocks.append(_view("every column needs", values, dtype, count))
        for kind in kinds:
            if kind not in description.kinds:
                if kind not in KINDS:
                    raise ValueError(f"no kind of answer is called {kind}")
                raise ReplayError(f"{description.runtime} gives no {kind} for this model")
        if set(texts or ()) - set(description.texts):
            raise ValueError("text for a feature that takes none")
        if not count:
            return tuple(array(description.score_dtype) for _ in kinds)
        request = {
            "ask": "predict",
            "rows": count,
            "columns": None if columns is None else list(columns),
            "kinds": list(kinds),
            "trees": trees,
            "threads": self._threads,
            "texts": {at: list(values) for at, values in (texts or {}).items()},
        }
        _, found = self._ask(request, blocks, description.score_dtype)
        return tuple(found)

    def ensemble(self, trees: int = 0) -> Ensemble:
        """The model as trees and coefficients, of its first ``trees`` rounds; all where 0.

        Raises:
            ReplayError: when it is neither trees nor linear, and as :meth:`describe`.
        """
        self.describe()
        request = {"ask": "ensemble", "trees": trees}
        header, blocks = self._ask(request, codes="".join(ARRAYS.values()))
        sets = {node: frozenset(values) for node, values in header["sets"]}
        arrays = dict(zip(ARRAYS, blocks, strict=True))
        return Ensemble(**arrays, below=header["below"], dtype=header["dtype"], sets=sets)


class RuleWorker(Child):
    """A rule set of a foreign engine in a child process with limits. A context manager.

    Args:
        rules: path of the rule file, whose bytes the caller has verified.
        engine: ``zen`` or ``cel``.
        packages: as for :class:`ModelWorker`.
        memory_bytes: address space the child may use.
        cpu_s: processor seconds that the child may use in its life.
        timeout_s: longest wait for one answer.

    Raises:
        ReplayError: when no process can be started.
        DependencyError: when the engine is not installed.
    """

    what = "the rule set"

    def __init__(
        self,
        rules: Path,
        engine: str,
        *,
        packages: Path | None = None,
        memory_bytes: int = _MEMORY_RULES_BYTES,
        cpu_s: int = 120,
        timeout_s: float = 60.0,
    ) -> None:
        self._description: Mapping[str, Any] | None = None
        super().__init__(
            rules,
            engine,
            find_library(engine, packages),
            memory_bytes=memory_bytes,
            cpu_s=cpu_s,
            timeout_s=timeout_s,
        )

    def describe(self) -> Mapping[str, Any]:
        """What the engine says of the rule set; ``runtime`` is the engine with its version.

        Raises:
            ReplayError: when the rule set was refused, or the child died or took too long.
        """
        if self._description is None:
            self._description = self._greeting("")[0]
        return self._description

    def evaluate(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The answer to each row of inputs; inputs and answers are JSON values.

        Raises:
            ReplayError: when a row cannot be answered, and as :meth:`describe`.
        """
        self.describe()
        header, _ = self._ask({"ask": "evaluate", "rows": list(rows)})
        answers: list[Any] = header["answers"]
        return answers


class Workers:
    """Model processes that are used again: loading a model costs more than asking it. Thread-bound.

    Args:
        most: how many are kept running; the one unused for longest is ended first.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._running: dict[tuple[Path, Path | None], ModelWorker] = {}

    def borrow(self, model: Path, packages: Path | None = None) -> ModelWorker:
        """The process for ``model``, run by the library in ``packages`` if given, started if new.

        Raises:
            ReplayError: as :class:`ModelWorker`.
        """
        worker = self._running.pop((model, packages), None)
        if worker is None or not worker.usable:
            worker = ModelWorker(model, packages=packages)
        self._running[model, packages] = worker  # the youngest stands last
        if len(self._running) > self._most:
            self._running.pop(next(iter(self._running))).close()
        return worker

    def close(self) -> None:
        """End them all."""
        while self._running:
            self._running.popitem()[1].close()


def _view(what: str, values: Any, dtype: str, count: int) -> memoryview:
    """The bytes of a buffer of ``count`` numbers, which is not copied."""
    view = memoryview(values)
    if view.format != dtype or not view.c_contiguous or view.nbytes != count * view.itemsize:
        kinds = {"f": "float32", "d": "float64"}
        got = f"{view.nbytes // view.itemsize} {kinds.get(view.format, view.format)}"
        raise ValueError(f"{what} {count} {kinds[dtype]} values in C order, got {got}")
    return view.cast("B") if count else memoryview(b"")
