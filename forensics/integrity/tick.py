"""Ticks: entries that say only that the log was as it was at a time, for when nothing else comes.

Between two ticks nothing was sealed; without them silence and a dead writer look the same.
"""

from __future__ import annotations

from forensics.errors import IntegrityError
from forensics.integrity.manifest import iso, micros

_SUFFIX = "/tick"


def text(origin: str, at_us: int) -> str:
    """The text that is signed, in the log named ``origin``."""
    return f"{origin}{_SUFFIX}\nat {iso(at_us)}\n"


def parse(origin: str, body: str) -> int | None:
    """The time of the tick that ``body`` writes; None where it is something else.

    Raises:
        IntegrityError: when it is meant as one and cannot be read.
    """
    head, _, rest = body.partition("\n")
    if head != origin + _SUFFIX:
        return None
    try:
        at_us = micros(rest.removeprefix("at ").rstrip("\n"))
        if text(origin, at_us) != body:
            raise ValueError
    except ValueError:
        raise IntegrityError("A tick of the log cannot be read.") from None
    return at_us
