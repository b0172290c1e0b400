"""CatBoost models (``.cbm``) through the ``catboost`` package.

Its answers are what ``CatBoostClassifier.predict_proba`` and ``CatBoostRegressor.predict`` give.
https://catboost.ai/docs/en/concepts/python-reference_catboost_predict
"""

from __future__ import annotations

import json
import re
from array import array

import catboost
import numpy

from forensics.replay.runtimes.cbm import NAN_IS_HIGH, CbmFile, read
from forensics.replay.runtimes.interface import KINDS, ModelRefusedError, Runtime
from forensics.replay.runtimes.node_arrays import NodeArrays
from forensics.replay.runtimes.packages import as_matrix, brief, older, release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: By loss function, what the value is and how the margin becomes it; all others answer the margin.
_VALUES = {
    "Logloss": ("Probability", "logit"),
    "CrossEntropy": ("Probability", "logit"),
    "Focal": ("Probability", "logit"),
    "MultiLogloss": ("Probability", "logit"),
    "MultiCrossEntropy": ("Probability", "logit"),
    "MultiClassOneVsAll": ("Probability", "logit"),
    "MultiClass": ("Probability", "softmax"),
    "Poisson": ("Exponent", "log"),
    "Tweedie": ("Exponent", "log"),
    "RMSEWithUncertainty": ("RMSEWithUncertainty", ""),
}
_MARGIN = ("RawFormulaVal", "identity")

#: More nodes than this are not worth the memory to a search.
_NODES_MAX = 20_000_000


class CatBoostRuntime(Runtime):
    """A model over numbers, categories and texts; vectors (embeddings) are refused."""

    def __init__(self, data: bytes, library: str) -> None:
        try:
            self._file = read(data)
        except ValueError as error:
            raise ModelRefusedError(f"it is not a whole CatBoost model: {brief(error)}") from error
        self._version = str(catboost.__version__)
        self._objective, self._written_by = _training(self._file)
        if release(self._written_by) > release(self._version):
            raise ModelRefusedError(
                older(self._version, "catboost", self._written_by),
                f"Install catboost {self._written_by} or later.",
            )
        if self._file.embeddings:
            name = next(iter(self._file.embeddings.values()))
            raise ModelRefusedError(f"feature {name} is a vector, which cannot be replayed")
        self._value, self._link = _VALUES.get(self._objective, _MARGIN)
        self._model = catboost.CatBoost()
        try:
            self._model.load_model(blob=data)
        except catboost.CatBoostError as error:
            raise ModelRefusedError(
                f"catboost {self._version} refused it: {brief(error)}"
            ) from error
        self._shrunk = {0: self._model}
        self._binary = self._value == "Probability" and self._file.dimension == 1

    def describe(self) -> tuple[dict[str, Any], array[float]]:
        """The model's names, versions, loss function and classes, and its cut points."""
        file = self._file
        names = [str(name) for name in self._model.feature_names_]
        width = len(names)
        cuts = [array("d") for _ in names]
        for feature in file.floats:
            cuts[feature.position] = array("d", feature.borders)
        flat = array("d")
        for cut in cuts:
            flat.extend(cut)
        classes = [_label(label) for label in self._model.classes_]
        if self._binary and not classes:
            classes = ["0", "1"]
        description = {
            # CatBoost counts features through where training named none.
            "features": [] if names == [str(at) for at in range(width)] else names,
            "width": width,
            "objective": self._objective,
            "file_version": self._written_by,
            "runtime": f"catboost {self._version}",
            "rounds": int(self._model.tree_count_),
            "best_iteration": None,
            "cut_counts": [len(cut) for cut in cuts],
            "dtype": "d" if file.categories or file.texts else "f",
            "score_dtype": "d",
            "outputs": file.dimension,
            "texts": sorted({**file.categories, **file.texts}),
            "classes": classes,
            "link": self._link,
            # Of a mean with its uncertainty, the library gives contributions to the mean alone.
            "kinds": KINDS[:2] if self._objective == "RMSEWithUncertainty" else KINDS,
            "categories": {},
            "categorical": [],
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
        """Answers in float64; what goes back to the library's message is refused."""
        self._check(trees)
        try:
            data = self._data(rows, count, texts)
            if kind == "contributions":
                model = self._first(trees)
                answer = model.get_feature_importance(data, type="ShapValues", thread_count=threads)
            else:
                answer = self._model.predict(
                    data,
                    prediction_type=self._value if kind == "value" else "RawFormulaVal",
                    ntree_end=trees,
                    thread_count=threads,
                )
                if kind == "value" and self._binary:
                    answer = answer[:, 1]
        except catboost.CatBoostError as error:
            raise ModelRefusedError(f"catboost {self._version}: {brief(error)}") from error
        found: bytes = answer.astype("d").tobytes()
        return found

    def ensemble(self, trees: int) -> tuple[dict[str, Any], list[array[Any]]]:
        """Its symmetric trees, unfolded to nodes; see :mod:`forensics.replay.ensemble`."""
        file = self._file
        self._check(trees)
        if file.categories or file.texts:
            raise ModelRefusedError("the model has features of text, not numbers alone")
        if not file.symmetric:
            raise ModelRefusedError("the model's trees are not symmetric")
        sizes = numpy.asarray(file.sizes)[: trees or None]
        if file.dimension * int((2 << sizes).sum()) > _NODES_MAX:
            raise ModelRefusedError(f"its unfolded trees have more than {_NODES_MAX:,} nodes")
        return {"below": False, "dtype": "f", "sets": []}, _unfold(file, sizes)

    def _data(self, rows: array[float], count: int, texts: Mapping[int, Sequence[str]]) -> Any:
        matrix = as_matrix(rows, count)
        file = self._file
        if not file.categories and not file.texts:
            return catboost.Pool(matrix)
        import pandas

        names = self._model.feature_names_
        columns = {}
        for at, name in enumerate(names):
            column = matrix[:, at]
            if at in file.categories or at in file.texts:
                column = _texts(column, texts.get(at), name)
                if at in file.texts:
                    column = column.astype(object)
            columns[name] = column
        return catboost.Pool(
            pandas.DataFrame(columns, columns=names),
            cat_features=sorted(file.categories),
            text_features=sorted(file.texts) or None,
        )

    def _check(self, trees: int) -> None:
        if trees > self._model.tree_count_:
            raise ModelRefusedError(f"the model has {self._model.tree_count_} trees, not {trees}")

    def _first(self, trees: int) -> Any:
        """The model with its first ``trees`` trees alone: contributions take no number of trees."""
        if trees not in self._shrunk:
            model = self._model.copy()
            model.shrink(trees)
            self._shrunk[trees] = model
        return self._shrunk[trees]


def _texts(column: Any, texts: Sequence[str] | None, name: str) -> Any:
    """A column of categories from positions of texts, or from whole numbers.

    CatBoost takes a whole number for the text that it is written as, and no missing category.
    """
    import pandas

    if numpy.isnan(column).any():
        raise ModelRefusedError(
            f"feature {name} is a category and is missing; CatBoost takes no missing category",
            "Record the text that the service gave to the model in its place.",
        )
    if texts is None:
        if (column != numpy.floor(column)).any():
            raise ModelRefusedError(f"feature {name} is a category; a fraction is none")
        values, codes = numpy.unique(column, return_inverse=True)
        texts = [str(int(value)) for value in values]
    else:
        codes = column.astype(numpy.int64)
    return pandas.Categorical.from_codes(codes, categories=list(texts))


def _unfold(file: CbmFile, sizes: Any) -> list[array[Any]]:
    """The trees of ``sizes`` levels as nodes, level after level; each output has its own tree."""
    asked = numpy.repeat(
        [feature.position for feature in file.floats],
        [len(feature.borders) for feature in file.floats],
    )
    borders = numpy.concatenate([[], *(feature.borders for feature in file.floats)])
    high = [feature.position for feature in file.floats if feature.nan == NAN_IS_HIGH]
    splits, leaves = numpy.asarray(file.splits), numpy.asarray(file.leaves) * file.scale
    nodes = NodeArrays()
    first_split = first_leaf = 0
    for size in sizes:
        levels = splits[first_split : first_split + size]
        own = leaves[first_leaf : first_leaf + (file.dimension << size)].reshape(-1, file.dimension)
        first_split, first_leaf = first_split + size, first_leaf + own.size
        inner = numpy.arange((1 << size) - 1)
        by_node = numpy.repeat(levels, 1 << numpy.arange(size))
        pad = numpy.zeros(1 << size)
        feature = numpy.append(asked[by_node], pad - 1)
        child = numpy.append(2 * inner + 1, pad)
        # A leaf's number has the first question in its lowest bit; ours go from left to right.
        order = numpy.zeros(1 << size, dtype=int)
        for level in range(size):
            order |= ((numpy.arange(1 << size) >> (size - 1 - level)) & 1) << level
        for output in range(file.dimension):
            nodes.add(
                output,
                feature,
                numpy.append(borders[by_node], pad),
                (child, child + 1),
                ~numpy.isin(feature, high),
                numpy.append(numpy.zeros(len(inner)), own[order, output]),
            )
    return nodes.arrays(file.bias)


def _training(file: CbmFile) -> tuple[str, str]:
    """The loss function, and the version of CatBoost that wrote the file, empty if not stated."""
    objective = ""
    try:
        if "params" in file.info:
            objective = json.loads(file.info["params"])["loss_function"]["type"]
        elif "loss_function" in file.info:  # a sum of models
            objective = json.loads(file.info["loss_function"])["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelRefusedError(
            f"it is not a whole CatBoost model: no loss function ({brief(error)})"
        ) from error
    written = "\n".join(
        text for name, text in file.info.items() if name.endswith("catboost_version_info")
    )
    versions = re.findall(r"Branch: tags/v(\d[\w.]*)", written)
    return str(objective), max(versions, key=release, default="")


def _label(label: Any) -> str:
    return str(label.item() if hasattr(label, "item") else label)
