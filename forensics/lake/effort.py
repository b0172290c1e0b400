"""How much memory and time an SQL expression may take on one batch of rows, before it is run.

DuckDB can be interrupted between the batches of rows that it works on, not within one, and its
memory limit does not count the text that an expression makes. Both only grow with the text that
goes in, times what the expression does with it, so that can be limited beforehand. The estimates
are upper bounds; measured with DuckDB 2.0.0 on one core.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from forensics.errors import ReplayError
from forensics.lake.expressions import syntax_trees
from forensics.lake.sql import Connection

#: Rows that DuckDB works on at once.
_BATCH_ROWS = 2_048
#: Text that all expressions together may make of one batch.
_COPIED_BYTES_MAX = 1 << 30
#: Steps of matching; one takes at most 2 ns, when a regular expression falls back to its automaton.
_STEPS_MAX = 10_000_000_000
#: Bytes that any value takes when it becomes text.
_VALUE_BYTES = 32
_TREES_MAX = 1_000
#: States for any character, for a class of them, and for one that is defined by Unicode.
_CLASS_STATES, _UNICODE_STATES = 8, 700

_COPYING, _LIKE, _REGEXP = (
    frozenset(names.split())
    for names in (
        "concat || lower upper trim ltrim rtrim substring substr left right",
        "~~ !~~ ~~* !~~* ~~~ like_escape ilike_escape not_like_escape not_ilike_escape",
        "regexp_matches regexp_full_match ~ !~",
    )
)
_TEXTUAL = re.compile(
    r"\|\||~|\b(concat|lower|upper|l?trim|rtrim|substr(ing)?|left|right|regexp\w*|i?like\w*|glob"
    r"|similar|not_i?like\w*)\b",
    re.IGNORECASE,
)
#: A repetition in a regular expression, a class of characters, an escape, or one character.
_ATOM = re.compile(r"\{(\d+)(,?)(\d*)\}|\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|.", re.DOTALL)


class Texts(NamedTuple):
    """Text that goes into an expression: bytes in one batch of rows, and of the longest value."""

    batch_bytes: int
    longest_bytes: int

    @classmethod
    def of(cls, values: Any, rows: int) -> Texts:
        """Of one value, a sequence with one for each row, or an Arrow array with one for each."""
        if isinstance(values, str):
            longest = len(values.encode(errors="replace"))
            return cls(longest * min(rows, _BATCH_ROWS), longest)
        if isinstance(values, tuple):  # one value that is a list
            return cls.of(", ".join(map(str, values)), rows)
        if isinstance(values, list):
            lengths = [
                len(value.encode(errors="replace")) for value in values if isinstance(value, str)
            ]
            total, longest = sum(lengths), max(lengths, default=0)
        elif "string" in str(getattr(values, "type", "")):
            total, longest = _arrow_bytes(values)
        else:
            return cls(0, 0)
        return cls(min(total, longest * _BATCH_ROWS), longest)


def _arrow_bytes(values: Any) -> tuple[int, int]:
    """Bytes of all texts in an Arrow array, and of the longest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.binary_length(values.cast(pa.large_string()))
    return pc.sum(lengths).as_py() or 0, pc.max(lengths).as_py() or 0


class _Work(NamedTuple):
    """What one part of an expression answers, and what it and all its parts take."""

    text: Texts
    copied_bytes: int = 0
    steps: int = 0


def limit_effort(
    connection: Connection,
    expressions: Iterable[tuple[str, str]],
    values: Mapping[str, Any],
    rows: int,
) -> None:
    """Refuse expressions that may take more than 1 GiB, or 20 s, for one batch of rows.

    Args:
        connection: parses what has not been seen before.
        expressions: checked ones, with the names under which later ones may use their answers.
        values: what goes in, by name, as :meth:`Texts.of` has it.
        rows: how many there are.

    Raises:
        ReplayError: when they may take more, or match text against a pattern that is not written
            out in the expression, whose cost is unknown.
    """
    expressions = list(expressions)
    if not any(_TEXTUAL.search(expression) for _, expression in expressions):
        return
    batch = min(rows, _BATCH_ROWS)
    known = {name.lower(): Texts.of(given, rows) for name, given in values.items()}
    longest = max((size.longest_bytes for size in known.values()), default=0)
    copied, steps = 0, 0
    for name, expression in expressions:
        try:
            work = _work(_tree(connection, expression), known, batch)
        except RecursionError as error:
            raise ReplayError("An expression of the rules is nested too deeply.") from error
        known[name.lower()] = work.text
        copied, steps = copied + work.copied_bytes, steps + work.steps
        if copied > _COPIED_BYTES_MAX or steps > _STEPS_MAX:
            large = copied > _COPIED_BYTES_MAX
            what = "make more than 1 GiB of text" if large else "take over 20 s"
            raise ReplayError(
                f"The rules could {what} for one batch of decisions.",
                f"The longest value that goes in has {longest:,} bytes; the expression is"
                f" {' '.join(expression.split())[:100]}",
                "Shorten the text, or use it fewer times.",
            )


_trees: dict[str, Any] = {}


def _tree(connection: Connection, expression: str) -> Any:
    """The syntax tree of an expression, kept: a window asks for the same ones again and again."""
    tree = _trees.get(expression)
    if tree is None:
        (tree,) = syntax_trees([f"({expression}\n)"], connection)
        if len(_trees) >= _TREES_MAX:
            _trees.clear()
        _trees[expression] = tree
    return tree


def _work(node: Any, known: Mapping[str, Texts], rows: int) -> _Work:
    kind = node["class"]
    if kind == "COLUMN_REF":
        size = known.get(".".join(node["column_names"]).lower(), Texts(0, 0))
        return _Work(_at_least(size, rows))
    if kind == "CONSTANT":
        length = len(_literal(node).encode())
        return _Work(Texts(length * rows, length))
    name = str(node.get("function_name", "")).lower()
    parts = [_work(child, known, rows) for child in _children(node)]
    copied = sum(part.copied_bytes for part in parts)
    steps = sum(part.steps for part in parts)
    join = sum if name in ("concat", "||") else max
    text = Texts(
        join([0, *(part.text.batch_bytes for part in parts)]),
        join([0, *(part.text.longest_bytes for part in parts)]),
    )
    if name in _COPYING:
        copied += text.batch_bytes
    elif name in _LIKE and len(parts) > 1:
        steps += parts[0].text.batch_bytes * parts[1].text.longest_bytes // 4
    elif name in _REGEXP and len(parts) > 1:
        pattern = _children(node)[1]
        if pattern["class"] != "CONSTANT":
            raise ReplayError(
                "A regular expression in the rules is not written out.",
                "How long it takes cannot be told beforehand.",
                "Write the pattern into the rule as text.",
            )
        steps += parts[0].text.batch_bytes * _program(_literal(pattern))
    elif kind == "CAST":
        text = _at_least(text, rows)
    return _Work(text, copied, steps)


def _at_least(size: Texts, rows: int) -> Texts:
    batch = max(size.batch_bytes, _VALUE_BYTES * rows)
    return Texts(batch, max(size.longest_bytes, _VALUE_BYTES))


def _children(node: Any) -> list[Any]:
    """The expressions right below a node, in order, whatever it keeps them under."""
    found = []
    for value in node.values():
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, dict):
                continue
            if "class" in item:
                found.append(item)
            else:  # an argument, or a condition with its answer
                found.extend(part for part in item.values() if _is_node(part))
    return found


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "class" in value


def _literal(node: Any) -> str:
    literal = node.get("literal", node.get("value")) or {}
    return str(literal.get("text", literal.get("value", "")))


def _program(pattern: str) -> int:
    """How many states a regular expression has at most, with its repetitions written out."""
    groups = [0]
    last = 0
    for atom in _ATOM.finditer(pattern):
        text = atom[0]
        if atom[1] is not None:
            times = max(int(atom[1]), int(atom[3] or 0)) + (1 if atom[2] and not atom[3] else 0)
            groups[-1] += last * max(times - 1, 0)
            last *= max(times, 1)
        elif text == "(":
            groups.append(0)
        elif text == ")" and len(groups) > 1:
            last = groups.pop() + 2
            groups[-1] += last
        elif text not in "*+?|^$":
            last = _CLASS_STATES if text == "." or len(text) > 1 else 1
            last += text.lower().count("\\p") * _UNICODE_STATES
            groups[-1] += last
    return sum(groups) + 1
