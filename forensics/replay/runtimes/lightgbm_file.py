"""What a LightGBM model file says, read and judged before any library touches it.

The library itself reads beyond the end of a file that is cut short, takes what it finds for trees,
and stops the process when a tree is not where ``tree_sizes`` says. The file is text: a header, the
trees, and the parameters of the training; Python adds the categories of a data frame's columns.
Format: https://github.com/microsoft/LightGBM/blob/master/src/boosting/gbdt_model_text.cpp
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from math import inf, isfinite, nan, nextafter

from forensics.replay.runtimes.interface import (
    KINDS,
    MISSING_IS_NAN,
    MISSING_IS_ZERO,
    MISSING_IS_ZERO_OR_NAN,
    ModelRefusedError,
)
from forensics.replay.runtimes.trees import Trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: How the margin becomes the value, by objective; those with a parameter are told apart below.
_LINKS = {
    "regression": "identity",
    "regression_l1": "identity",
    "huber": "identity",
    "fair": "identity",
    "quantile": "identity",
    "mape": "identity",
    "lambdarank": "identity",
    "rank_xendcg": "identity",
    "custom": "identity",
    "": "identity",
    "poisson": "log",
    "gamma": "log",
    "tweedie": "log",
    "binary": "logit",
    "cross_entropy": "logit",
    "multiclassova": "logit",
    "multiclass": "softmax",
}

#: Formats that are read here; LightGBM 2 to 4 write them.
_FORMATS = ("v2", "v3", "v4")

#: Bits of a node's ``decision_type``, and what counts as missing by the two above them.
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING = (MISSING_IS_ZERO, MISSING_IS_ZERO_OR_NAN, MISSING_IS_NAN)
#: By ``decision_type``, where missing values go and what counts as one; categories say neither.
_KINDS = range(len(_MISSING) << 2)
_TO_LEFT = bytes(kind & 3 == _DEFAULT_LEFT for kind in _KINDS).ljust(256, b"\0")
_TO_MISSING = bytes(
    MISSING_IS_NAN if kind & _CATEGORICAL else _MISSING[kind >> 2] for kind in _KINDS
).ljust(256, b"\0")

#: Numbers up to here count as zero; a float32 in the library.
_ZERO = 1.0000000180025095e-35


class LightGBMFile:
    """A model file's content.

    Raises:
        ModelRefusedError: when it is no whole model, or of a kind that is not known here.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._read(data)
        except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
            text = str(error).strip()[:200]
            raise ModelRefusedError(
                f"it is not a whole LightGBM model: {type(error).__name__} {text}"
            ) from error

    def _read(self, data: bytes) -> None:
        if b"\0" in data:
            raise ValueError("there are zeros in the text")
        start = data.find(b"\n\nTree=0\n") + 2
        if start < 2:
            raise ValueError("no tree was found")
        header = _fields(data[:start])
        #: Version of the format, e.g. ``v4``; files do not name the library's.
        self.version = header.get("version", "")
        if self.version not in _FORMATS:
            raise ModelRefusedError(
                f"the file's format is {self.version or 'older than v2'}, here v2 to v4 are read",
                "Save it again with LightGBM 4, which reads the older ones.",
            )
        objective = header.get("objective", "").split()
        self.objective = objective[0] if objective else ""
        self._options = objective[1:]
        self.width = int(header["max_feature_idx"]) + 1
        self.outputs = int(header["num_tree_per_iteration"])
        names = header["feature_names"].split(" ")
        infos = header["feature_infos"].split(" ")
        if not len(names) == len(infos) == self.width:
            raise ValueError(f"{len(names)} features are named and {self.width} used")
        made_up = all(name == f"Column_{at}" for at, name in enumerate(names))
        self.names = [] if made_up else names
        self._average = "average_output" in header
        sizes = [int(size) for size in header["tree_sizes"].split()]
        if self.outputs < 1 or len(sizes) % self.outputs:
            raise ValueError("the trees are not those of whole rounds")
        self.rounds = len(sizes) // self.outputs
        self._trees = []
        for number, size in enumerate(sizes):
            block = data[start : start + size]
            if not block.startswith(b"Tree=%d\n" % number) or not block.endswith(b"\n\n"):
                raise ValueError(
                    f"tree {number} is not where tree_sizes says; were the line ends changed?"
                )
            self._trees.append(_Tree(_fields(block), self.width))
            start += size
        parameters = self._read_end(data[start:])
        flag = parameters.get("linear_tree", "0")
        #: Whether leaves are linear functions.
        self.is_linear = flag == "1" or any(tree.is_linear for tree in self._trees)
        self.categorical: set[int] = set()
        self.cuts = self._cuts()
        #: By feature, the categories in the order of their codes; None where that is not known.
        self.categories: dict[int, list[Any] | None] = {}
        self._read_categories(parameters.get("categorical_feature", ""), infos)

    def _read_end(self, rest: bytes) -> dict[str, str]:
        """The parameters of the training, after the end is seen to be there."""
        if not rest.startswith((b"end of trees\n", b"\nfeature importances:\n")):
            raise ValueError("the end of the trees is missing")
        lines = rest.decode().rstrip().split("\n")
        self._pandas = None
        if lines[-1].startswith("pandas_categorical:"):
            import json

            self._pandas = json.loads(lines[-1].removeprefix("pandas_categorical:"))
        elif lines[-1] not in ("end of parameters", "end of parser"):
            raise ValueError("its last lines are missing")
        return dict(
            line[1:-1].split(": ", 1)
            for line in lines
            if line.startswith("[") and line.endswith("]") and ": " in line
        )

    def _read_categories(self, declared: str, infos: list[str]) -> None:
        """Which feature each of the data frame's lists of categories belongs to.

        The file has the lists in the order of the columns and not their places. They are those of
        the categorical features, except where a column was ordered or other features were declared
        categorical beside: then it is not known which is whose.
        """
        if not self._pandas:
            return
        places = [int(part) for part in declared.split(",") if part.strip().isdigit()]
        if not declared:
            places = [at for at, info in enumerate(infos) if ":" in info and info[0] != "["]
        lists = self._pandas
        known = len(places) == len(lists) and all(
            _codes_end(infos[at]) <= len(values) for at, values in zip(places, lists, strict=True)
        )
        for place, at in enumerate(sorted(places) if known else range(self.width)):
            self.categories[at] = list(lists[place]) if known else None

    @property
    def link(self) -> str:
        """How the margin becomes the value; empty where it is none of the usual ways."""
        for option in self._options:
            name, _, value = option.partition(":")
            if option == "sqrt" or (name == "sigmoid" and float(value) != 1.0):
                return ""
        return _LINKS.get(self.objective, "")

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can be asked of the library, which has no contributions for linear leaves."""
        return ("value", "margin") if self.is_linear else KINDS

    def divisor(self, trees: int) -> int:
        """What the sum of the first ``trees`` rounds is divided by; all where 0."""
        return (trees or self.rounds) if self._average else 1

    def _cuts(self) -> list[array[float]]:
        """Each feature's split points, ascending: a value below goes left, any other right."""
        found: list[set[float]] = [set() for _ in range(self.width)]
        for tree in self._trees:
            nodes = zip(tree.features, tree.thresholds, tree.decisions, strict=True)
            for feature, threshold, decision in nodes:
                if decision & _CATEGORICAL:
                    self.categorical.add(feature)
                    continue
                found[feature].add(threshold)
                if _MISSING[decision >> 2] == MISSING_IS_ZERO_OR_NAN:
                    found[feature].update((_ZERO, nextafter(-_ZERO, -1.0)))
        return [array("d", sorted(nextafter(cut, inf) for cut in cuts)) for cuts in found]

    def category_names(self, feature: int) -> list[str]:
        """The categories of a feature as text, in the order of their codes."""
        return [str(value) for value in self.categories[feature] or ()]

    def code(self, feature: int, text: str) -> float:
        """The code of a category; NaN, which is missing, for one that the file does not know.

        Raises:
            ModelRefusedError: when the file's lists of categories cannot be told apart.
        """
        categories = self.categories[feature]
        if categories is None:
            raise ModelRefusedError(
                "the file has categories and does not say of which features: some columns were"
                " ordered, or more features were declared categorical",
                "Record the codes that the model was given.",
            )
        for code, value in enumerate(categories):
            if value == text or (not isinstance(value, str) and _is_number(text, value)):
                return float(code)
        return nan

    def ensemble(self, trees: int) -> Trees:
        """The model in general terms, of its first ``trees`` rounds; all where 0.

        Raises:
            ModelRefusedError: when leaves are linear functions, or trees damaged.
        """
        if self.is_linear:
            raise ModelRefusedError("its leaves are linear functions, not numbers")
        found = Trees([0.0] * self.outputs)
        try:
            count = (trees or self.rounds) * self.outputs
            for at, tree in enumerate(self._trees[:count]):
                tree.add_to(found, at % self.outputs, self.divisor(trees))
        except (KeyError, ValueError, IndexError) as error:
            raise ModelRefusedError(f"its trees are damaged: {error}") from error
        return found


class _Tree:
    """One tree as the file has it; leaves are counted from -1 down."""

    def __init__(self, fields: dict[str, str], width: int) -> None:
        self._fields = fields
        self._leaves = int(fields["num_leaves"])
        self.is_linear = fields.get("is_linear", "0") == "1"
        inner = max(self._leaves - 1, 0)
        self._check("leaf_value", self._leaves)
        for name in ("left_child", "right_child"):
            self._check(name, inner)
        self.features = list(map(int, fields["split_feature"].split()))
        self.thresholds = list(map(float, fields["threshold"].split()))
        self.decisions = list(map(int, fields["decision_type"].split()))
        for values in (self.features, self.thresholds, self.decisions):
            if len(values) != inner:
                raise ValueError(f"{len(values)} splits of {inner} are there")
        for values, end in ((self.features, width), (self.decisions, len(_MISSING) << 2)):
            if values and not (min(values) >= 0 and max(values) < end):
                raise ValueError("a split is of no known feature or kind")
        #: Whether some split is over sets of categories.
        self.has_sets = any(map(_CATEGORICAL.__and__, self.decisions))

    def _check(self, name: str, expected: int) -> None:
        text = self._fields[name]
        found = text.count(" ") + 1 if text else 0
        if found != expected:
            raise ValueError(f"{found} of {expected} are there of {name}")

    def add_to(self, found: Trees, output: int, divisor: int) -> None:
        """Adds the tree, whose inner nodes stand first, to ``found``."""
        start = found.start(output)
        inner = len(self.features)
        lefts, rights = self._integers("left_child"), self._integers("right_child")
        if sorted((*lefts, *rights)) != [*range(-self._leaves, 0), *range(1, inner)][: 2 * inner]:
            raise ValueError("a node's children are not its own")
        sets = self._sets()

        # Inner nodes stand first, then the leaves.
        leaves, kinds = self._leaves, bytes(self.decisions)
        first = start + inner - 1
        thresholds = self.thresholds
        if self.has_sets:
            thresholds = thresholds[:]
            for at, kind in enumerate(kinds):
                if kind & _CATEGORICAL:
                    found.sets[start + at] = sets[int(thresholds[at])]
                    thresholds[at] = 0.0
        values = array("d", map(float, self._fields["leaf_value"].split()))
        if divisor != 1:
            values = array("d", [value / divisor for value in values])
        none, zero = array("i", [-1]) * leaves, array("d", [0.0])
        left, right = (
            array("i", [start + child if child >= 0 else first - child for child in children])
            for children in (lefts, rights)
        )
        found.nodes(
            array("i", self.features) + none,
            array("d", thresholds) + zero * leaves,
            left + none,
            right + none,
            kinds.translate(_TO_LEFT) + bytes(leaves),
            kinds.translate(_TO_MISSING) + bytes(leaves),
            zero * inner + values,
        )

    def _sets(self) -> list[list[int]]:
        """The categories of each categorical node, which the file has as bits of 32-bit words."""
        if self._fields["num_cat"] == "0":
            return []
        ends, words = self._integers("cat_boundaries"), self._integers("cat_threshold")
        return [
            [
                32 * at + bit
                for at, word in enumerate(words[begin:end])
                for bit in range(32)
                if word >> bit & 1
            ]
            for begin, end in pairwise(ends)
        ]

    def _integers(self, name: str) -> list[int]:
        return list(map(int, self._fields[name].split()))


def _fields(block: bytes) -> dict[str, str]:
    lines = block.decode().split("\n")
    return {name: value for name, _, value in (line.partition("=") for line in lines) if name}


def _codes_end(info: str) -> int:
    """One more than the highest code that a categorical feature had in the training."""
    if info == "none":
        return 0
    return max(int(code) for code in info.split(":")) + 1


def _is_number(text: str, value: float) -> bool:
    """Whether ``text`` says ``value``, however it was written: ``1`` and ``1.0``, ``True``."""
    if isinstance(value, bool):
        return text.lower() in (("true", "1", "1.0") if value else ("false", "0", "0.0"))
    try:
        number = float(text)
    except ValueError:
        return False
    return isfinite(number) and number == value
