"""Records as HTML for notebooks; everything that came from a record is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from forensics.records.jsontext import dumps

if TYPE_CHECKING:
    from forensics.reconstruct.reconstruction import Reconstruction


def table_html(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table with one line for each of ``rows``, which share their keys."""
    if not rows:
        return "<p>nothing</p>"
    head = "".join(f"<th>{escape(str(name))}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def reconstruction_html(reconstruction: Reconstruction) -> str:
    """The head of a reconstruction, its findings and its features."""
    facts = reconstruction.to_dict()
    decision, replay = facts["decision"], facts["replay"]
    head = (
        f"<h3>{_cell(decision['outcome'])} · {_cell(decision['decision_point'])} · "
        f"{_cell(facts['request_id'])}</h3><p>{_cell(decision['occurred_at'])} · score "
        f"{_cell(decision['score'])} · replay {_cell(replay['verdict'])}</p>"
    )
    return head + table_html(facts["findings"]) + table_html(facts["features"])


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else dumps(value).strip('"')
    return escape(text)
