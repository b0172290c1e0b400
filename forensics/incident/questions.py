"""A question that a command answers, kept so that it can be asked again.

Its times are absolute: "two hours ago" would be another question tomorrow.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypeAlias

from forensics.errors import UsageError
from forensics.records.jsontext import time_text

Argument: TypeAlias = str | int | float | bool | tuple[str, ...]
_Kind = Literal["text", "time", "flag", "number", "texts"]

_WINDOW: dict[str, _Kind] = {"decision-point": "text", "since": "time", "until": "time"}
#: What stands in each command without an option's name, and how many texts it is.
POSITIONAL = {"trace": "id", "as-of": "time", "diff": "ids", "lineage": "node"}
#: By command: the kind of each argument, by the name of its option.
COMMANDS: dict[str, dict[str, _Kind]] = {
    "trace": {"id": "text", "no-replay": "flag", "counterfactuals": "number"},
    "find": {
        **_WINDOW, "subject": "text", "outcome": "text", "model-version": "text",
        "environment": "text", "where": "text", "limit": "number", "oldest": "flag",
        "features": "flag", "count": "flag",
    },
    "timeline": {**_WINDOW, "outcome": "text", "bins": "number"},
    "as-of": {"time": "time", "decision-point": "text", "known-by": "time"},
    "check": {**_WINDOW, "kind": "texts", "limit": "number", "replay": "flag"},
    "diff": {"ids": "texts"},
    "lineage": {
        "node": "text", "upstream": "flag", "downstream": "flag", "connected": "flag",
        "depth": "text", "as-of": "time", "known-by": "time", "all-time": "flag",
        "columns": "flag", "namespace": "text",
    },
}  # fmt: skip
_OTHER_NAMES = {"point": "decision-point", "kinds": "kind", "request-id": "id"}


@dataclass(frozen=True, slots=True)
class Question:
    """A command by its name, with its arguments by the names of its options.

    ``Question("trace", {"id": "7f3a-c1"})``, ``Question("find", {"where": "score > 0.5"})``. Names
    may have underscores for hyphens. What stands without an option is ``id`` of trace, ``time`` of
    as-of, ``ids`` of diff (two) and ``node`` of lineage; a lineage's depth may be ``all``.

    Raises:
        UsageError: when there is no such command, argument or time, or a time is relative.
    """

    command: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = COMMANDS.get(self.command)
        if known is None:
            raise UsageError(
                f"No question {self.command!r} can be pinned.", "", f"Use {', '.join(COMMANDS)}."
            )
        read: dict[str, Argument] = {}
        for given, value in self.arguments.items():
            dashed = given.replace("_", "-")
            name = _OTHER_NAMES.get(dashed, dashed)
            if name not in known:
                near = get_close_matches(name, known, n=1)
                raise UsageError(
                    f"forensics {self.command} has no argument {given!r}.",
                    f"Nearest: {near[0]}." if near else "",
                    f"It has {', '.join(known)}.",
                )
            if value is not False:
                read[name] = _read(self.command, name, known[name], value)
        named = POSITIONAL.get(self.command)
        if named is not None and named not in read:
            raise UsageError(f"forensics {self.command} needs {named!r}.")
        # In one order, so that the same question is the same text wherever it was put.
        object.__setattr__(self, "arguments", {name: read[name] for name in known if name in read})

    def line(self, root: Path | None = None, *, as_json: bool = False) -> str:
        """The shell command that asks it.

        Args:
            root: the lake; left to the reader's environment where None.
            as_json: with ``--json``, which prints what :func:`~forensics.incident.asking.ask`
                gives.
        """
        words = ["forensics", self.command]
        bare: list[str] = []
        for name, value in self.arguments.items():
            texts = [*value] if isinstance(value, tuple) else [str(value)]
            if name == POSITIONAL.get(self.command):
                bare = texts
            elif value is True:
                words.append(f"--{name}")
            else:
                words += [word for text in texts for word in _option(name, text)]
        if root is not None:
            words += _option("lake", str(root))
        words += ["--json"] if as_json else []
        named = [quoted(text) for text in bare]
        if any(text.startswith("-") for text in bare):  # it would be taken for an option
            return " ".join([*words, "--", *named])
        return " ".join([*words[:2], *named, *words[2:]])


def quoted(text: str) -> str:
    """``text`` as one word of a shell, printable whatever it holds."""
    if text.isprintable():
        return shlex.quote(text)
    parts = ["\\" + c if c in "\\'" else c if c.isprintable() else _bytes(c) for c in text]
    return f"$'{''.join(parts)}'"


def _bytes(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogatepass"))


def _option(name: str, text: str) -> list[str]:
    return [f"--{name}={quoted(text)}"] if text.startswith("-") else [f"--{name}", quoted(text)]


def _read(command: str, name: str, kind: _Kind, value: object) -> Argument:
    """``value`` as an argument of its kind."""
    if kind == "time" and isinstance(value, str | datetime):
        return _time(value)
    if kind == "flag" and value is True:
        return True
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "text" and isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    if kind == "texts":
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts):
            if name == "ids" and len(texts) != 2:
                raise UsageError(f"forensics {command} compares two decisions.")
            return tuple(texts)
    what = {"time": "a time", "flag": "true or false", "number": "a whole number", "text": "text",
            "texts": "a list of texts"}[kind]  # fmt: skip
    raise UsageError(f"{name!r} of forensics {command} is {value!r}.", f"It must be {what}.")


def _time(value: str | datetime) -> str:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
        zoned = time.replace(tzinfo=UTC) if time.tzinfo is None else time
        return time_text(zoned)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{value!r} is no time that can be asked for again.",
            "A pinned question needs absolute times.",
            "Use 2026-10-21T02:13Z.",
        ) from None
