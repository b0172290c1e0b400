"""What an XGBoost model file says, read and judged before any library touches it.

Format: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html; numbers that it keeps
as text ("3", "5E-1", since 3.1 "[5E-1]") are numbers here.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import pairwise
from math import inf, log

from forensics.replay.runtimes.interface import KINDS, MISSING_IS_NAN, ModelRefusedError
from forensics.replay.runtimes.trees import Trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: How the margin becomes the value, by objective.
_LINKS = {
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:linear": "identity",
    "reg:pseudohubererror": "identity",
    "reg:absoluteerror": "identity",
    "reg:quantileerror": "identity",
    "reg:expectileerror": "identity",
    "reg:logistic": "logit",
    "reg:gamma": "log",
    "reg:tweedie": "log",
    "binary:logistic": "logit",
    "binary:logitraw": "identity",
    "binary:hinge": "",
    "count:poisson": "log",
    "survival:cox": "log",
    "survival:aft": "log",
    "multi:softprob": "softmax",
    "multi:softmax": "",
    "rank:pairwise": "identity",
    "rank:ndcg": "identity",
    "rank:map": "identity",
}

#: Since this version a category that was never seen is found out; before, it is taken for the next
#: one in alphabetical order (https://github.com/dmlc/xgboost/pull/12193).
_EXACT_SINCE = (3, 3, 0)

#: Before this version the lengths of names are counted in letters where bytes are meant, so that
#: beyond ASCII they run into each other (https://github.com/dmlc/xgboost/pull/12371).
_WHOLE_NAMES_SINCE = (3, 4, 0)
_PROBABILITY_MIN = 1e-6

#: Orders bytes as XGBoost does, which takes them for signed.
_SIGNED = bytes(byte ^ 0x80 for byte in range(256))


class XGBoostFile:
    """A model file's content.

    Raises:
        ModelRefusedError: when it is no whole model, or of a kind that nothing here can run.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._read(_parse(data))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            text = str(error).strip()[:200]
            raise ModelRefusedError(
                f"it is not a whole XGBoost model: {type(error).__name__} {text}"
            ) from error

    def _read(self, document: Any) -> None:
        self.version = tuple(int(part) for part in document["version"])
        learner = document["learner"]
        booster = learner["gradient_booster"]
        parameters = learner["learner_model_param"]
        #: ``gbtree``, ``dart`` or ``gblinear``.
        self.kind = booster["name"]
        self.objective = str(learner["objective"]["name"])
        self.width = int(parameters["num_feature"])
        self.outputs = max(int(parameters.get(n, 1)) for n in ("num_class", "num_target"))
        self.outputs = max(self.outputs, 1)
        self._base = _numbers(parameters["base_score"])
        self.names = [str(name) for name in learner.get("feature_names", ())]
        best = str((learner.get("attributes") or {}).get("best_iteration"))
        self.best_iteration = int(best) if best.isdigit() else None
        if self.names and len(self.names) != self.width:
            raise ModelRefusedError(
                f"the file names {len(self.names)} features and has {self.width}"
            )
        types = list(learner.get("feature_types", ()))
        self.categorical = {at for at, kind in enumerate(types) if kind == "c"}
        #: By feature, the categories in the order of their codes; empty before XGBoost 3.1.
        self.categories: dict[int, list[Any]] = {}
        self._trees: list[Any] = []
        #: Numbers that a leaf adds, each to another output, where more than one.
        self._leaf_size = 1
        self._rounds_end: list[int] = []
        self._weights: list[float] = []
        if self.kind == "gblinear":
            self._coefficients = array("d", array("f", booster["model"]["weights"]))
            if len(self._coefficients) != (self.width + 1) * self.outputs:
                raise ValueError("the number of weights is wrong")
        elif self.kind in ("gbtree", "dart"):
            self._read_trees(booster)
        else:
            raise ModelRefusedError(f"nothing here can run boosters called {self.kind}")
        self.cuts = self._cuts()

    def _read_trees(self, booster: Any) -> None:
        model = (booster["gbtree"] if self.kind == "dart" else booster)["model"]
        parameters = model["gbtree_model_param"]
        self._trees = model["trees"]
        self._tree_info = model["tree_info"]
        count = len(self._trees)
        if not count == len(self._tree_info) == int(parameters["num_trees"]):
            raise ValueError("the number of trees is wrong")
        if "iteration_indptr" in model:
            self._rounds_end = list(model["iteration_indptr"])[1:]
        else:  # before XGBoost 2.0
            size = int(parameters.get("num_parallel_tree", 1)) * self.outputs
            self._rounds_end = list(range(size, count + 1, size))
        if (self._rounds_end[-1] if self._rounds_end else 0) != count:
            raise ValueError("the trees are not those of whole rounds")
        if self.kind == "dart":
            self._weights = [float(weight) for weight in booster["weight_drop"]]
            if len(self._weights) != count:
                raise ValueError("the number of weights is wrong")
        for at, column in enumerate(model.get("cats", {}).get("enc", ())):
            if len(column["values"]) or len(column.get("offsets", ())):
                self.categories[at] = _categories(column)
        sizes = {int(tree["tree_param"].get("size_leaf_vector", 1)) for tree in self._trees}
        self._leaf_size = max(sizes, default=1)
        if self._leaf_size > 1 and sizes != {self.outputs}:
            raise ValueError("the leaves are of different sizes")

    @property
    def has_early_vectors(self) -> bool:
        """Whether leaves are vectors in the form that XGBoost wrote before 3.2."""
        return self._leaf_size > 1 and "leaf_weights" not in self._trees[0]

    @property
    def rounds(self) -> int:
        """Boosting rounds that can be used singly."""
        return len(self._rounds_end)

    @property
    def link(self) -> str:
        """How the margin becomes the value; empty where it is none of the usual ways."""
        return _LINKS.get(self.objective, "")

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can be asked of the library."""
        if self.objective == "multi:softmax":  # its value is the class, one number a row
            return ("value",)
        if self._leaf_size > 1:  # it has no contributions for those
            return ("value", "margin")
        return KINDS

    def _cuts(self) -> list[array[float]]:
        """Each feature's split points, ascending: a value below goes left, any other right."""
        found: list[set[float]] = [set() for _ in range(self.width)]
        for tree in self._trees:
            left, feature = tree["left_children"], tree["split_indices"]
            kinds = tree.get("split_type") or bytes(len(left))
            nodes = zip(left, feature, tree["split_conditions"], kinds, strict=True)
            for child, at, condition, kind in nodes:
                if kind:
                    self.categorical.add(at)
                elif child != -1:
                    found[at].add(condition)
        return [array("d", array("f", sorted(cuts))) for cuts in found]

    def category_names(self, feature: int) -> list[str]:
        """The categories of a feature as text, in the order of their codes; empty if damaged."""
        names = self.categories[feature]
        in_pieces = self.version < _WHOLE_NAMES_SINCE
        if in_pieces and any(isinstance(name, bytes) and not name.isascii() for name in names):
            return []
        return [
            value.decode(errors="replace") if isinstance(value, bytes) else str(value)
            for value in names
        ]

    def code(self, feature: int, text: str, runtime: tuple[int, ...]) -> float:
        """The code that XGBoost ``runtime`` has for a category; infinite where it refuses it.

        Raises:
            ModelRefusedError: when the file has no whole names.
        """
        categories = self.categories[feature]
        if not self.category_names(feature):
            raise ModelRefusedError(
                "XGBoost before 3.4 keeps category names beyond ASCII in pieces, as here of feature"
                f" {feature}: which code a text had depends on how the service asked",
                "Record the codes that the model was given.",
            )
        numeric = not isinstance(categories[0], bytes)
        try:
            wanted = float(text) if numeric else text.encode().translate(_SIGNED)
        except ValueError:
            return inf
        keys = [key if numeric else key.translate(_SIGNED) for key in categories]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        place = bisect_left(order, wanted, key=keys.__getitem__)
        if place == len(order):
            return inf
        if keys[order[place]] != wanted and runtime >= _EXACT_SINCE:
            return inf
        return float(order[place])

    def ensemble(self, trees: int) -> Trees:
        """The model in general terms, of its first ``trees`` rounds; all where 0.

        Raises:
            ModelRefusedError: when the objective is not known here.
        """
        if self.objective not in _LINKS:
            raise ModelRefusedError(f"the objective {self.objective} is not known here")
        try:
            found = Trees(self._base_margins())
            if self.kind == "gblinear":
                _add_linear(found, self._coefficients, self.outputs)
                return found
            end = self._rounds_end[trees - 1] if trees else len(self._trees)
            for at, tree in enumerate(self._trees[:end]):
                weight = self._weights[at] if self._weights else 1.0
                if self._leaf_size > 1:
                    for output in range(self.outputs):
                        _add_tree(found, tree, output, weight, _vector_leaves(tree, output, self))
                else:
                    _add_tree(found, tree, self._tree_info[at], weight, tree["split_conditions"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelRefusedError(f"its trees are damaged: {error}") from error
        return found

    def _base_margins(self) -> list[float]:
        base = self._base * self.outputs if len(self._base) == 1 else self._base
        if len(base) != self.outputs:
            raise ValueError("the number of base scores is wrong")
        if self.kind == "gblinear":  # the library gives every output the first one's
            base = base[:1] * self.outputs
        if self.link == "logit":
            base = [min(max(value, _PROBABILITY_MIN), 1.0 - _PROBABILITY_MIN) for value in base]
            return [log(value / (1.0 - value)) for value in base]
        return [log(value) for value in base] if self.link == "log" else base


def _parse(data: bytes) -> Any:
    try:
        # XGBoost itself tells them apart by the second byte.
        if data[1:2] in (b'"', b" ", b"\n", b"\r", b"\t"):
            import json

            return json.loads(data)
        from forensics.replay.runtimes.ubjson import loads

        return loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _numbers(text: Any) -> list[float]:
    return [float(part) for part in str(text).strip("[]").split(",")]


def _categories(column: Any) -> list[Any]:
    """Names as bytes, numbers as they are."""
    values = column["values"]
    if "offsets" not in column:
        return list(values)
    names = bytes(value & 0xFF for value in values)
    offsets = list(column["offsets"])
    if offsets[0] != 0 or offsets[-1] != len(names):
        raise ValueError("the categories' names are cut short")
    return [names[start:end] for start, end in pairwise(offsets)]


def _vector_leaves(tree: Any, output: int, file: XGBoostFile) -> Iterator[float]:
    """The values of ``output`` by node; those of inner nodes mean nothing."""
    if "leaf_weights" in tree:  # since XGBoost 3.2, where a leaf's right child is its number
        weights = tree["leaf_weights"]
        for left, right in zip(tree["left_children"], tree["right_children"], strict=True):
            yield weights[right * file.outputs + output] if left == -1 else 0.0
    else:
        yield from tree["base_weights"][output :: file.outputs]


def _add_tree(found: Trees, tree: Any, output: int, weight: float, leaves: Any) -> None:
    start = found.start(output)
    lefts, rights = list(tree["left_children"]), list(tree["right_children"])
    features, defaults = list(tree["split_indices"]), list(map(bool, tree["default_left"]))
    count = len(lefts)
    # Thresholds are float32, which JSON keeps in fewer digits.
    thresholds = array("d", array("f", tree["split_conditions"]))
    values = [value * weight for value in leaves]
    kinds = tree.get("split_type") or bytes(count)
    if {len(each) for each in (rights, features, defaults, thresholds, values, kinds)} != {count}:
        raise ValueError("a node's parts are missing")
    # The library itself takes the right child to stand beside the left one.
    firsts = [left for left in lefts if left != -1]
    own = {*firsts, *(left + 1 for left in firsts)}
    if len(own) != 2 * len(firsts) or min(own, default=1) < 1 or max(own, default=0) >= count:
        raise ValueError("a node's children are not its own")
    sets = _sets(tree)
    for at, left in enumerate(lefts):
        if left == -1:
            features[at], thresholds[at], defaults[at], rights[at] = -1, 0.0, False, -1
            continue
        if rights[at] != left + 1:
            raise ValueError("a node's children are not its own")
        values[at] = 0.0
        lefts[at], rights[at] = start + left, start + left + 1
        if kinds[at]:  # what is in the set goes right there
            found.sets[start + at] = sets[at]
            lefts[at], rights[at], defaults[at] = start + left + 1, start + left, not defaults[at]
            thresholds[at] = 0.0
    missing = bytes(0 if left == -1 else MISSING_IS_NAN for left in lefts)
    found.nodes(features, thresholds, lefts, rights, bytes(defaults), missing, values)


def _sets(tree: Any) -> dict[int, list[int]]:
    """The categories by node."""
    names = ("categories_nodes", "categories_segments", "categories_sizes")
    values = list(tree.get("categories", ()))
    return {
        node: values[start : start + size]
        for node, start, size in zip(*(tree.get(name, ()) for name in names), strict=True)
    }


def _add_linear(found: Trees, weights: array[float], outputs: int) -> None:
    """Weights stand by feature, then by output; the last are the biases."""
    size = len(weights) - outputs
    for output in range(outputs):
        found.coefficients.extend(weights[output:size:outputs])
        found.base[output] += weights[size + output]
