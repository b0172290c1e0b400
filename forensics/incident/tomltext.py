"""TOML as this program writes it: every text printable, so that no file acts on a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

from forensics.records.jsontext import time_text

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDE = 100


def line(key: str, value: Any) -> str:
    """``key = value`` on one line.

    Raises:
        TypeError: when TOML has no such value.
    """
    return f"{name(key)} = {inline(value)}"


def name(key: str) -> str:
    """A key, quoted where it must be."""
    return key if _BARE.fullmatch(key) else text(key)


def inline(value: Any) -> str:
    """A value as it stands on one line.

    Raises:
        TypeError: when TOML has no such value.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime):
        return time_text(value) if value.tzinfo else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        return "{ " + ", ".join(line(key, item) for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    raise TypeError(f"TOML has no {type(value).__name__}")


def text(value: str) -> str:
    """A text between quotation marks; half a surrogate pair, which TOML cannot say, is spelt."""
    if "'" not in value and value.isprintable() and ('"' in value or "\\" in value):
        return f"'{value}'"
    return '"' + "".join(map(_escaped, value)) + '"'


def json_text(value: str) -> str:
    """JSON text as a TOML text; a long one with a member on each line, for those who compare."""
    if len(value) <= _WIDE:
        return text(value)
    # After a backslash at the end of a line TOML skips white space, of which there is none here:
    # a quotation mark after a comma is never within a JSON text, unless right at its end.
    parts = [_escaped_long(part) for part in value.replace(',"', ',\n"').split("\n")]
    return '"""\\\n' + "\\\n".join(f"  {part}" for part in parts) + '"""'


def _escaped_long(part: str) -> str:
    return "".join(c if c == '"' else _escaped(c) for c in part)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        return f"\\\\u{code:04x}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
