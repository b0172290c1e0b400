"""Facts as lines of a width."""

from __future__ import annotations

from forensics.report.spans import span, wrapped

_TEXT_MAX = 2_000


def flowed(text: str, width: int) -> list[str]:
    """Text made inert, on lines of a width; words that are longer are broken."""
    width = max(width, 8)
    return [
        line[at : at + width]
        for line in wrapped(span(text, limit=_TEXT_MAX).text, width)
        for at in range(0, max(len(line), 1), width)
    ]
