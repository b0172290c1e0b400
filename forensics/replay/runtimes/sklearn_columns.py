"""Which features reach which columns within a scikit-learn pipeline, and which of them are text."""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

#: Steps that answer one column for each that they are given, made from that one alone.
_ONE_TO_ONE = (
    "Binarizer", "FunctionTransformer", "MaxAbsScaler", "MinMaxScaler", "OrdinalEncoder",
    "PowerTransformer", "QuantileTransformer", "RobustScaler", "StandardScaler",
)  # fmt: skip
#: Steps that leave some columns out.
_SELECTING = ("SelectFromModel", "VarianceThreshold")
_ENCODERS = ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")


class Columns(NamedTuple):
    """What a pipeline does with the features of a row, by their positions.

    Attributes:
        origins: by column that the last estimator sees, the only feature that it is made of; None
            where one is made of several, or that is not known here.
        texts: features that are categories with names, and what stands for a missing one.
    """

    origins: tuple[int, ...] | None
    texts: dict[int, float | None]


def trace(estimator: Any) -> Columns:
    """How the features of a fitted estimator reach its last step."""
    texts: dict[int, float | None] = {}
    origins: list[int] | None = list(range(estimator.n_features_in_))
    while type(estimator).__name__ == "Pipeline":
        for _, step in estimator.steps[:-1]:
            origins = _after(step, origins, texts)
        estimator = estimator.steps[-1][1]
    return Columns(None if origins is None else tuple(origins), texts)


def last(estimator: Any) -> Any:
    """The estimator that answers: the last step of a pipeline, however deep, or itself."""
    while type(estimator).__name__ == "Pipeline":
        estimator = estimator.steps[-1][1]
    return estimator


def _after(step: Any, inputs: list[int] | None, texts: dict[int, float | None]) -> Any:
    """Origins of the columns that ``step`` answers, given those of its inputs."""
    kind = type(step).__name__
    if inputs is None or step is None or kind == "str":  # passthrough, as old versions keep it
        return inputs
    if kind == "Pipeline":
        for _, part in step.steps:
            inputs = _after(part, inputs, texts)
        return inputs
    if kind == "ColumnTransformer":
        return _of_columns(step, inputs, texts)
    if kind in _ENCODERS:
        _learn(step, inputs, texts)
    if kind == "OneHotEncoder":
        return [at for at, count in zip(inputs, _hot(step), strict=True) for _ in range(count)]
    if kind == "SimpleImputer":
        return _imputed(step, inputs, texts)
    if kind in _SELECTING:
        return [at for at, kept in zip(inputs, step.get_support(), strict=True) if kept]
    if kind == "TargetEncoder":
        return inputs if getattr(step, "target_type_", "") != "multiclass" else None
    return inputs if kind in _ONE_TO_ONE else None


def _of_columns(step: Any, inputs: list[int], texts: dict[int, float | None]) -> list[int] | None:
    found: list[int] | None = []
    for _, part, columns in step.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        own = _after(part, [inputs[at] for at in _positions(step, columns)], texts)
        found = None if own is None or found is None else found + own
    return found


def _positions(step: Any, columns: Any) -> Sequence[int]:
    """Positions of the columns that a part of a ColumnTransformer is given."""
    width = step.n_features_in_
    if isinstance(columns, (str, int)):
        columns = [columns]
    if isinstance(columns, slice) and not any(
        isinstance(end, str) for end in (columns.start, columns.stop)
    ):
        return range(width)[columns]
    names = {name: at for at, name in enumerate(getattr(step, "feature_names_in_", ()))}
    if isinstance(columns, slice):  # of names, both ends included
        first = names[columns.start] if columns.start is not None else 0
        end = names[columns.stop] if columns.stop is not None else width - 1
        return range(first, end + 1)
    listed = list(columns)
    if listed and all(type(column).__name__ in ("bool", "bool_") for column in listed):
        return [at for at, taken in enumerate(listed) if taken]
    positions = (names[at] if isinstance(at, str) else int(at) for at in listed)
    return [at % width for at in positions]


def _hot(step: Any) -> list[int]:
    """Columns that a one-hot encoder makes of each feature."""
    counts = []
    infrequent = getattr(step, "infrequent_categories_", None) or [None] * len(step.categories_)
    for at, (names, rare) in enumerate(zip(step.categories_, infrequent, strict=True)):
        count = len(names) - (len(rare) - 1 if rare is not None else 0)
        dropped = step.drop_idx_ is not None and step.drop_idx_[at] is not None
        counts.append(count - dropped)
    return counts


def _imputed(step: Any, inputs: list[int], texts: dict[int, float | None]) -> list[int] | None:
    """An imputer leaves out columns of which training had no value, and may add flags."""
    filled = list(step.statistics_)
    missing = None if step.missing_values is None else float("nan")
    for at, value in zip(inputs, filled, strict=True):
        if isinstance(value, str):
            texts[at] = missing
    if step.add_indicator:
        return None
    if step.keep_empty_features or step.strategy == "constant":
        return inputs
    return [at for at, value in zip(inputs, filled, strict=True) if value == value]


def _learn(step: Any, inputs: list[int], texts: dict[int, float | None]) -> None:
    for at, names in zip(inputs, step.categories_, strict=True):
        if any(isinstance(name, str) for name in names):
            none = any(name is None for name in names)
            texts.setdefault(at, None if none else float("nan"))
