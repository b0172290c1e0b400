"""Logged text is hostile: make it inert before it reaches a terminal."""

from __future__ import annotations

import unicodedata
from typing import Any

#: Characters that do something instead of showing something: controls, escapes, direction changes,
#: invisible formats, private use, lone surrogates, line and paragraph separators.
_ACTIVE = frozenset(("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"))


def safe_text(value: Any, limit: int | None = None) -> str:
    r"""``value`` as text with every active character spelt out, as ``\x1b`` or ``\u202e``.

    Args:
        value: anything; text is taken as it is, other values by ``str``.
        limit: cut to this many characters, the last of which is then an ellipsis.
    """
    text = value if isinstance(value, str) else str(value)
    if not text.isascii() or not text.isprintable():
        text = "".join(map(_spelt, text))
    if limit is not None and len(text) > limit:
        text = text[: max(limit - 1, 0)] + "…"
    return text


def _spelt(character: str) -> str:
    if character == " " or unicodedata.category(character) not in _ACTIVE:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
