"""The terms of a linear model or scorecard: what one feature adds to the sum.

The form is documented in :mod:`forensics.replay.runtimes.linear`.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from math import inf, isfinite, isnan, nan

from forensics.replay.runtimes.interface import MISSING_IS_NAN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from forensics.replay.runtimes.trees import Trees


class Term:
    """What one feature adds.

    Attributes:
        name: of the feature.
        categories: texts that are known, in the order of their codes; empty for numbers.
        cuts: where the sum jumps, ascending.
    """

    def __init__(self, entry: Mapping[str, Any], keys: Collection[str]) -> None:
        only(entry, {"name", "missing", *keys})
        self.name = entry["name"]
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"{self.name!r} is no name of a feature")
        self.categories: tuple[str, ...] = ()
        self.cuts: tuple[float, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the feature is text."""
        return bool(self.categories)

    def points(self, column: Sequence[float]) -> list[float]:
        """What each value adds, NaN where the file does not provide for it."""
        raise NotImplementedError

    def add_to(self, trees: Trees, at: int, factor: float) -> None:
        """Adds the term of feature ``at``, times ``factor``, to an ensemble."""
        raise NotImplementedError


class Slope(Term):
    """``coefficient * ((x - mean) / scale)``."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        super().__init__(entry, ("coefficient", "mean", "scale"))
        self._coefficient = number(entry, "coefficient")
        self._is_scaled = "mean" in entry or "scale" in entry
        self._mean = number(entry, "mean", 0.0)
        self._scale = number(entry, "scale", 1.0)
        if not self._scale > 0:
            raise ValueError(f"the scale of {self.name} is not above 0")
        self._missing = number(entry, "missing", nan)

    def points(self, column: Sequence[float]) -> list[float]:
        """A product for each value."""
        coefficient, missing = self._coefficient, self._missing
        if not isnan(missing):
            column = [missing if value != value else value for value in column]
        if not self._is_scaled:
            return [coefficient * value for value in column]
        mean, scale = self._mean, self._scale
        return [coefficient * ((value - mean) / scale) for value in column]

    def add_to(self, trees: Trees, at: int, factor: float) -> None:
        """A coefficient, and a tree for what is missing, which counts as 0 beside one."""
        slope = factor * self._coefficient / self._scale
        trees.coefficients[at] = slope
        trees.base[0] -= slope * self._mean
        root = trees.start(0)
        trees.node(at, -inf, (root + 1, root + 2), 1, MISSING_IS_NAN)
        trees.leaf(slope * self._missing)
        trees.leaf(0.0)


class Bins(Term):
    """The points of the first bin that the value is below."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        super().__init__(entry, ("bins",))
        bins = entry["bins"]
        for part in bins[:-1]:
            only(part, {"below", "points"})
        only(bins[-1], {"points"})
        self.cuts = tuple(number(part, "below") for part in bins[:-1])
        if any(low >= high for low, high in pairwise(self.cuts)):
            raise ValueError(f"the bins of {self.name} do not ascend")
        self._points = tuple(number(part, "points") for part in bins)
        self._missing = number(entry, "missing", nan)

    def points(self, column: Sequence[float]) -> list[float]:
        """A look into the bins for each value."""
        cuts, points, missing = self.cuts, self._points, self._missing
        return [
            points[bisect_right(cuts, value)] if value == value else missing for value in column
        ]

    def add_to(self, trees: Trees, at: int, factor: float) -> None:
        """A tree that asks bin after bin."""
        root = trees.start(0)
        trees.node(at, -inf, (root + 1, root + 2), 1, MISSING_IS_NAN)
        trees.leaf(factor * self._missing)
        for cut, points in zip(self.cuts, self._points, strict=False):
            place = len(trees.feature)
            trees.node(at, cut, (place + 1, place + 2), 0, MISSING_IS_NAN)
            trees.leaf(factor * points)
        trees.leaf(factor * self._points[-1])


class Texts(Term):
    """The points of a text."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        super().__init__(entry, ("categories", "other"))
        categories = entry["categories"]
        self.categories = tuple(categories)
        self._codes = {text: float(code) for code, text in enumerate(categories)}
        if not self.categories:
            raise ValueError(f"{self.name} has no categories")
        self._points = tuple(number(categories, text) for text in categories)
        self._other = number(entry, "other", nan)
        self._missing = number(entry, "missing", nan)

    def code(self, text: str) -> float:
        """The place of a text among the categories; one after the last for any other."""
        return self._codes.get(text, float(len(self._codes)))

    def points(self, column: Sequence[float]) -> list[float]:
        """The points of each code."""
        table = {float(code): points for code, points in enumerate(self._points)}
        other, missing = self._other, self._missing
        return [table.get(code, other) if code == code else missing for code in column]

    def add_to(self, trees: Trees, at: int, factor: float) -> None:
        """A tree that asks for the codes of one number of points after another."""
        by_points: dict[float, list[int]] = {}
        for code, points in enumerate(self._points):
            by_points.setdefault(points, []).append(code)
        root = trees.start(0)
        trees.node(at, -inf, (root + 1, root + 2), 1, MISSING_IS_NAN)
        trees.leaf(factor * self._missing)
        for points, codes in by_points.items():
            place = len(trees.feature)
            trees.sets[place] = codes
            trees.node(at, 0.0, (place + 1, place + 2), 0, MISSING_IS_NAN)
            trees.leaf(factor * points)
        trees.leaf(factor * self._other)


def read_term(entry: Mapping[str, Any], *, is_card: bool) -> Term:
    """The term that an entry of ``features`` declares."""
    if "categories" in entry:
        return Texts(entry)
    return Bins(entry) if is_card else Slope(entry)


def number(entry: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A finite number of an entry, or ``default`` where there is none.

    Raises:
        ValueError: when it is something else.
    """
    if default is not None and name not in entry:
        return default
    value = entry[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a number")
    return float(value)


def only(entry: Mapping[str, Any], keys: Collection[str]) -> None:
    """Refuses an entry with other keys, of which one may be misspelt.

    Raises:
        ValueError: when there are any.
    """
    if extra := sorted(entry.keys() - set(keys)):
        raise ValueError(
            f"{', '.join(extra)} is not known here; known are {', '.join(sorted(keys))}"
        )
