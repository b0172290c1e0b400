"""Parts of a JSON value by pointers (RFC 6901), and where two values differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple


class _Word(Enum):
    ABSENT = "nothing"
    UNKNOWN = "another value"


#: Stands for a value that is not there.
ABSENT = _Word.ABSENT
#: Stands for a value of which only a digest was kept.
UNKNOWN = _Word.UNKNOWN
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


class Difference(NamedTuple):
    """The smallest part in which two values differ.

    A side is :data:`ABSENT` where it has no such part, and :data:`UNKNOWN` where it was not kept.
    """

    pointer: str
    old: Any
    new: Any


def tokens(pointer: str) -> list[str]:
    """The names that a pointer is made of.

    Raises:
        ValueError: when it is none.
    """
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON pointer: it must begin with a slash")
    parts = pointer[1:].split("/")
    for part in parts:
        if "~" in part.replace("~0", "").replace("~1", ""):
            raise ValueError(f"{pointer!r} is no JSON pointer: ~ stands before 0 or 1 only")
    return [part.replace("~1", "/").replace("~0", "~") for part in parts]


def pointer(parts: Iterable[str | int]) -> str:
    """The pointer that is made of these names and numbers."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def resolve(value: Any, asked: str) -> Any:
    """The part of ``value`` that a pointer names.

    Raises:
        ValueError: when the pointer is none.
        LookupError: when it leads nowhere; says how far it leads.
    """
    way = tokens(asked)
    for at, part in enumerate(way):
        found = _child(value, part)
        if found is ABSENT:
            where = pointer(way[:at]) or "the answer"
            raise LookupError(f"there is no {part!r} in {where}")
        value = found
    return value


def _child(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part, ABSENT)
    if isinstance(value, list) and _NUMBER.fullmatch(part) and int(part) < len(value):
        return value[int(part)]
    return ABSENT


#: What an item of a list is known by, the surest first: its place changes when others come before.
_KNOWN_BY = (
    ("change_id",), ("decision_id",), ("id",), ("at",), ("start",), ("kind", "about"),
    ("section", "name"), ("decision_point", "environment", "kind", "name"), ("namespace", "name"),
    ("name",), ("feature",), ("job",), ("field",), ("step",), ("from", "to"), ("kind",),
)  # fmt: skip


def identities(value: Any, asked: str) -> dict[str, dict[str, str]]:
    """What the items of lists that a pointer leads through are known by, by their pointers.

    Items that nothing tells apart from the others of their list are left out.
    """
    found = {}
    way = tokens(asked)
    for at, part in enumerate(way):
        child = _child(value, part)
        if isinstance(value, list) and (known := _identity(value, child)):
            found[pointer(way[: at + 1])] = known
        value = child
    return found


def _identity(items: list[Any], item: Any) -> dict[str, str] | None:
    for names in _KNOWN_BY:
        if isinstance(item, dict) and all(isinstance(item.get(name), str) for name in names):
            known = {name: item[name] for name in names}
            if sum(_is_known(other, known) for other in items) == 1:
                return known
    return None


def _is_known(item: Any, known: Mapping[str, str]) -> bool:
    return isinstance(item, dict) and all(item.get(name) == said for name, said in known.items())


def followed(value: Any, asked: str, known: Mapping[str, Mapping[str, str]]) -> str:
    """Where a pointer leads now, by what the items on its way are known by.

    Args:
        value: the whole answer.
        asked: the pointer as it was.
        known: of :func:`identities`, as it was.

    Raises:
        ValueError: when the pointer is none.
        LookupError: when there is no such item, or the pointer leads nowhere.
    """
    way = tokens(asked)
    now: list[str] = []
    for at, part in enumerate(way):
        said = known.get(pointer(way[: at + 1]))
        if (
            said is not None
            and isinstance(value, list)
            and not _is_known(_child(value, part), said)
        ):
            places = [n for n, item in enumerate(value) if _is_known(item, said)]
            if not places:
                words = ", ".join(f"{name} {text!r}" for name, text in said.items())
                raise LookupError(f"nothing in {pointer(now) or 'the answer'} has {words} any more")
            part = str(places[0])
        now.append(part)
        value = _child(value, part)
    return pointer(now)


def without(value: Any, patterns: Sequence[str], at: str) -> Any:
    """``value`` without the parts that patterns name.

    Args:
        value: a part of an answer.
        patterns: pointers into the whole answer; ``*`` stands for any name or number.
        at: where in the answer ``value`` stands.
    """
    here = tokens(at)
    for pattern in patterns:
        way = tokens(pattern)
        if len(way) > len(here) and _covers(way[: len(here)], here):
            value = _removed(value, way[len(here) :])
    return value


def is_within(asked: str, patterns: Iterable[str]) -> bool:
    """Whether a pointer leads to one of the patterns, or into it."""
    here = tokens(asked)
    ways = (tokens(pattern) for pattern in patterns)
    return any(len(way) <= len(here) and _covers(way, here[: len(way)]) for way in ways)


def _covers(pattern: Sequence[str], way: Sequence[str]) -> bool:
    return all(want in ("*", have) for want, have in zip(pattern, way, strict=True))


def _removed(value: Any, way: Sequence[str]) -> Any:
    part, rest = way[0], way[1:]
    if isinstance(value, dict):
        return {
            name: _removed(child, rest) if rest and part in ("*", name) else child
            for name, child in value.items()
            if rest or part not in ("*", name)
        }
    if isinstance(value, list) and rest:
        return [
            _removed(child, rest) if part in ("*", str(number)) else child
            for number, child in enumerate(value)
        ]
    return value


def differences(old: Any, new: Any, at: tuple[str | int, ...] = ()) -> Iterator[Difference]:
    """The smallest parts in which two JSON values differ, in their order; none where equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            yield from differences(old.get(name, ABSENT), new.get(name, ABSENT), (*at, name))
    elif isinstance(old, list) and isinstance(new, list):
        for number in range(max(len(old), len(new))):
            before, after = (side[number] if number < len(side) else ABSENT for side in (old, new))
            yield from differences(before, after, (*at, number))
    elif not _equal(old, new):
        yield Difference(pointer(at), old, new)


def _equal(old: Any, new: Any) -> bool:
    """Whether two values are the same to JSON, to which ``true`` is not 1."""
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)
