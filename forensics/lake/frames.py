"""Rows of named values, to which checked SQL expressions add further ones.

Decision logic is evaluated on a frame: of one decision with some values varied, or of a table of
many decisions. Both run the same SQL, so that one row and a million mean the same. In expressions a
value is reached by its plain name, and as ``features.x`` or ``config.x`` where names meet.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from forensics.errors import ReplayError
from forensics.lake.effort import limit_effort
from forensics.lake.sql import Connection, SqlError, identifier, limited, with_tables
from forensics.records.decision import ExactNumber

if TYPE_CHECKING:
    import pyarrow as pa

#: A name that an expression is stored under, and the expression.
Named = tuple[str, str]
GROUPS = ("features", "config")
#: How long one evaluation may take: a rule that never ends must not stop everything else.
_LIMIT_S = 20.0


class Frame(Protocol):
    """Rows that expressions can be evaluated on."""

    count: int

    def evaluate(
        self, expressions: Sequence[Named], wanted: Iterable[str], uses: Iterable[str]
    ) -> None:
        """Add a column for each name in ``wanted``.

        Args:
            expressions: in order; each may use the names before it.
            wanted: which of them are kept.
            uses: the features, values of the configuration and columns that they use, by the names
                that they use; see :func:`forensics.lake.expressions.check`.

        Raises:
            ReplayError: when DuckDB cannot evaluate them on these values.
        """

    def put(self, name: str, values: Any, mask: str | None = None) -> None:
        """Add a column: a sequence of ``count`` values, None where there is none.

        Only where the column ``mask``, if named, is true do they count.
        """

    def column(self, name: str) -> Any:
        """A column that was added: a list, or an Arrow array in a frame of many decisions."""

    def feature(self, name: str) -> Any:
        """A feature: its one value, or a sequence of values where it differs by row."""

    def rows(self) -> list[dict[str, Any]]:
        """Each row as a mapping: features, values of the configuration and columns by name.

        Features and configuration stand in groups of their own too.
        """


class RowFrame:
    """One decision ``count`` times, with some of its features varied.

    Args:
        connection: where expressions run.
        features: by name, one value, or a list or array with one for each row.
        config: values of the configuration by name.
        count: number of rows.
    """

    def __init__(
        self,
        connection: Connection,
        features: Mapping[str, Any],
        config: Mapping[str, Any],
        count: int = 1,
    ) -> None:
        self.count = count
        self._connection = connection
        self._features = features
        self._config = config
        self._columns: dict[str, Sequence[Any]] = {}

    def put(self, name: str, values: Sequence[Any], mask: str | None = None) -> None:
        """Add a column of ``count`` values; see :class:`Frame`."""
        if mask is not None:
            kept = zip(values, self._columns[mask], strict=True)
            values = [value if there else None for value, there in kept]
        self._columns[name] = values

    def column(self, name: str) -> Sequence[Any]:
        """A column that was added."""
        return self._columns[name]

    def feature(self, name: str) -> Any:
        """A feature's value, or its list or array of values."""
        return self._features.get(name)

    def rows(self) -> list[dict[str, Any]]:
        """Each row as a mapping; see :class:`Frame`."""
        varied = {n: v for n, v in self._features.items() if isinstance(v, (list, array))}
        config = dict(self._config)
        found = []
        for at in range(self.count):
            features = {**self._features, **{name: v[at] for name, v in varied.items()}}
            steps = {n: column[at] for n, column in self._columns.items() if "#" not in n}
            groups = {"features": features, "config": config}
            found.append({**config, **features, **groups, **steps})
        return found

    def evaluate(
        self, expressions: Sequence[Named], wanted: Iterable[str], uses: Iterable[str]
    ) -> None:
        """Add the wanted columns; see :class:`Frame`."""
        names = list(wanted)
        if not names:
            return
        parameters: list[Any] = []
        values = self._values(uses)
        inner = [f'unnest(range({self.count})) AS "#"']
        for at, value in enumerate(values.values()):
            inner.append(f"{_placeholder(value, parameters)} AS c{at}")
        source = _named(f"SELECT {', '.join(inner)}", values)
        query = _chained(source, expressions, names)
        try:
            limit_effort(self._connection, expressions, values, self.count)
            with limited(self._connection, _LIMIT_S, "Evaluating the rules"):
                rows = self._connection.execute(query, parameters).fetchall()
        except SqlError as error:
            raise _failed(error) from error
        for name, column in zip(names, zip(*rows, strict=True), strict=True):
            self._columns[name] = list(column)

    def _values(self, uses: Iterable[str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in uses:
            group, _, field = name.partition(".")
            if name in self._columns:
                values[name] = self._columns[name]
            elif name in self._features:
                values[name] = self._features[name]
            elif name in self._config:
                values[name] = self._config[name]
            elif group in GROUPS and field:
                values[name] = (self._features if group == "features" else self._config)[field]
        return values


class TableFrame:
    """Many decisions of one decision point, as an Arrow table with a column for each feature.

    Args:
        connection: where expressions run.
        features: a column for each feature that is used.
        config: values of the configuration by name, the same for all rows.
    """

    def __init__(
        self,
        connection: Connection,
        features: pa.Table,
        config: Mapping[str, Any],
    ) -> None:
        self.count = features.num_rows
        self._connection = connection
        self._features = features
        self._config = config
        self._columns: dict[str, Any] = {}

    def put(self, name: str, values: Any, mask: str | None = None) -> None:
        """Add a column: an Arrow or numpy array, or a sequence; see :class:`Frame`.

        Float32 becomes float64, as a float32 is a double in a frame of one decision: SQL would
        round a constant to float32 before it compares.
        """
        import pyarrow as pa

        if isinstance(values, (pa.Array, pa.ChunkedArray)):
            column = values
        elif hasattr(values, "dtype"):
            from forensics.lake.arrow import column as to_arrow

            column = to_arrow(values)
        else:
            column = pa.array(values)
        if column.type == pa.float32():
            column = column.cast(pa.float64())
        if mask is not None:
            import pyarrow.compute as pc

            column = pc.if_else(pc.fill_null(self._columns[mask], False), column, None)
        self._columns[name] = column

    def column(self, name: str) -> Any:
        """A column that was added, as an Arrow array."""
        return self._columns[name]

    def feature(self, name: str) -> Any:
        """A feature as an Arrow array."""
        return self._features.column(name)

    def rows(self) -> list[dict[str, Any]]:
        """Each row as a mapping; see :class:`Frame`."""
        config = dict(self._config)
        steps = {n: c.to_pylist() for n, c in self._columns.items() if "#" not in n}
        return [
            {
                **config,
                **features,
                "features": features,
                "config": config,
                **{name: values[at] for name, values in steps.items()},
            }
            for at, features in enumerate(self._features.to_pylist())
        ]

    def evaluate(
        self, expressions: Sequence[Named], wanted: Iterable[str], uses: Iterable[str]
    ) -> None:
        """Add the wanted columns; see :class:`Frame`."""
        import pyarrow as pa

        names = list(wanted)
        if not names:
            return
        parameters: list[Any] = []
        columns: dict[str, Any] = {}
        inner, given = ['"#"'], dict[str, Any]()
        for name in uses:
            group, _, field = name.partition(".")
            grouped = group in GROUPS and bool(field) and name not in self._columns
            plain = field if grouped else name
            at = len(given)
            if name in self._columns:
                columns[f"c{at}"] = given[name] = self._columns[name]
                inner.append(f"c{at}")
            elif (group != "config" or not grouped) and plain in self._features.column_names:
                columns[f"c{at}"] = given[name] = self._features.column(plain)
                inner.append(f"c{at}")
            elif plain in self._config:
                given[name] = self._config[plain]
                inner.append(f"{_placeholder(given[name], parameters)} AS c{at}")
        columns["#"] = pa.nulls(self.count)
        table = pa.table(columns)
        view = f"frame_{id(self)}"
        with_tables(self._connection).register(view, table)
        try:
            source = f"SELECT {', '.join(inner)} FROM {view}"
            query = _chained(_named(source, given), expressions, names)
            limit_effort(self._connection, expressions, given, self.count)
            with limited(self._connection, _LIMIT_S, "Evaluating the rules"):
                found = self._connection.sql(query, params=parameters).to_arrow_table()
        except SqlError as error:
            raise _failed(error) from error
        finally:
            self._connection.unregister(view)
        for name in names:
            self._columns[name] = found.column(name)


def _named(source: str, names: Iterable[str]) -> str:
    """A query that gives ``source``'s columns c0, c1, … their names, in groups where they have."""
    outer, groups = ['"#"'], dict[str, list[str]]()
    for at, name in enumerate(names):
        group, dot, field = name.partition(".")
        if dot and group in GROUPS:
            groups.setdefault(group, []).append(f"{identifier(field)} := c{at}")
        else:
            outer.append(f"c{at} AS {identifier(name)}")
    outer.extend(f"struct_pack({', '.join(of)}) AS {group}" for group, of in groups.items())
    return f"SELECT {', '.join(outer)} FROM ({source})"


def _chained(source: str, expressions: Sequence[Named], wanted: Sequence[str]) -> str:
    """A query in which each expression sees the ones before it."""
    for name, expression in expressions:
        source = f"SELECT *, ({expression}\n) AS {identifier(name)} FROM ({source})"
    return f"SELECT {', '.join(map(identifier, wanted))} FROM ({source})"


def _failed(error: SqlError) -> ReplayError:
    return ReplayError("The rules cannot be evaluated on these values.", str(error).splitlines()[0])


def _placeholder(value: Any, parameters: list[Any]) -> str:
    """SQL for ``value``, with what it binds appended to ``parameters``."""
    if value is None:
        return "NULL"
    if isinstance(value, array):
        value = value.tolist()
    if isinstance(value, tuple):  # one value that is a list, where a list is a value for each row
        parameters.append(list(value))
        return "?::DOUBLE[]"
    if isinstance(value, list):
        if all(item is None for item in value):
            return "NULL"  # which has any type
        parameters.append(value)
        return f"unnest(?::{_element(value)}[])"
    if isinstance(value, ExactNumber):
        parameters.append(str(value))
        _, _, fraction = value.text.partition(".")
        plain = value.text.lstrip("-").replace(".", "", 1)
        if plain.isdigit() and len(plain) <= 38:
            return f"?::DECIMAL(38, {len(fraction)})"
        return "?::DOUBLE"
    parameters.append(value)
    if isinstance(value, bool):
        return "?::BOOLEAN"
    if isinstance(value, int):
        return "?::BIGINT" if -(2**63) <= value < 2**63 else "?::HUGEINT"
    if isinstance(value, float):
        return "?::DOUBLE"
    if isinstance(value, str):
        return "?::VARCHAR"
    if isinstance(value, datetime):
        return "?::TIMESTAMPTZ" if value.tzinfo else "?::TIMESTAMP"
    return "?"


def _element(values: list[Any]) -> str:
    """The SQL type of a column of values."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {str}:
        return "VARCHAR"
    if kinds == {bool}:
        return "BOOLEAN"
    return "BIGINT" if kinds == {int} else "DOUBLE"
