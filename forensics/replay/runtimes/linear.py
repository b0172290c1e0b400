"""Linear models and scorecards in a plain form of our own, run here without any library.

A linear model, UTF-8 JSON::

    {"type": "linear", "version": 1, "intercept": -1.5, "link": "logit",
     "features": [
       {"name": "income", "coefficient": -0.8, "mean": 41000, "scale": 15000, "missing": 30000},
       {"name": "region", "categories": {"north": 0.2, "south": -0.1}, "other": 0, "missing": 0}]}

The margin is ``intercept`` and then, feature by feature in the order of the file, plus
``coefficient * ((x - mean) / scale)``, in float64; without ``mean`` and ``scale`` plus
``coefficient * x``. ``missing`` is the value taken for ``x`` where there is none. A feature with
``categories`` is text and adds its number; ``other`` is added for any other text, and ``missing``
where there is none. ``link`` says what the value is: ``identity``, which is the default, the margin
itself, or ``logit``, ``1 / (1 + exp(-margin))``.

A scorecard::

    {"type": "scorecard", "version": 1, "base": 500,
     "features": [
       {"name": "age", "bins": [{"below": 25, "points": -10}, {"below": 40, "points": 5},
                                {"points": 15}], "missing": 0},
       {"name": "region", "categories": {"north": 5}, "other": 0}],
     "scaling": {"score": 600, "odds": 50, "pdo": 20}}

The score is ``base`` and then, feature by feature, plus the points of the first bin that ``x`` is
below, or those of the text. With ``scaling`` the margin is instead the logarithm of the odds,
``log(odds) + (points - score) * (log(2) / pdo)``, and the value the probability: the odds are
``odds`` at ``score`` and double with every ``pdo`` points, or halve where that is negative.

A value, text or absence that the file does not provide for makes the answer NaN: there is none.
Both may have ``name`` and ``description``; other keys may be misspelt ones and are refused.
"""

from __future__ import annotations

import json
from array import array
from math import exp, log
from operator import add

from forensics.replay.runtimes.interface import KINDS, ModelRefusedError, Runtime
from forensics.replay.runtimes.linear_terms import Texts, number, only, read_term
from forensics.replay.runtimes.trees import Trees, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_KEYS = {"type", "version", "features", "name", "description"}


class LinearRuntime(Runtime):
    """A sum with one term for each feature."""

    def __init__(self, data: bytes, library: str) -> None:
        try:
            self._read(_parse(data))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise ModelRefusedError(
                f"it is not a whole linear model: {type(error).__name__} {str(error)[:200]}"
            ) from error
        except RecursionError as error:
            raise ModelRefusedError("it is not a linear model: nested too deeply") from error

    def _read(self, document: Mapping[str, Any]) -> None:
        self._type = document["type"]
        is_card = self._type == "scorecard"
        only(document, _KEYS | ({"base", "scaling"} if is_card else {"intercept", "link"}))
        if document["version"] != 1:
            raise ModelRefusedError(
                f"runtime older than the model: its form is version {document['version']!r}, here"
                " version 1 is known"
            )
        self._terms = [read_term(entry, is_card=is_card) for entry in document["features"]]
        names = [term.name for term in self._terms]
        if len(set(names)) != len(names) or not names:
            raise ValueError("every feature needs a name of its own")
        self._base = number(document, "base" if is_card else "intercept")
        self._link = document.get("link", "identity")
        if self._link not in ("identity", "logit"):
            raise ValueError(f"link is {self._link!r}, neither identity nor logit")
        #: By how much a point counts in the margin, and the points at which that is ``_at_score``.
        self._factor, self._score, self._at_score = 1.0, 0.0, 0.0
        self._is_scaled = "scaling" in document
        if self._is_scaled:
            scaling = document["scaling"]
            only(scaling, {"score", "odds", "pdo"})
            self._factor = log(2.0) / number(scaling, "pdo")
            self._score, self._at_score = number(scaling, "score"), log(number(scaling, "odds"))
            self._link = "logit"

    def describe(self) -> tuple[dict[str, Any], array[float]]:
        """The model's names and form, and the bounds of its bins."""
        texts = {at: list(term.categories) for at, term in enumerate(self._terms) if term.is_text}
        cuts = array("d", [cut for term in self._terms for cut in term.cuts])
        return {
            "features": [term.name for term in self._terms],
            "width": len(self._terms),
            "objective": self._type,
            "file_version": "1",
            "runtime": "linear 1",
            "rounds": 0,
            "best_iteration": None,
            "cut_counts": [len(term.cuts) for term in self._terms],
            "dtype": "d",
            "score_dtype": "d",
            "outputs": 1,
            "texts": list(texts),
            "categories": texts,
            "categorical": list(texts),
            "classes": [],
            "link": self._link,
            "kinds": KINDS,
        }, cuts

    def predict(
        self,
        rows: array[float],
        count: int,
        kind: str,
        trees: int,
        threads: int,
        texts: Mapping[int, Sequence[str]],
    ) -> array[float]:
        """Sums, term after term as declared: a row alone has the bytes that it has in a batch."""
        if trees:
            raise ModelRefusedError("it has no boosting rounds")
        width = len(self._terms)
        codes = {
            at: [term.code(text) for text in texts[at]]
            for at, term in enumerate(self._terms)
            if isinstance(term, Texts) and at in texts
        }
        if codes:
            rows = encode(rows, width, codes)
        parts = [term.points(rows[at::width]) for at, term in enumerate(self._terms)]
        if kind == "contributions":
            return self._contributions(parts, count)
        total = [self._base] * count
        for part in parts:
            total = list(map(add, total, part))
        if self._is_scaled:
            factor, score, at_score = self._factor, self._score, self._at_score
            total = [at_score + (points - score) * factor for points in total]
        if kind == "value" and self._link == "logit":
            total = list(map(_logistic, total))
        return array("d", total)

    def _contributions(self, parts: list[list[float]], count: int) -> array[float]:
        width, factor = len(parts), self._factor
        found = array("d", [self._at_score + (self._base - self._score) * factor])
        found *= (width + 1) * count
        for at, part in enumerate(parts):
            scaled = [factor * points for points in part] if self._is_scaled else part
            found[at :: width + 1] = array("d", scaled)
        return found

    def ensemble(self, trees: int) -> tuple[dict[str, Any], list[array[Any]]]:
        """Coefficients, and a tree for every feature with bins, categories or a missing value."""
        found = Trees([self._at_score + (self._base - self._score) * self._factor])
        found.coefficients.extend([0.0] * len(self._terms))
        for at, term in enumerate(self._terms):
            term.add_to(found, at, self._factor)
        return found.message(below=True, dtype="d")


def _parse(data: bytes) -> Any:
    return json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_refuse)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _logistic(margin: float) -> float:
    if margin < 0:  # the other way there would be an overflow
        power = exp(margin)
        return power / (1.0 + power)
    return 1.0 / (1.0 + exp(-margin))
