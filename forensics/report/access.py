"""Looks at decisions on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forensics.report.spans import Line, fitted, span
from forensics.report.text import table

_IDS_MAX = 3


def screen(looks: Sequence[Mapping[str, Any]], width: int) -> list[Line]:
    """One line a look, newest first, as lines of at most ``width`` characters."""
    rows: list[tuple[str, ...]] = [("when", "who", "how", "case", "reason", "decisions")]
    for look in looks:
        ids = list(look["decision_ids"])
        more = (look["decisions"] or len(ids)) - min(len(ids), _IDS_MAX)
        named = ", ".join(ids[:_IDS_MAX]) + (f" and {more:,} more" if ids and more > 0 else "")
        role = f" ({look['role']})" if look["role"] else ""
        rows.append(
            (
                f"{look['occurred_at']:%Y-%m-%d %H:%M:%S}",
                f"{look['actor']}{role}",
                str(look["how"]),
                str(look["case"] or ""),
                str(look["reason"] or ""),
                named or f"{look['decisions'] or 0:,}",
            )
        )
    lines = table(rows, width)
    unmasked = sum(bool(look["unmasked"]) for look in looks)
    if unmasked:
        lines += [[], [span(f"{unmasked:,} of them saw personal fields in the clear: --json")]]
    return [fitted(line, width) for line in lines]
