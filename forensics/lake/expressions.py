"""SQL scalar expressions from outside: what they may contain.

Rule sets and ``find --where`` bring text that somebody else wrote. It is parsed by DuckDB itself,
and the syntax tree is walked against a list of what is allowed; whatever is not on it is refused.
The text may then stand in parentheses in a query, since it is one expression without comments.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from forensics.errors import UsageError
from forensics.lake.sql import Connection, SqlError, connect

#: Pure functions of their arguments; none reaches files, settings, the clock or chance, and none
#: makes much out of little.
FUNCTIONS = frozenset(
    name
    for line in (
        "+ - * / // % ** ^ & | || << >> ~ abs round floor ceil ceiling trunc sign sqrt exp ln log",
        "log2 log10 power pow mod least greatest coalesce ifnull nullif if isnan isinf isfinite",
        "lower upper trim ltrim rtrim length strlen contains starts_with ends_with prefix suffix",
        "substring substr left right concat ~~ !~~ ~~* !~~* ~~~ like_escape ilike_escape",
        "not_like_escape not_ilike_escape regexp_matches regexp_full_match",
        "date_part datepart date_trunc datetrunc date_diff datediff epoch epoch_ms epoch_us",
        "year month day hour minute second dayofweek isodow dayofyear week quarter make_date",
        "to_years to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds",
    )
    for name in line.split()
)
TYPES = frozenset(
    name
    for line in (
        "boolean bool tinyint smallint integer int bigint hugeint utinyint usmallint uinteger",
        "ubigint float real double decimal numeric varchar text string date time timestamp",
        "timestamptz interval",
    )
    for name in line.split()
) | {"timestamp with time zone"}
_OPERATORS = frozenset(
    {
        "COMPARE_IN",
        "COMPARE_NOT_IN",
        "OPERATOR_NOT",
        "OPERATOR_IS_NULL",
        "OPERATOR_IS_NOT_NULL",
        "OPERATOR_COALESCE",
        "OPERATOR_NULLIF",
    }
)
_LENGTH_MAX = 10_000
_DEPTH_MAX = 250
#: What else of a SELECT may be there without having been written.
_NOTHING: tuple[Any, ...] = (None, [], {}, "", False, "STANDARD_HANDLING", {"map": []})
_SIGNS = re.compile(r"(?:[-+~!@]\s*){50}")
_BRACKET = re.compile(r"[()\[\]{}]")
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")


class UnknownNameError(UsageError):
    """An expression uses a name that nothing has; ``name`` is it, as written."""

    def __init__(self, what: str, why: str, todo: str, name: str) -> None:
        super().__init__(what, why, todo)
        self.name = name


class Parsed(NamedTuple):
    """A checked expression: the names it uses as they were given, and its numeric constants."""

    names: frozenset[str]
    numbers: tuple[float, ...]


def check(
    expression: str, names: Collection[str], *, connection: Connection | None = None
) -> frozenset[str]:
    """The members of ``names`` that ``expression`` uses, having made sure that it is harmless.

    Names are compared as SQL compares them, without regard to case; ``features.x`` may be given
    as a name. ``connection`` saves opening one, which costs 20 ms.

    Raises:
        UsageError: when it cannot be parsed, uses another name, or does anything that is not a
            pure function of its names.
    """
    return parse(expression, names, connection=connection).names


def parse(
    expression: str, names: Collection[str], *, connection: Connection | None = None
) -> Parsed:
    """As :func:`check`, with the numeric constants that the expression contains."""
    if len(expression) > _LENGTH_MAX:
        raise _refuse(expression, f"it is longer than {_LENGTH_MAX:,} characters")
    _refuse_hidden_text(expression)
    import json

    try:
        ((plain, wrapped),) = (
            (connection or connect(threads=1))
            .execute(
                "SELECT json_serialize_sql(?), json_serialize_sql(?)",
                ["SELECT " + expression, f"SELECT ({expression}\n)"],
            )
            .fetchall()
        )
    except SqlError as error:
        raise _refuse(expression, str(error).splitlines()[0]) from error
    try:
        tree = json.loads(plain)
        if tree["error"]:
            raise _refuse(expression, str(tree.get("error_message", "it cannot be parsed")))
        if wrapped.startswith('{"error":true'):
            raise _refuse(expression, "it is not one expression")
        walker = _Walker(expression, names)
        walker.visit(_only_expression(expression, tree))
    except RecursionError as error:
        raise _refuse(expression, "it is nested too deeply") from error
    return Parsed(frozenset(walker.used), tuple(walker.numbers))


def syntax_trees(expressions: Sequence[str], connection: Connection) -> list[Any]:
    """DuckDB's syntax trees of expressions that have been checked, or are made of such."""
    import json

    if not expressions:
        return []
    query = "SELECT json_serialize_sql(text) FROM (SELECT unnest(?::VARCHAR[]) AS text)"
    rows = connection.execute(query, [[f"SELECT {sql}" for sql in expressions]]).fetchall()
    return [json.loads(text)["statements"][0]["node"]["select_list"][0] for (text,) in rows]


class _Walker:
    """Visits every node of an expression; what it does not know it refuses."""

    def __init__(self, expression: str, names: Collection[str]) -> None:
        self.expression = expression
        self.used: set[str] = set()
        self.numbers: list[float] = []
        self._names: dict[str, str | None] = {}
        for name in names:
            folded = name.lower()
            # Two names that SQL cannot tell apart cannot be used at all.
            self._names[folded] = None if folded in self._names else name

    def visit(self, node: Any) -> None:
        """Refuses the node or notes its name or number, then visits its children."""
        kind = node["class"] if isinstance(node, dict) else "?"
        if kind != "CONSTANT" and node.get("alias"):
            raise _refuse(self.expression, "it gives a name with AS")
        visitor = getattr(self, f"_{str(kind).lower()}", None)
        if visitor is None:
            raise _refuse(self.expression, f"it contains {_WORDS.get(kind, kind.lower())}")
        visitor(node)

    def _column_ref(self, node: Any) -> None:
        written = ".".join(node["column_names"])
        folded = written.lower()
        if folded not in self._names:
            raise self._unknown(written)
        name = self._names[folded]
        if name is None:
            raise _refuse(self.expression, f"{written} fits names that differ only by case")
        self.used.add(name)

    def _unknown(self, written: str) -> UsageError:
        from difflib import get_close_matches

        near = get_close_matches(written.lower(), self._names, n=3, cutoff=0.5)
        nearest = ", ".join(self._names[name] or name for name in near)
        return UnknownNameError(
            f"Nothing is called {written!r} in: {_shown(self.expression)}",
            "Text belongs in single quotes." if "." not in written else "",
            f"Nearest names: {nearest}." if nearest else "",
            written,
        )

    def _constant(self, node: Any) -> None:
        literal = node.get("literal", node.get("value")) or {}
        if literal.get("kind") in ("INTEGER", "NUMERIC"):
            try:
                self.numbers.append(float(literal["text"].replace("_", "")))
            except ValueError:  # hexadecimal and the like; only a hint where a boundary may be
                return

    def _comparison(self, node: Any) -> None:
        self.visit(node["left"])
        self.visit(node["right"])

    def _conjunction(self, node: Any) -> None:
        for child in node["children"]:
            self.visit(child)

    def _operator(self, node: Any) -> None:
        if node["type"] not in _OPERATORS:
            name = str(node["type"]).removeprefix("OPERATOR_").lower().replace("_", " ")
            raise _refuse(self.expression, f"{name} is not allowed")
        self._conjunction(node)

    def _between(self, node: Any) -> None:
        for part in ("input", "lower", "upper"):
            self.visit(node[part])

    def _case(self, node: Any) -> None:
        for check_ in node["case_checks"]:
            self.visit(check_["when_expr"])
            self.visit(check_["then_expr"])
        if node.get("else_expr"):
            self.visit(node["else_expr"])

    def _cast(self, node: Any) -> None:
        self.visit(node["child"])
        type_ = node.get("type_expr") or {}
        name = str(type_.get("type_name", "?"))
        children = type_.get("children", ())
        if name.lower() not in TYPES or any(child["class"] != "CONSTANT" for child in children):
            raise _refuse(self.expression, f"type {name} is not allowed")
        if type_.get("schema") or type_.get("catalog"):
            raise _refuse(self.expression, f"type {name} is not a built-in one")

    def _function(self, node: Any) -> None:
        name = str(node["function_name"])
        if name.lower() not in FUNCTIONS:
            raise UsageError(
                f"Function {name} is not allowed in: {_shown(self.expression)}",
                "Only functions of the values themselves are, none that reach elsewhere.",
                _nearest_function(name),
            )
        plain = (
            not node.get("schema")
            and not node.get("catalog")
            and len((node.get("qualified_name") or {"path": [name]})["path"]) == 1
            and not node.get("filter")
            and not node.get("distinct")
            and not node.get("export_state")
            and not (node.get("order_bys") or {}).get("orders")
        )
        if not plain:
            raise _refuse(self.expression, f"{name} is called in a form that is not allowed")
        for argument in node.get("arguments", node.get("children", ())):
            inner = argument.get("expression", argument)
            if argument.get("name"):
                raise _refuse(self.expression, f"{name} is called with a named argument")
            self.visit(inner)


_WORDS = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "a star",
    "LAMBDA": "a lambda",
    "PARAMETER": "a parameter",
    "DEFAULT": "DEFAULT",
}


def _only_expression(expression: str, tree: Any) -> Any:
    """The one thing that the one SELECT selects, when there is nothing else."""
    statements = tree["statements"]
    node = statements[0]["node"] if len(statements) == 1 else {}
    if node.get("type") != "SELECT_NODE" or len(node["select_list"]) != 1:
        raise _refuse(expression, "it is not one expression")
    if node["from_table"]["type"] != "EMPTY":
        raise _refuse(expression, "it reads from a table")
    rest = {k: v for k, v in node.items() if k not in ("type", "select_list", "from_table")}
    for key, value in rest.items():
        if value not in _NOTHING:
            raise _refuse(expression, f"it goes on with {key.replace('_', ' ')}")
    return node["select_list"][0]


def _refuse_hidden_text(expression: str) -> None:
    """Refuses comments and odd quotings: they could end a surrounding query, or hide from us."""
    rest, end = [], 0
    for quoted in _QUOTED.finditer(expression):
        before = expression[end : quoted.start()]
        if before and (before[-1].isalnum() or before[-1] in "_&") and quoted[0].startswith("'"):
            raise _refuse(expression, f"strings written as {before[-1]}'…' are not allowed")
        rest.append(before)
        end = quoted.end()
    rest.append(expression[end:])
    outside = " ".join(rest)
    for token, word in (("--", "a comment"), ("/*", "a comment"), (";", "a semicolon"),
                        ("$", "a dollar sign"), ("'", "an open quote"), ('"', "an open quote"),
                        ("\0", "a NUL character")):  # fmt: skip
        if token in outside:
            raise _refuse(expression, f"it contains {word}")
    # DuckDB's parser takes a minute for 9,000 open brackets, and 15 s for 4,500 signs.
    if _SIGNS.search(outside):
        raise _refuse(expression, "it is nested too deeply")
    depth = 0
    for bracket in _BRACKET.findall(outside):
        depth += 1 if bracket in "([{" else -1
        if depth > _DEPTH_MAX:
            raise _refuse(expression, "it is nested too deeply")
        if depth < 0:
            break
    if depth:
        raise _refuse(expression, "its brackets do not match")


def _nearest_function(name: str) -> str:
    from difflib import get_close_matches

    words = sorted(word for word in FUNCTIONS if word[0].isalpha())
    near = get_close_matches(name.lower(), words, n=3, cutoff=0.6)
    return f"Nearest: {', '.join(near)}." if near else ""


def _refuse(expression: str, why: str) -> UsageError:
    return UsageError(
        f"Not an expression that can be used here: {_shown(expression)}",
        why[:1].upper() + why[1:] + ("" if why.endswith((".", "!", "?")) else "."),
        "Write one condition over the names, e.g. score >= 0.5 AND age < 30; a name that is also an"
        " SQL word goes in double quotes.",
    )


def _shown(expression: str) -> str:
    text = " ".join(expression.split())
    return text if len(text) <= 120 else text[:119] + "…"
