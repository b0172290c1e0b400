"""How a lender words its reasons: ``reasons.toml``, checked when it is read.

    adverse = ["DECLINE"]              # outcomes for which reasons are given
    adverse_score = "high"             # the side of the score that leads to them
    reference = "sha256:…"             # the pinned reference population
    prohibited = ["postcode"]          # features that are no lawful reason

    [features.utilisation_3m]
    text = "Balances are high compared with limits ({value:.0%})"
    group = "utilisation"              # one reason for all features of the group
    code = "10"

    [groups.utilisation]
    text = "Balances are high compared with limits"

    [rules.R1]
    text = "Payments were missed recently"

Instead of ``text``, or beside it, a feature may have ``text_high`` and ``text_low`` for values
above and below the reference's median, and ``text_missing`` for a value that is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter
from typing import Any, NamedTuple

from forensics.errors import UsageError

#: What a text may name in braces.
PLACEHOLDERS = ("value", "feature", "reference_value", "points", "outcome", "score", "threshold")

#: Number formats only: others could ask for gigabytes of padding.
_FORMAT = re.compile(r"[+]?,?(\.[0-9])?[dfg%]?")
_TEXTS = ("text", "text_high", "text_low", "text_missing")
_KEYS: dict[str, dict[str, type]] = {
    "": {
        "adverse": list, "adverse_score": str, "reference": str, "prohibited": list,
        "features": dict, "groups": dict, "rules": dict,
    },
    "features": {
        **dict.fromkeys(_TEXTS, str), "group": str, "code": str, "prohibited": bool,
    },
    "groups": {"text": str, "code": str},
    "rules": {"text": str, "code": str},
}  # fmt: skip


class Wording(NamedTuple):
    """The texts for one feature, group or rule; those that are not given are None."""

    text: str | None = None
    text_high: str | None = None
    text_low: str | None = None
    text_missing: str | None = None
    group: str | None = None
    code: str | None = None
    prohibited: bool | None = None


class Templates(NamedTuple):
    """A lender's wording. The empty one words everything by the names of features.

    ``higher_is_adverse`` says on which side of the score an adverse outcome lies; None where the
    file leaves it open. ``reference`` is the digest of the reference population, if it names one.
    """

    features: Mapping[str, Wording]
    groups: Mapping[str, Wording]
    rules: Mapping[str, Wording]
    adverse: tuple[str, ...] = ()
    higher_is_adverse: bool | None = None
    reference: str | None = None
    prohibited: frozenset[str] = frozenset()


NO_TEMPLATES = Templates({}, {}, {})


def read_templates(data: bytes) -> Templates:
    """The templates in a ``reasons.toml``.

    Raises:
        UsageError: when it is no TOML, has a key that is not known, or a text with a placeholder
            or number format that is not known.
    """
    import tomllib

    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:
        raise UsageError("The reason templates cannot be read.", f"{error}.") from error
    _check("", "", document)
    side = document.get("adverse_score")
    if side not in (None, "high", "low"):
        raise _wrong(f"adverse_score is {side!r}", "Write high or low.")
    sections = {
        section: {
            str(name): _wording(section, str(name), table)
            for name, table in document.get(section, {}).items()
        }
        for section in ("features", "groups", "rules")
    }
    for name, wording in sections["features"].items():
        if wording.group is not None and wording.group not in sections["groups"]:
            raise _wrong(
                f"features.{name} is of the group {wording.group!r}, which is not described",
                f'Add [groups.{wording.group}] with its text = "…".',
            )
    return Templates(
        **sections,
        adverse=_names(document, "adverse"),
        higher_is_adverse=None if side is None else side == "high",
        reference=document.get("reference"),
        prohibited=frozenset(_names(document, "prohibited")),
    )


def filled(text: str, values: Mapping[str, Any]) -> str:
    """``text`` with each ``{placeholder}`` replaced by its value, "not known" where that is None.

    Raises:
        UsageError: when a number format meets something that is no number.
    """
    parts = []
    for literal, name, form, _ in Formatter().parse(text):
        parts.append(literal)
        if name is None:
            continue
        value = values.get(name)
        if value is None or value != value:
            parts.append("not known")
            continue
        try:
            parts.append(format(value, form) if form else _plain(value))
        except ValueError as error:
            raise UsageError(
                f"The template {text!r} cannot show {value!r} as {form!r}.", f"{error}."
            ) from error
    return "".join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if type(value) is float and abs(value) < 1e6 else str(value)


def _wording(section: str, name: str, table: Any) -> Wording:
    where = f"{section}.{name}"
    if not isinstance(table, dict):
        raise _wrong(f"{where} is no table", f"Write [{where}] and its keys below.")
    _check(section, where, table)
    for key in _TEXTS:
        if key in table:
            _check_text(f"{where}.{key}", table[key])
    return Wording(**table)


def _check(section: str, where: str, table: Mapping[str, Any]) -> None:
    known = _KEYS[section]
    for key, value in table.items():
        place = f"{where}.{key}" if where else key
        if key not in known:
            raise _wrong(f"{place} is not known", f"Known are: {', '.join(known)}.")
        if not isinstance(value, known[key]):
            raise _wrong(f"{place} is no {_TYPES[known[key]]}", "")


_TYPES = {list: "list", str: "text", dict: "table", bool: "true or false"}


def _check_text(where: str, text: str) -> None:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise _wrong(f"{where} is malformed: {error}", "Write {{ for a brace.") from error
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            raise _wrong(f"{where} names {{{name}}}", f"Known are: {known}.")
        if conversion or not _FORMAT.fullmatch(form or ""):
            raise _wrong(
                f"{where} has the format {{{name}{'!' + conversion if conversion else ''}:{form}}}",
                "Number formats such as :.2f, :,.0f and :.0% are known.",
            )


def _names(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = document.get(key, [])
    if not all(isinstance(name, str) for name in names):
        raise _wrong(f"{key} has something else than text in it", "")
    return tuple(names)


def _wrong(what: str, todo: str) -> UsageError:
    return UsageError(f"The reason templates: {what}.", "", todo)
