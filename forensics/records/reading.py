"""How received bytes become a record: which foreign names stand for which fields.

Kept with each record that needed it, so that the bytes can be read the same way in years.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from forensics.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a source whose fields have other names.

    ``paths`` maps a field of the contract to a dotted path in the source's records; ``constants``
    gives a field the same value in every record; ``from_columns`` says that the record was a row of
    columns, whose fields of any JSON shape are texts with JSON in them.
    """

    paths: tuple[tuple[str, str], ...] = ()
    constants: tuple[tuple[str, str], ...] = ()
    from_columns: bool = False

    def to_text(self) -> str | None:
        """As kept with a record; None where bytes are the contract's own form."""
        if self == NO_OPTIONS:
            return None
        form = {"paths": self.paths, "constants": self.constants, "columns": self.from_columns}
        return json.dumps(form, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | None) -> Options:
        """What :meth:`to_text` wrote.

        Raises:
            IntegrityError: when it is something else.
        """
        if text is None:
            return NO_OPTIONS
        try:
            form = json.loads(text)
            paths, constants = (
                tuple((str(a), str(b)) for a, b in form[name]) for name in ("paths", "constants")
            )
            return cls(paths, constants, bool(form["columns"]))
        except (ValueError, LookupError, TypeError) as error:
            raise IntegrityError(
                "How a record was read is not what the lake wrote.",
                "",
                "Restore it from a backup; forensics verify says what is concerned.",
            ) from error

    def renamed(self, record: dict[str, Any]) -> dict[str, Any]:
        """``record`` under the contract's names; the very same where none is renamed."""
        if not self.paths and not self.constants:
            return record
        result = dict(record)
        for field, path in self.paths:
            result.pop(path.split(".")[0], None)
            _put(result, field, at_path(record, path))
        for field, constant in self.constants:
            _put(result, field, constant)
        return result


def at_path(record: dict[str, Any], path: str) -> Any:
    """What stands at ``path``, a key or dotted keys; None where nothing does."""
    value: Any = record.get(path)
    if value is None:
        value = record
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _put(record: dict[str, Any], field: str, value: Any) -> None:
    *groups, last = field.split(".")
    for group in groups:
        inner = record.get(group)
        record[group] = record = dict(inner) if isinstance(inner, dict) else {}
    record[last] = value


NO_OPTIONS = Options()
