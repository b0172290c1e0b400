"""A question that a command answers, kept so that it can be asked again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Argument: TypeAlias = str | int | float | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A command by its name, with its arguments by the names of its options.

    ``Question("trace", {"id": "7f3a-c1"})``, ``Question("find", {"where": "score > 0.5"})``.
    """

    command: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)
