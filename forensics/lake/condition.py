"""A condition on decisions, as ``find --where`` takes it, evaluated on batches of a data file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from forensics.errors import UsageError
from forensics.lake import sql
from forensics.lake.batches import Batch
from forensics.lake.expressions import check
from forensics.lake.find import COLUMNS, FIELDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SQL_TYPES = {
    "float64": "DOUBLE",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "list<float64>": "DOUBLE[]",
}
_ENVIRONMENT = "coalesce(environment, 'production')"


class Condition:
    """A checked condition.

    Args:
        where: an SQL expression over fields of the record and features.
        types: the decision point's features, with their types.
        connection: where it is evaluated.

    Raises:
        UsageError: when it is malformed, or uses a name that there is not.
    """

    def __init__(self, where: str, types: Mapping[str, str], connection: sql.Connection) -> None:
        self._where = where
        self._connection = connection
        self._types = types
        fields = {**COLUMNS, **FIELDS}
        names = {*fields, *types, *(f"features.{name}" for name in types)}
        self._columns = {}
        for name in sorted(check(where, names, connection=connection)):
            feature = name if name in types else name.removeprefix("features.")
            path = fields.get(name, f"features.{feature}")
            self._columns[name] = "environment" if path == _ENVIRONMENT else path

    def holds(self, batch: Batch) -> NDArray[np.bool_]:
        """Whether the condition is true, by row; loads the columns that it needs.

        Raises:
            UsageError: when it cannot be evaluated on what it meets.
            IntegrityError: when the file is not what was written.
        """
        paths = list(dict.fromkeys(self._columns.values()))
        batch.load(paths)
        table = batch.columns(paths)
        inner = ['"#"']
        groups: list[str] = []
        for name, path in self._columns.items():
            column = self._column(path, batch)
            if name in COLUMNS or name in FIELDS or not name.startswith("features."):
                inner.append(f"{column} AS {sql.identifier(name)}")
            else:
                field = sql.identifier(name.removeprefix("features."))
                groups.append(f"{field} := {column}")
        if groups:
            inner.append(f"struct_pack({', '.join(groups)}) AS features")
        row = table.append_column("#", batch.places)
        view = f"condition_{id(self)}"
        sql.with_tables(self._connection).register(view, row)
        try:
            found = self._connection.execute(
                f"SELECT coalesce(({self._where}\n), false)::BOOLEAN AS holds "
                f"FROM (SELECT {', '.join(inner)} FROM {view})"
            ).fetchnumpy()
        except sql.ExpressionError as error:
            what = f"{self._where} cannot be evaluated."
            raise UsageError(what, str(error).splitlines()[0]) from error
        finally:
            self._connection.unregister(view)
        return np.asarray(found["holds"], np.bool_)

    def _column(self, path: str, batch: Batch) -> str:
        name = path.removeprefix("features.")
        if path == "environment":
            return "coalesce(environment, 'production')"
        if path != name and name not in batch.features:
            return f"NULL::{_SQL_TYPES.get(self._types[name], 'VARCHAR')}"
        return sql.identifier(path)
