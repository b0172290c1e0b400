"""What the runtime of a model, or of a rule set, must offer in the worker process.

The worker imports this before anything else, so it needs no module but the built-in ones.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping, Sequence
    from typing import Any

#: What a prediction can be asked for: the model's own output, the value before its last
#: transformation, and the contribution of each feature to that margin with the bias last.
KINDS = ("value", "margin", "contributions")

#: What a node does with a value that is missing: nothing special (NaN counts as 0), or NaN goes to
#: the default side, or NaN and numbers within 1e-35 of zero do.
MISSING_IS_ZERO, MISSING_IS_NAN, MISSING_IS_ZERO_OR_NAN = 0, 1, 2


class ModelRefusedError(Exception):
    """The file will not be run here, or not for this: the reason, and the way out if any."""

    def __init__(self, reason: str, todo: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.todo = todo


class Runtime:
    """A model, loaded by its own library, in the worker process.

    The module is imported before the process limits itself, so what is imported with it is compiled
    once and kept; ``__init__`` runs within the limits.

    Args:
        data: the model file's bytes.
        library: path of the shared library that runs it, or the folders that hold its Python
            package, joined by ``os.pathsep``, which the worker has put on the import path.

    Raises:
        ModelRefusedError: when the model will not be run.
    """

    def __init__(self, data: bytes, library: str) -> None:
        raise NotImplementedError

    def describe(self) -> tuple[dict[str, Any], array[float]]:
        """The model in JSON terms, and the cut points of all features one after another.

        The first has the fields of :class:`forensics.replay.client.ModelDescription`, with
        ``cut_counts`` in place of ``cuts``. Cut points are float64.
        """
        raise NotImplementedError

    def predict(
        self,
        rows: array[float],
        count: int,
        kind: str,
        trees: int,
        threads: int,
        texts: Mapping[int, Sequence[str]],
    ) -> bytes | memoryview | array[float]:
        """Native answers of type ``score_dtype`` for ``count`` rows of features, row after row.

        Args:
            rows: features of type ``dtype``, NaN where missing; of a feature that takes text, the
                position of its text in ``texts``. Not to be changed.
            count: number of rows, at least 1.
            kind: one of :data:`KINDS`, among those that ``describe`` names. ``value`` and
                ``margin`` answer ``outputs`` numbers a row, ``contributions`` for each output
                ``width + 1``.
            trees: boosting rounds used; 0 means all of them.
            threads: how many to use.
            texts: by position of a feature that takes text, the texts that occur.

        Raises:
            ModelRefusedError: when these rows, or this kind, cannot be answered.
        """
        raise NotImplementedError

    def ensemble(self, trees: int) -> tuple[dict[str, Any], list[array[Any]]]:
        """The model as trees or coefficients, of its first ``trees`` rounds; all where 0.

        The first has ``below``, ``dtype`` and ``sets`` (pairs of a node and its values) of
        :class:`forensics.replay.ensemble.Ensemble`, the second its arrays in their order.

        Raises:
            ModelRefusedError: when it is neither trees nor linear.
        """
        raise ModelRefusedError("the model is neither an ensemble of trees nor linear")


class RuleRuntime:
    """A rule set, loaded by its own engine, in the worker process.

    Args:
        data: the rule file's bytes.
        library: the folders that hold the engine's Python package, as for :class:`Runtime`.

    Raises:
        ModelRefusedError: when the rule set will not be run.
    """

    def __init__(self, data: bytes, library: str) -> None:
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """The rule set in JSON terms; ``runtime`` is the engine with its version."""
        raise NotImplementedError

    def evaluate(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The answer to each row of inputs, in JSON terms.

        Raises:
            ModelRefusedError: when a row cannot be answered.
        """
        raise NotImplementedError
