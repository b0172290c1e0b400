"""scikit-learn models that skops wrote, pipelines over named columns included.

The value is what ``predict_proba`` gives, for two classes that of the second; what
``decision_function`` gives where a classifier has no probabilities; and ``predict`` of a regressor.
https://scikit-learn.org/stable/model_persistence.html
"""

from __future__ import annotations

import warnings
from array import array

import numpy
import sklearn
import skops.io
from sklearn.base import is_classifier, is_outlier_detector, is_regressor
from skops.io.exceptions import UntrustedTypesFoundException

from forensics.replay.runtimes.interface import ModelRefusedError, Runtime
from forensics.replay.runtimes.packages import as_matrix, brief, older, release
from forensics.replay.runtimes.sklearn_columns import last, trace
from forensics.replay.runtimes.sklearn_trees import AVERAGED, check, line, parts, unfold
from forensics.replay.runtimes.sklearn_types import MATRIX_TYPES, TRUSTED, read_schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: What loading and running an estimator raises for files and rows that do not fit it.
_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NotImplementedError,
    TypeError, ValueError, UntrustedTypesFoundException,
)  # fmt: skip

#: Classifiers whose probability of class 1 is the logistic function of ``decision_function``, and
#: whose probabilities of more classes are its softmax.
_LOGIT = ("GradientBoostingClassifier", "HistGradientBoostingClassifier", "LogisticRegression",
          "LogisticRegressionCV", "LinearDiscriminantAnalysis", "SGDClassifier")  # fmt: skip
#: Attributes that rows are multiplied by.
_MULTIPLIED = ("coef_", "components_", "feature_log_prob_")
#: Rows of many that are also asked for alone.
_TRIED = 8
_GLM = ("GammaRegressor", "PoissonRegressor", "TweedieRegressor")


class SklearnRuntime(Runtime):
    """A classifier, regressor or outlier detector of scikit-learn's own types.

    Processes and threads of its own (``n_jobs``) are turned off: they add up in another order each
    time. Every row of many has the answer that it has alone, to the last bit, as in a service that
    decides one at a time; where the estimator cannot be brought to that, it is run row by row.
    """

    def __init__(self, data: bytes, library: str) -> None:
        warnings.simplefilter("ignore")
        self._schema = read_schema(data)
        self._version = str(sklearn.__version__)
        if release(self._schema.sklearn) > release(self._version):
            raise ModelRefusedError(
                older(self._version, "scikit-learn", self._schema.sklearn),
                f"Install scikit-learn {self._schema.sklearn} or later.",
            )
        try:
            self._model = skops.io.loads(data, trusted=list(TRUSTED))
            check(self._model)
            self._last = last(self._model)
            self._columns = trace(self._model)
            self._width = int(self._model.n_features_in_)
            self._names = [str(name) for name in getattr(self._model, "feature_names_in_", ())]
            self._answers = _Answers(self._model, self._last)
            for part in parts(self._model):
                if getattr(part, "n_jobs", None) is not None:
                    part.n_jobs = 1
                if _multiplies(part):
                    _separate(part)
        except _ERRORS as error:
            raise self._refusal("cannot load it", error) from error
        self._alone = any(_multiplies(part) for part in parts(self._model))
        self._contributing = self._is_linear()

    def describe(self) -> tuple[dict[str, Any], array[float]]:
        """The model's names, versions and classes, and the cut points of its trees."""
        answers = self._answers
        cuts: list[set[float]] = [set() for _ in range(self._width)]
        if self._last is self._model:
            try:
                arrays = unfold(self._model)[1]
            except ModelRefusedError:
                arrays = [array("i"), array("d")]
            for feature, threshold in zip(arrays[0], arrays[1], strict=True):
                if feature >= 0:
                    cuts[feature].add(threshold)
        flat = array("d", [value for values in cuts for value in sorted(values)])
        kinds = ["value", "margin"] if answers.margin else ["value"]
        written = f"skops {self._schema.skops}"
        if self._schema.sklearn:
            written = f"scikit-learn {self._schema.sklearn}, {written}"
        description = {
            "features": self._names,
            "width": self._width,
            "objective": type(self._last).__name__,
            "file_version": written,
            "runtime": f"scikit-learn {self._version}",
            "rounds": answers.rounds,
            "best_iteration": None,
            "cut_counts": [len(values) for values in cuts],
            "dtype": "d",
            "score_dtype": "d",
            "outputs": answers.outputs,
            "texts": sorted(self._columns.texts),
            "categories": {},
            "categorical": [],
            "classes": answers.classes,
            "link": answers.link,
            "kinds": [*kinds, "contributions"] if self._contributing else kinds,
        }
        return description, flat

    def predict(
        self,
        rows: array[float],
        count: int,
        kind: str,
        trees: int,
        threads: int,
        texts: Mapping[int, Sequence[str]],
    ) -> bytes:
        """Answers in float64; rows that the estimator refuses are refused with its reason."""
        if trees:
            raise ModelRefusedError("a scikit-learn model cannot be run with some of its trees")
        try:
            table = self._table(as_matrix(rows, count), texts)
            if kind == "contributions":
                answer = self._contributions(table)
            else:
                method = self._answers.value if kind == "value" else self._answers.margin
                answer = self._ask(table, method, count)
        except _ERRORS as error:
            raise self._refusal("cannot run it on these rows", error) from error
        outputs = self._answers.outputs
        if kind == "contributions":
            outputs *= self._width + 1
        if answer.size != count * outputs:
            raise ModelRefusedError(
                f"its {kind} has {answer.size // count} numbers a row, not {outputs}"
            )
        found: bytes = numpy.ascontiguousarray(answer, dtype="d").tobytes()
        return found

    def ensemble(self, trees: int) -> tuple[dict[str, Any], list[array[Any]]]:
        """Trees over numbers, or a linear model, that no other step stands before."""
        if trees:
            raise ModelRefusedError("a scikit-learn model cannot be run with some of its trees")
        if self._last is not self._model:
            raise ModelRefusedError("the model is a pipeline of several steps")
        return unfold(self._model)

    def _ask(self, table: Any, method: str, count: int) -> Any:
        """The answers of ``method``; of what multiplies matrices, those of each row alone."""
        answers = self._answers
        model = self._model
        if method.startswith("_"):
            table, model = self._prepared(table), self._last
        found = answers.ask(model, method, table)
        if not self._alone or count == 1:
            return found
        rows = table.iloc if hasattr(table, "iloc") else table
        tried = {*range(min(count, _TRIED)), *range(0, count, count // _TRIED + 1)}
        alone = {at: answers.ask(model, method, rows[at : at + 1]) for at in sorted(tried)}
        if all(row.tobytes() == found[at : at + 1].tobytes() for at, row in alone.items()):
            return found
        return numpy.concatenate(
            [answers.ask(model, method, rows[at : at + 1]) for at in range(count)]
        )

    def _prepared(self, table: Any) -> Any:
        """The rows as all steps before the last one leave them."""
        model = self._model
        while model is not self._last:
            for _, step in model.steps[:-1]:
                if step is not None and not isinstance(step, str):  # None, passthrough
                    table = step.transform(table)
            model = model.steps[-1][1]
        return table

    def _contributions(self, table: Any) -> Any:
        """By output, coefficient times value for each feature, and the intercept last."""
        table = self._prepared(table)
        values = table.toarray() if hasattr(table, "toarray") else numpy.asarray(table, dtype="d")
        coefficients, base = line(self._last)
        found = numpy.zeros((len(values), len(base), self._width + 1))
        for column, feature in enumerate(self._columns.origins or ()):
            found[:, :, feature] += values[:, column, None] * coefficients[:, column]
        found[:, :, -1] = base
        return found

    def _is_linear(self) -> bool:
        origins = self._columns.origins
        try:
            coefficients = line(self._last)[0]
        except ModelRefusedError:
            return False
        shape = (self._answers.outputs, len(origins or ()))
        return bool(self._answers.margin) and origins is not None and coefficients.shape == shape

    def _table(self, matrix: Any, texts: Mapping[int, Sequence[str]]) -> Any:
        """The rows as the estimator was trained on them: named columns, or a matrix."""
        columns = {at: self._texts(matrix[:, at], at, texts) for at in self._columns.texts}
        if self._names:
            import pandas

            if not columns:
                return pandas.DataFrame(matrix, columns=self._names)
            named = {
                # Without its type, pandas would take texts for its own and None for NaN.
                name: pandas.Series(columns[at], dtype=object) if at in columns else matrix[:, at]
                for at, name in enumerate(self._names)
            }
            return pandas.DataFrame(named)
        if not columns:
            return matrix
        table = matrix.astype(object)
        for at, column in columns.items():
            table[:, at] = column
        return table

    def _texts(self, column: Any, at: int, texts: Mapping[int, Sequence[str]]) -> Any:
        """A column of categories: texts, numbers as they are where no text was given."""
        found = numpy.empty(len(column), dtype=object)
        known = ~numpy.isnan(column)
        if at in texts:
            found[known] = numpy.array(texts[at], dtype=object)[column[known].astype(numpy.int64)]
        else:
            found[known] = column[known]
        found[~known] = self._columns.texts[at]
        return found

    def _refusal(self, what: str, error: Exception) -> ModelRefusedError:
        written = self._schema.sklearn
        reason = f"scikit-learn {self._version} {what}: {type(error).__name__}: {brief(error)}"
        if written in ("", self._version):
            return ModelRefusedError(reason)
        return ModelRefusedError(
            f"{reason}; the file was written by scikit-learn {written}",
            "Replay it with --exact-runtime, which installs that version.",
        )


class _Answers:
    """Which method gives the value and which the margin, how many numbers, and of what."""

    def __init__(self, model: Any, final: Any) -> None:
        kind = type(final).__name__
        self.classes: list[str] = []
        self.outputs = 1
        self.rounds = 0
        self.link = ""
        #: Empty where there is no margin.
        self.margin = ""
        self._binary = False
        if is_classifier(model):
            self._classifier(model, kind)
            self.link = self._link(final, kind)
        elif is_regressor(model):
            self.value = "predict"
            self.outputs = _outputs(final)
            self.margin, self.link = ("predict", "identity")
            if kind in _GLM:
                self.margin, self.link = "_linear_predictor", _glm_link(final)
            elif "Hist" in kind and final.loss in ("poisson", "gamma"):
                self.margin, self.link = "_raw_predict", "log"
        elif is_outlier_detector(model):
            self.value = self.margin = "decision_function"
            self.link = "identity"
        else:
            raise ModelRefusedError(f"a {kind} gives no score: it neither classifies nor regresses")
        stages = getattr(final, "n_iter_" if "Hist" in kind else "n_estimators_", None)
        if stages is None:
            stages = len(getattr(final, "estimators_", ()) or ()) if "Forest" in kind else 0
        self.rounds = int(stages)

    def _classifier(self, model: Any, kind: str) -> None:
        classes = model.classes_
        if isinstance(classes, list) or getattr(classes, "ndim", 1) != 1:
            raise ModelRefusedError("the model answers several questions at once (multi-output)")
        self.classes = [str(label) for label in classes.tolist()]
        self._binary = len(self.classes) == 2
        self.outputs = 1 if self._binary else len(self.classes)
        scored = hasattr(model, "decision_function")
        if hasattr(model, "predict_proba"):
            self.value = "predict_proba"
            self.margin = "decision_function" if scored else ""
            if kind in AVERAGED:
                self.margin = "predict_proba"
        elif scored:
            self.value = self.margin = "decision_function"
        else:
            raise ModelRefusedError(f"a {kind} gives a label and no score")

    def _link(self, final: Any, kind: str) -> str:
        if self.value == self.margin:
            return "identity"
        loss = getattr(final, "loss", "log_loss")
        if kind not in _LOGIT or loss not in ("log_loss", "log", "deviance"):
            return ""
        # Until version 1.7 two classes could be treated as if they were more.
        several = getattr(final, "multi_class", "")
        if self._binary:
            return "" if several == "multinomial" else "logit"
        one_against_rest = (
            kind == "SGDClassifier"
            or getattr(final, "solver", "") == "liblinear"
            or several == "ovr"
        )
        return "" if one_against_rest else "softmax"

    def ask(self, model: Any, method: str, table: Any) -> Any:
        """The answer of ``method`` in float64, one number a row for two classes."""
        answer = numpy.asarray(getattr(model, method)(table), dtype="d")
        return answer[:, 1] if method == "predict_proba" and self._binary else answer


def _outputs(final: Any) -> int:
    """Numbers that a regressor answers."""
    count = getattr(final, "n_outputs_", None)
    if count is None:
        coefficients = numpy.asarray(getattr(final, "coef_", 0.0))
        linear = coefficients.ndim == 2 and not hasattr(final, "support_vectors_")
        count = len(coefficients) if linear else 1
    return int(count)


def _glm_link(final: Any) -> str:
    """How the linear predictor becomes the mean: a Tweedie model may say, or follow its power."""
    link = getattr(final, "link", "log")
    if link == "auto":
        link = "identity" if final.power <= 0 else "log"
    return str(link)


def _multiplies(part: Any) -> bool:
    return f"{type(part).__module__}.{type(part).__name__}" in MATRIX_TYPES


def _separate(part: Any) -> None:
    """Makes an estimator multiply each row by itself."""
    for name, value in vars(part).items():
        if name in _MULTIPLIED and type(value) is numpy.ndarray:
            setattr(part, name, value.view(_Separate))
        elif name == "coefs_":
            part.coefs_ = [layer.view(_Separate) for layer in value]


class _Separate(numpy.ndarray):
    """Coefficients that give each row of a matrix the product that it has alone.

    A product of whole matrices adds up in another order than that of a single row: the answers
    differ in their last bits, of which a replay would make another score.
    """

    def __rmatmul__(self, rows: Any) -> Any:
        plain = self.view(numpy.ndarray)
        if rows.ndim != 2:
            return rows @ plain
        return (numpy.ascontiguousarray(rows)[:, None, :] @ plain)[:, 0]
