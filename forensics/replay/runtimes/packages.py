"""What the runtimes share that need a Python package."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from typing import Any


def as_matrix(rows: array[float], count: int) -> Any:
    """The same numbers as a numpy matrix of ``count`` rows; nothing is copied."""
    import numpy

    return numpy.frombuffer(rows, dtype=rows.typecode).reshape(count, -1)


def release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: ``1.2.10rc1`` is (1, 2, 10)."""
    found = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
        if digits != part:
            break
    return tuple(found)


def older(runtime: str, library: str, file: str) -> str:
    """Why a file of version ``file`` is refused by version ``runtime`` of ``library``."""
    return (
        f"runtime older than the model: the file was written by {library} {file}, here is"
        f" {library} {runtime}"
    )


def brief(error: object) -> str:
    """The first line of an error, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
