"""Conditions of a decision as small trees, made from what DuckDB's parser says of their SQL text.

What is not known here becomes :class:`Opaque`: a search takes it for "unknown" and lets the real
decision answer. Nothing is evaluated in this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from forensics.errors import UsageError


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, text or truth value, or None for NULL."""

    value: float | str | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    """A feature, configuration value, score or intermediate value."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operation of :data:`OPERATIONS` on its arguments."""

    operation: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something that uses these names and cannot be evaluated here; ``tree`` is the parser's."""

    names: tuple[str, ...]
    tree: Any = None


Expression = Constant | Name | Call | Opaque

#: ``case`` takes condition, value, condition, value, ..., and the value for none of them.
OPERATIONS = frozenset(
    operation
    for line in (
        "and or not = <> < <= > >= isnull distinct coalesce nullif case",
        "+ - * / negative abs least greatest floor ceil round whole single exp ln log2 log10 sqrt",
    )
    for operation in line.split()
)
_COMPARISONS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_DISTINCT_FROM": "distinct",
}
_FUNCTIONS: Mapping[tuple[str, int], str] = {
    **{(name, 2): name for name in "+-*/"},
    **{(name, 1): name for name in ("abs", "floor", "ceil", "exp", "ln", "log2", "log10", "sqrt")},
    ("-", 1): "negative",
    ("ceiling", 1): "ceil",
    ("log", 1): "log10",
    ("round", 1): "round",
    ("round", 2): "round",
    ("ifnull", 2): "coalesce",
    ("nullif", 2): "nullif",
    ("if", 3): "case",
}
_FINITE = {"isnan": False, "isinf": False, "isfinite": True}
_WHOLE = frozenset(["tinyint", "smallint", "integer", "int", "bigint", "hugeint"])


def condition_of(tree: Any, names: Mapping[str, str]) -> Expression:
    """The expression that a node of DuckDB's ``json_serialize_sql`` stands for.

    Args:
        tree: the node of one checked scalar expression, as :mod:`forensics.lake.expressions`
            walks it.
        names: by lower-case name as it may be written (``x``, ``features.x``), the name that the
            search is to know it by.

    Raises:
        UsageError: when it uses a name that is not among ``names``.
    """
    return _Reader(names).read(tree)


def names_of(expression: Expression | None) -> frozenset[str]:
    """Every name that the expression uses."""
    return frozenset(node_name for node in walk(expression) for node_name in _own_names(node))


def walk(expression: Expression | None) -> Iterator[Expression]:
    """The expression and every part of it."""
    left = [] if expression is None else [expression]
    while left:
        node = left.pop()
        yield node
        if isinstance(node, Call):
            left.extend(node.arguments)


def replace(expression: Expression, known: Mapping[str, Expression]) -> Expression:
    """The expression with names replaced by what they stand for.

    A comparison of a choice with a constant becomes a choice of comparisons, so that
    ``(CASE WHEN c THEN 'A' ELSE 'B' END) = 'A'`` is as sharp as ``c``.
    """
    memo: dict[int, Expression] = {}

    def visit(node: Expression) -> Expression:
        found = memo.get(id(node))
        if found is None:
            found = memo[id(node)] = _replaced(node, known, visit)
        return found

    return visit(expression)


def _replaced(
    node: Expression, known: Mapping[str, Expression], visit: Callable[[Expression], Expression]
) -> Expression:
    if isinstance(node, Name):
        return known.get(node.name, node)
    if isinstance(node, Opaque):
        used = {name for own in node.names for name in names_of(known.get(own, Name(own)))}
        return Opaque(tuple(sorted(used)), node.tree)
    if isinstance(node, Call):
        return _pushed(node.operation, tuple(visit(argument) for argument in node.arguments))
    return node


def _pushed(operation: str, arguments: tuple[Expression, ...]) -> Expression:
    if operation in _COMPARISONS.values():
        for at in (0, 1):
            choice, other = arguments[at], arguments[1 - at]
            if isinstance(choice, Call) and choice.operation == "case" and _plain(other):
                turned = [
                    _pushed(operation, (value, other) if at == 0 else (other, value))
                    for value in (*choice.arguments[1::2], choice.arguments[-1])
                ]
                conditions = choice.arguments[0:-1:2]
                parts = [
                    part for pair in zip(conditions, turned[:-1], strict=True) for part in pair
                ]
                return Call("case", (*parts, turned[-1]))
    return Call(operation, arguments)


def _plain(expression: Expression) -> bool:
    return isinstance(expression, Constant)


def _own_names(node: Expression) -> tuple[str, ...]:
    if isinstance(node, Name):
        return (node.name,)
    return node.names if isinstance(node, Opaque) else ()


class _Reader:
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def read(self, node: Any) -> Expression:
        reader = getattr(self, f"_{str(node['class']).lower()}", None)
        found = reader(node) if reader else None
        return found if found is not None else Opaque(tuple(sorted(self._used(node))), node)

    def _used(self, node: Any) -> set[str]:
        if isinstance(node, dict):
            if node.get("class") == "COLUMN_REF":
                return {self._column_ref(node).name}
            return {name for part in node.values() for name in self._used(part)}
        if isinstance(node, list):
            return {name for part in node for name in self._used(part)}
        return set()

    def _column_ref(self, node: Any) -> Name:
        written = ".".join(node["column_names"])
        name = self._names.get(written.lower())
        if name is None:
            raise UsageError(f"Nothing is called {written!r} in a condition.")
        return Name(name)

    def _constant(self, node: Any) -> Expression | None:
        literal = node.get("literal") or {}
        kind, text = literal.get("kind"), str(literal.get("text"))
        if kind in ("INTEGER", "NUMERIC"):
            try:
                return Constant(float(text.replace("_", "")))
            except ValueError:
                return None
        if kind == "STRING":
            return Constant(text)
        if kind == "BOOLEAN":
            return Constant(text == "true")
        return Constant(None) if kind == "NULL_LITERAL" else None

    def _comparison(self, node: Any) -> Expression | None:
        kind = node["type"]
        if kind == "COMPARE_NOT_DISTINCT_FROM":
            sides = (self.read(node["left"]), self.read(node["right"]))
            return Call("not", (Call("distinct", sides),))
        operation = _COMPARISONS.get(kind)
        if operation is None:
            return None
        return Call(operation, (self.read(node["left"]), self.read(node["right"])))

    def _conjunction(self, node: Any) -> Expression:
        operation = "and" if node["type"] == "CONJUNCTION_AND" else "or"
        return Call(operation, tuple(self.read(child) for child in node["children"]))

    def _operator(self, node: Any) -> Expression | None:
        parts = tuple(self.read(child) for child in node["children"])
        match node["type"]:
            case "OPERATOR_NOT":
                return Call("not", parts)
            case "OPERATOR_IS_NULL":
                return Call("isnull", parts)
            case "OPERATOR_IS_NOT_NULL":
                return Call("not", (Call("isnull", parts),))
            case "OPERATOR_COALESCE":
                return Call("coalesce", parts)
            case "OPERATOR_NULLIF":
                return Call("nullif", parts)
            case "COMPARE_IN" | "COMPARE_NOT_IN":
                found = Call("or", tuple(Call("=", (parts[0], part)) for part in parts[1:]))
                return found if node["type"] == "COMPARE_IN" else Call("not", (found,))
        return None

    def _between(self, node: Any) -> Expression:
        value, low, high = (self.read(node[part]) for part in ("input", "lower", "upper"))
        return Call("and", (Call(">=", (value, low)), Call("<=", (value, high))))

    def _case(self, node: Any) -> Expression:
        parts: list[Expression] = []
        for check in node["case_checks"]:
            parts += [self.read(check["when_expr"]), self.read(check["then_expr"])]
        last = node.get("else_expr")
        return Call("case", (*parts, self.read(last) if last else Constant(None)))

    def _cast(self, node: Any) -> Expression | None:
        kind = node.get("type_expr") or {}
        name = str(kind.get("type_name", "")).lower()
        if node.get("try_cast") or kind.get("children"):
            return None
        if name == "double":
            child = self.read(node["child"])
            if isinstance(child, Constant) and isinstance(child.value, float):
                return child
            return Call("+", (child, Constant(0.0)))
        if name in ("float", "real"):
            return Call("single", (self.read(node["child"]),))
        if name in ("boolean", "bool"):
            return Call("<>", (self.read(node["child"]), Constant(0.0)))
        if name in _WHOLE:
            return Call("whole", (self.read(node["child"]),))
        return None

    def _function(self, node: Any) -> Expression | None:
        name = str(node["function_name"]).lower()
        given = node.get("arguments", node.get("children", ()))
        arguments = tuple(self.read(part.get("expression", part)) for part in given)
        if name == "+" and len(arguments) == 1:
            return arguments[0]
        if name in ("least", "greatest", "coalesce") and arguments:
            return Call(name, arguments)
        if name in _FINITE and len(arguments) == 1:
            # What is searched are numbers and NULL: nothing of it is NaN or infinite.
            known = Constant(_FINITE[name])
            return Call("case", (Call("isnull", arguments), Constant(None), known))
        operation = _FUNCTIONS.get((name, len(arguments)))
        if operation == "round" and len(arguments) == 2 and not _plain(arguments[1]):
            return None
        if operation is None:
            return None
        number = arguments[0].value if isinstance(arguments[0], Constant) else None
        if operation == "negative" and isinstance(number, float):
            return Constant(-number)
        return Call(operation, arguments)
