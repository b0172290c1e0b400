"""How often something that goes on is shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

_TELL_EVERY_S = 0.2
_T = TypeVar("_T")


def now_and_then(found: Iterator[_T]) -> Iterator[_T]:
    """What comes, a few times a second, and always the first and the last."""
    told, latest, waiting = 0.0, None, False
    for latest in found:
        waiting = time.monotonic() - told < _TELL_EVERY_S
        if not waiting:
            told = time.monotonic()
            yield latest
    if waiting and latest is not None:
        yield latest
