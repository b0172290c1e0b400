"""scikit-learn's trees and linear models as an ensemble, and a check of trees before they are run.

scikit-learn follows the numbers of nodes and features in a file without looking, so a made-up file
could lead it anywhere: see https://github.com/scikit-learn/scikit-learn/pull/34558.
"""

from __future__ import annotations

import numpy

from forensics.replay.runtimes.interface import ModelRefusedError
from forensics.replay.runtimes.node_arrays import NodeArrays

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator
    from typing import Any

_FORESTS = (
    "ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier",
    "RandomForestRegressor",
)  # fmt: skip
_SINGLE = (
    "DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor",
)  # fmt: skip
_BOOSTED = ("GradientBoostingClassifier", "GradientBoostingRegressor")
_HISTOGRAM = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
#: Estimators with coefficients of something else than their features.
_NOT_LINEAR = ("NuSVC", "NuSVR", "SVC", "SVR", "MLPClassifier", "MLPRegressor")

#: Kinds whose margin is their value: a mean over trees.
AVERAGED = (*_FORESTS, *_SINGLE)


def line(model: Any) -> tuple[Any, Any]:
    """Coefficients, one row for each output, and intercepts of a linear model's margin.

    Raises:
        ModelRefusedError: when it is not linear.
    """
    kind = type(model).__name__
    if kind in _NOT_LINEAR or not hasattr(model, "coef_") or not hasattr(model, "intercept_"):
        raise ModelRefusedError(f"a {kind} is neither an ensemble of trees over numbers nor linear")
    coefficients = numpy.atleast_2d(numpy.asarray(model.coef_, dtype="d"))
    base = numpy.asarray(model.intercept_, dtype="d").ravel()
    return coefficients, numpy.broadcast_to(base, len(coefficients))


def unfold(model: Any) -> tuple[dict[str, Any], list[array[Any]]]:
    """A fitted estimator as an ensemble: see :class:`forensics.replay.ensemble.Ensemble`.

    Of two classes there is one output, the second.

    Raises:
        ModelRefusedError: when it is neither trees over numbers nor linear.
    """
    kind = type(model).__name__
    nodes = NodeArrays()
    base: Any
    if kind in AVERAGED:
        trees = model.estimators_ if kind in _FORESTS else [model]
        for tree in trees:
            values = _averages(tree, hasattr(model, "classes_")) / len(trees)
            for output in range(values.shape[1]):
                _add_tree(nodes, output, tree.tree_, values[:, output])
        base = numpy.zeros(values.shape[1])
    elif kind in _BOOSTED:
        for stage in model.estimators_:
            for output, tree in enumerate(stage):
                leaves = tree.tree_.value[:, 0, 0] * model.learning_rate
                _add_tree(nodes, output, tree.tree_, leaves)
        base = _beginning(model)
    elif kind in _HISTOGRAM:
        if any(_splits_sets(predictor) for stage in model._predictors for predictor in stage):
            raise ModelRefusedError("the model splits categories, not numbers alone")
        for predictors in model._predictors:
            for output, predictor in enumerate(predictors):
                _add_histogram(nodes, output, predictor.nodes)
        base = model._baseline_prediction
    else:
        coefficients, base = line(model)
        return {"below": False, "dtype": "d", "sets": []}, nodes.arrays(base, coefficients)
    dtype = "d" if kind in _HISTOGRAM else "f"
    return {"below": False, "dtype": dtype, "sets": []}, nodes.arrays(base)


def check(estimator: Any) -> None:
    """Whether the trees in it lead from node to node within themselves.

    Raises:
        ModelRefusedError: when one does not.
    """
    for owner in parts(estimator):
        kind = type(owner).__name__
        if hasattr(owner, "tree_"):
            tree = owner.tree_
            leaf = tree.children_left == -1
            _check_nodes(tree.children_left, tree.children_right, tree.feature, leaf, owner)
        if kind in (*_FORESTS, *_BOOSTED) and hasattr(owner, "estimators_"):
            for tree in numpy.ravel(owner.estimators_):
                if tree.n_features_in_ != owner.n_features_in_:
                    raise _damaged(kind)
        if kind in _HISTOGRAM and hasattr(owner, "_predictors"):
            for predictor in (each for stage in owner._predictors for each in stage):
                nodes = predictor.nodes
                leaf = nodes["is_leaf"] != 0
                children = (nodes["left"].astype("q"), nodes["right"].astype("q"))
                _check_nodes(*children, nodes["feature_idx"], leaf, owner)
                split = (nodes["is_categorical"] != 0) & ~leaf
                if (nodes["bitset_idx"][split] >= len(predictor.raw_left_cat_bitsets)).any():
                    raise _damaged(kind)


def _check_nodes(left: Any, right: Any, feature: Any, leaf: Any, owner: Any) -> None:
    at = numpy.arange(len(left))
    for child in (left, right):
        if (~leaf & ((child <= at) | (child >= len(at)))).any():
            raise _damaged(type(owner).__name__)
    if (~leaf & ((feature < 0) | (feature >= owner.n_features_in_))).any():
        raise _damaged(type(owner).__name__)


def _damaged(kind: str) -> ModelRefusedError:
    return ModelRefusedError(f"a tree of the {kind} in it leads nowhere; the file is damaged")


def parts(item: Any) -> Iterator[Any]:
    """Every estimator within a fitted one."""
    seen: set[int] = set()
    pending = [item]
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, numpy.ndarray):
            pending.extend(item.ravel() if item.dtype == object else ())
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item.values())
        elif type(item).__module__.startswith("sklearn."):
            yield item
            pending.extend(getattr(item, "__dict__", {}).values())


def _averages(tree: Any, classes: bool) -> Any:
    """By node and output what a tree answers: a share of the classes, or a mean."""
    values = tree.tree_.value
    if not classes:
        return values[:, :, 0]
    shares = values[:, 0, :]
    total = shares.sum(axis=1, keepdims=True)
    # Before version 1.3 they are counts.
    shares = numpy.where(abs(total - 1) > 1e-6, shares / total, shares)
    return shares[:, 1:] if shares.shape[1] == 2 else shares


def _beginning(model: Any) -> Any:
    """The margin before any tree; the same for every row unless an estimator was given for it."""
    kind = type(model.init_).__name__
    if kind not in ("DummyClassifier", "DummyRegressor", "str"):
        raise ModelRefusedError(f"its trees begin with what a {kind} answers")
    return model._raw_predict_init(numpy.zeros((1, model.n_features_in_), dtype=numpy.float32))


def _splits_sets(predictor: Any) -> bool:
    nodes = predictor.nodes
    return bool(((nodes["is_categorical"] != 0) & (nodes["is_leaf"] == 0)).any())


def _add_tree(nodes: NodeArrays, output: int, tree: Any, value: Any) -> None:
    low = getattr(tree, "missing_go_to_left", 0)  # since version 1.3
    feature = numpy.where(tree.children_left == -1, -1, tree.feature)
    children = (tree.children_left, tree.children_right)
    nodes.add(output, feature, tree.threshold, children, low, value)


def _add_histogram(nodes: NodeArrays, output: int, tree: Any) -> None:
    leaf = tree["is_leaf"] != 0
    feature = numpy.where(leaf, -1, tree["feature_idx"])
    children = (tree["left"].astype("q"), tree["right"].astype("q"))
    low = tree["missing_go_to_left"]
    nodes.add(output, feature, tree["num_threshold"], children, low, tree["value"])
