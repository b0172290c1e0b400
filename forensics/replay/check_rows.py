"""Rows from outside, in CSV or as tests of ONNX, as a model takes them."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from forensics.errors import UsageError
from forensics.replay.client import ModelDescription
from forensics.replay.loaded import as_text
from forensics.replay.tensors import Tensor, read_folder

#: Texts of a CSV file that stand for a missing value.
MISSING = ("", "N/A", "NA", "NaN", "nan", "null")


class Table(NamedTuple):
    """Columns by name: texts as a CSV file has them, or numbers."""

    columns: Mapping[str, Sequence[Any]]
    rows: int


def feature_names(description: ModelDescription) -> tuple[str, ...]:
    """The model's features in its order, ``f0`` and so on where the file names none."""
    return description.features or tuple(f"f{at}" for at in range(description.width))


def read_csv(path: Path) -> Table:
    """A CSV file with a header; columns are divided by commas, semicolons or tabs.

    Raises:
        UsageError: when it cannot be read, or is no table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            divider = max(",;\t", key=head.count)
            lines = list(csv.reader(file, delimiter=divider))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read.", f"{error}.") from error
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise UsageError(f"{path} is empty.", "", "Give a CSV file with a header.")
    header, *body = lines
    if len(header) == 1:  # an empty value of an only column is an empty line
        body = [line or [""] for line in body]
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise UsageError(f"{path} has two columns called {twice[0]!r}.")
    for number, line in enumerate(body, 1):
        if len(line) != len(header):
            raise UsageError(
                f"{path} is no table.",
                f"Row {number:,} has {len(line)} values, the header {len(header)}.",
            )
    columns = zip(*body, strict=True) if body else [()] * len(header)
    return Table(dict(zip(header, columns, strict=True)), len(body))


def by_position(given: Table, description: ModelDescription) -> bool:
    """Whether columns are taken in their order, since the model's file names no features."""
    if description.features or len(given.columns) != description.width:
        return False
    return not set(feature_names(description)) <= given.columns.keys()


def encode(
    given: Table, description: ModelDescription, missing: Collection[str] = MISSING
) -> tuple[array[float], dict[int, list[str]], tuple[str, ...]]:
    """Rows as the model takes them, the texts they refer to, and why they cannot be taken.

    Where the file names no features, columns that are not called ``f0`` and so on are taken in
    their order if there are as many.
    """
    names = feature_names(description)
    columns = [given.columns.get(name) for name in names]
    if by_position(given, description):
        columns = list(given.columns.values())
    absent = [name for name, column in zip(names, columns, strict=True) if column is None]
    if absent:
        return array(description.dtype), {}, (f"features not in the rows: {', '.join(absent)}",)
    width = len(names)
    matrix: array[float] = array(description.dtype, [0.0]) * (width * given.rows)
    texts: dict[int, list[str]] = {}
    unfit = []
    for at, column in enumerate(columns):
        assert column is not None
        try:
            if at in description.texts:
                known = description.categories.get(at, ())
                values, texts[at] = _codes(column, known, missing, description.dtype)
            else:
                values = _numbers(column, missing, description.dtype)
        except _UnfitError as error:
            unfit.append(f"feature {names[at]}: {error}")
            continue
        matrix[at::width] = values
    return matrix, texts, tuple(unfit)


class _UnfitError(ValueError):
    """A value that the model cannot take; says which, in which row."""


def _numbers(column: Sequence[Any], missing: Collection[str], dtype: str) -> array[float]:
    try:
        return array(dtype, column if _is_plain(column) else map(float, column))
    except (ValueError, OverflowError):
        return array(dtype, [_number(cell, row, missing) for row, cell in enumerate(column, 1)])


def _is_plain(column: Sequence[Any]) -> bool:
    return not column or not isinstance(column[0], str)


def _number(cell: str, row: int, missing: Collection[str]) -> float:
    text = cell.strip()
    if text in missing:
        return float("nan")
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    try:
        return float(text)
    except ValueError:
        raise _UnfitError(f"{cell[:40]!r} in row {row:,} is no number") from None


def _codes(
    column: Sequence[Any], known: Sequence[str], missing: Collection[str], dtype: str
) -> tuple[array[float], list[str]]:
    """A column of categories as places in a list of texts."""
    places: dict[str, float] = {}
    texts: list[str] = []
    for cell in dict.fromkeys(column):
        if not isinstance(cell, str):
            cell = as_text(cell)
        elif cell.strip() in missing:
            places[cell] = float("nan")
            continue
        places[cell] = len(texts)
        texts.append(_category(cell, known))
    values = (cell if isinstance(cell, str) else as_text(cell) for cell in column)
    return array(dtype, [places[cell] for cell in values]), texts


def _category(cell: str, known: Sequence[str]) -> str:
    """A cell as the model may know it: 3 for 3.0, true for TRUE."""
    if cell in known or not known:
        return cell
    if cell.lower() in known:
        return cell.lower()
    try:
        number = as_text(float(cell))
    except ValueError:
        return cell
    return number if number in known else cell


def read_rows(path: Path, description: ModelDescription) -> tuple[Table, Table | None]:
    """Rows, and what is expected of them where a test of ONNX says so.

    Args:
        path: a CSV file, or a folder with a test as ONNX models have them.
        description: of the model that takes them.

    Raises:
        UsageError: when they cannot be read, or do not fit the model.
    """
    if not path.is_dir():
        return read_csv(path), None
    inputs, outputs = read_folder(path)
    names, width = feature_names(description), description.width
    count = inputs[0].rows
    if len(inputs) == 1 and len(inputs[0].values) == count * width:
        values = inputs[0].values
        columns = {name: values[at::width] for at, name in enumerate(names)}
    elif len(inputs) == width and all(len(each.values) == count for each in inputs):
        columns = {name: each.values for name, each in zip(names, inputs, strict=True)}
    else:
        shapes = ", ".join(f"{each.name} {list(each.shape)}" for each in inputs)
        raise UsageError(
            f"{path} does not fit the model.", f"It has {shapes}; the model takes {width} features."
        )
    return Table(columns, count), _expected(outputs, count, description)


def _expected(outputs: Sequence[Tensor], count: int, description: ModelDescription) -> Table | None:
    """The tensor that has as many numbers a row as the model answers."""
    sizes = [description.outputs * count]
    if description.outputs == 1 and len(description.classes) == 2:
        sizes.insert(0, 2 * count)
    for size in sizes:
        fitting = [
            each.values for each in outputs
            if len(each.values) == size and not isinstance(each.values[0], str)
        ]  # fmt: skip
        if fitting:
            values, width = fitting[-1], size // count  # a label stands before its probabilities
            if width == description.outputs:
                named = {f"output({at})": values[at::width] for at in range(width)}
            else:
                named = {"output(0)": values[1::2]}
            return Table(named, count)
    return None
