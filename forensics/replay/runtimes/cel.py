"""Runs expressions of the Common Expression Language, by Google's own library (cel-expr-python).

Of the three packages for Python, with the conformance tests of cel-spec (June 2026) that need no
protocol buffers, and one expression over four inputs:

| package | core tests | extensions | rows/s | size |
|---|---|---|---|---|
| cel-expr-python 0.1.3 (Google's C++) | 1,076 of 1,078 | 471 of 471 | 330,000 | 50 MB, alone |
| common-expression-language 0.10.0 (Rust) | 1,013 | 93 | 200,000 | 6 MB, 8 packages |
| cel-python 0.5.0 (Python) | 921 | 71 | 2,500 | 1 MB, 9 packages |

What the others get wrong decides decisions: the second counts bytes in ``size('é')`` and lets
durations overflow, the third cannot compare a number to null or an int to a double.

Numbers: JSON's 34 is an int, 34.0 a double. CEL compares them with each other as numbers, so
``age >= 18`` works for both, and refuses to calculate with both, so ``age + 1`` is an error on 34.0
and never another number. An artifact may say which type its inputs have; features of a lake are
doubles even where the service had whole numbers.

The library cuts text at a NUL character, keeps microseconds of times, and nests 32 levels at most.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

from forensics.replay.runtimes.installed import installed_version
from forensics.replay.runtimes.interface import ModelRefusedError, RuleRuntime
from forensics.replay.runtimes.packages import brief

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

_WORD = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*(\.[_a-zA-Z][_a-zA-Z0-9]*)*")
_DECLARED = re.compile(r'"type"\s*:\s*"cel"')
#: An operator that there is not for its types, e.g. ``_>=_(null_type, int64)``.
_OVERLOAD = re.compile(r" : _([^\s_]+)_\((\w+), (\w+)\)")
#: Names of types, which no variable may have.
_RESERVED = frozenset(
    ("bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint")
)
_EXPRESSIONS_MAX = 1_000
#: Different sets of names for which compiled expressions are kept.
_LAYOUTS_MAX = 100
#: Types whose values the library does not take for a variable of any type.
_OWN_TYPES = (cel.Type.UINT, cel.Type.TIMESTAMP, cel.Type.DURATION, cel.Type.BYTES)
#: What a declared input is to the library. Others are of any type: their values are converted.
_BOUND = {
    "int": cel.Type.DYN,
    "uint": cel.Type.UINT,
    "double": cel.Type.DYN,
    "string": cel.Type.DYN,
    "bool": cel.Type.DYN,
    "timestamp": cel.Type.TIMESTAMP,
}


class CelRuntime(RuleRuntime):
    """Expressions over the inputs; see :class:`RuleRuntime`.

    The file is one expression as text, or JSON::

        {"type": "cel", "inputs": {"age": "int"},
         "expressions": {"adult": "age >= 18", "eligible": "adult && score < 0.5"},
         "outcome": "eligible ? 'APPROVE' : 'DECLINE'"}

    ``inputs`` gives types to those which need one: int, uint, double, string, bool or timestamp.
    Each expression may use the ones before it. ``expression`` is for one as in the first form.

    An answer to a row is ``{"value": …}`` or ``{"error": reason}``. The value is the one
    expression's, or an object with that of each by name, ``outcome`` among them. With an outcome,
    only its own failure is the row's, as CEL ignores what it does not need; ``errors`` then has the
    others' by name. Times are RFC 3339 text, durations seconds with an ``s``.

    Raises:
        ModelRefusedError: when the file is neither, or an expression cannot be parsed.
    """

    def __init__(self, data: bytes, library: str) -> None:
        self._version = installed_version("cel_expr_python", library)
        artifact = _read(data)
        self._types = artifact["inputs"]
        self._expressions = artifact["expressions"]
        self._single = artifact["single"]
        self._compiled: dict[tuple[Any, ...], dict[str, Any] | str] = {}
        #: Names that the expressions can mean: a row may have hundreds, and each costs.
        self._words = frozenset(
            word for text in self._expressions.values() for word in _WORD.findall(text)
        )
        bare = _environment({})
        for name, text in self._expressions.items():
            try:
                bare.compile(text, disable_check=True)
            except RuntimeError as error:
                raise ModelRefusedError(
                    f"{_called(name)} cannot be parsed: {_told(error)}"
                ) from error

    def describe(self) -> dict[str, Any]:
        """Which library runs them, and their names."""
        return {
            "runtime": f"cel-expr-python {self._version}",
            "expressions": [] if self._single else list(self._expressions),
        }

    def evaluate(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The answer to each row of inputs; see the class."""
        return [self._answer(row) for row in rows]

    def _answer(self, given: Mapping[str, Any]) -> dict[str, Any]:
        row = {n: value for n, value in given.items() if n.partition(".")[0] in self._words}
        programs = self._programs(row)
        if isinstance(programs, str):
            return {"error": programs}
        try:
            values = {**row, **{n: self._typed(n, row[n]) for n in self._types if n in row}}
            if any(_holds_nul(value) for value in values.values()):
                return {"error": "a text in the inputs has a NUL character, where CEL would cut it"}
        except ValueError as error:
            return {"error": str(error)}
        answers: dict[str, Any] = {}
        errors: dict[str, str] = {}
        for name, program in programs.items():
            try:
                found = program.eval(data=values)
                if found.type() == cel.Type.ERROR:
                    errors[name] = _told(found.value())
                    continue
                value = found.plain_value()
                answers[name] = _as_json(value)
            except (RuntimeError, TypeError, ValueError) as error:
                errors[name] = _told(error)
                continue
            values[name] = value
        if self._single:
            return {"error": errors[""]} if errors else {"value": answers[""]}
        failed = next(iter(errors), None)
        if failed is not None and ("outcome" not in self._expressions or "outcome" in errors):
            decisive = "outcome" if "outcome" in errors else failed
            return {"error": f"{_called(decisive)}: {errors[decisive]}"}
        return {"value": answers, **({"errors": errors} if errors else {})}

    def _programs(self, row: Mapping[str, Any]) -> dict[str, Any] | str:
        """The expressions compiled for a row's names, or why they cannot be."""
        types = {
            name: _BOUND[self._types[name]] for name in self._types if row.get(name) is not None
        }
        key = (*row, None, *types)
        if key not in self._compiled:
            if len(self._compiled) >= _LAYOUTS_MAX:
                self._compiled.clear()
            self._compiled[key] = self._compile({**dict.fromkeys(row, cel.Type.DYN), **types})
        return self._compiled[key]

    def _compile(self, types: dict[str, Any]) -> dict[str, Any] | str:
        found = {}
        for name, text in self._expressions.items():
            try:
                program = _environment(types).compile(text)
            except RuntimeError as error:
                return f"{_called(name)}: {_told(error)}"
            found[name] = program
            answer = program.return_type()
            types[name] = answer if answer in _OWN_TYPES else cel.Type.DYN
        return found

    def _typed(self, name: str, value: Any) -> Any:
        kind = self._types[name]
        if value is None:
            return None
        try:
            return _CONVERSIONS[kind](value)
        except (OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"{name} is {value!r}, and is declared {kind}") from error


def _read(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelRefusedError(f"it is not UTF-8 text: {error}") from error
    document = None
    if text.lstrip()[:1] == "{":
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            if _DECLARED.search(text):  # else it is an expression that begins with a brace
                raise ModelRefusedError(f"it is not JSON: {brief(error)}") from error
    if not isinstance(document, dict) or "type" not in document:
        return {"inputs": {}, "expressions": {"": text}, "single": True}
    if document["type"] != "cel":
        raise ModelRefusedError(f"its type is {document['type']!r}, expected 'cel'")
    inputs, named = document.get("inputs", {}), document.get("expressions", {})
    expressions: dict[str, Any] = dict(named) if isinstance(named, dict) else {}
    single = "expression" in document
    if single:
        expressions = {"": document["expression"]}
    if "outcome" in document:
        expressions["outcome"] = document["outcome"]
    if not 0 < len(expressions) <= _EXPRESSIONS_MAX or (single and len(expressions) > 1):
        raise ModelRefusedError(
            f"it needs one 'expression', or 1 to {_EXPRESSIONS_MAX:,} 'expressions' by name"
        )
    for name, text in expressions.items():
        if not isinstance(text, str):
            raise ModelRefusedError(f"{_called(name)} is not text")
        if name in _RESERVED or (name and not _NAME.fullmatch(name)):
            raise ModelRefusedError(f"an expression cannot be called {name!r}")
    if not isinstance(inputs, dict) or not all(isinstance(kind, str) for kind in inputs.values()):
        raise ModelRefusedError("its inputs are no types by name")
    for name, kind in inputs.items():
        if kind not in _CONVERSIONS:
            known = ", ".join(_CONVERSIONS)
            raise ModelRefusedError(f"its input {name} is of type {kind!r}; known are {known}")
    return {"inputs": inputs, "expressions": expressions, "single": single}


def _environment(types: Mapping[str, Any]) -> Any:
    """What expressions may use: these names, the standard library, mathematics and text."""
    variables = {
        name: kind
        for name, kind in types.items()
        if _NAME.fullmatch(name) and name not in _RESERVED
    }
    extensions = [ext_math.ExtMath(), ext_strings.ExtStrings(), ext_optional.ExtOptional()]
    return cel.NewEnv(variables=variables, extensions=extensions)


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise ValueError
    return int(value)


def _uint(value: Any) -> int:
    number = _int(value)
    if number < 0:
        raise ValueError
    return number


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    return float(value)


def _exactly(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError
        return value

    return check


def _timestamp(value: Any) -> datetime:
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError
    return found


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "int": _int,
    "uint": _uint,
    "double": _double,
    "string": _exactly(str),
    "bool": _exactly(bool),
    "timestamp": _timestamp,
}


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


def _as_json(value: Any) -> Any:
    """A value of CEL as JSON has it, in the manner of protocol buffers."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {_key(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        microseconds = value // timedelta(microseconds=1)
        whole, rest = divmod(abs(microseconds), 1_000_000)
        sign = "-" if microseconds < 0 else ""
        return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".") + "s"
    raise TypeError(f"the answer is of a type that JSON does not have: {type(value).__name__}")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


def _called(name: str) -> str:
    return f"expression {name}" if name else "the expression"


def _told(error: object) -> str:
    """What the library says, in one line, without the codes around it and the drawn arrows."""
    lines = [line for line in str(error).splitlines() if not line.lstrip().startswith("|")]
    text = re.sub(r"\[?\b[A-Z]{2,}(_[A-Z]+)*\]?: |ERROR: | \[[A-Z_]+\]$", "", " ".join(lines))
    text = _OVERLOAD.sub(r": \2 \1 \3", text.replace(" (in container '')", ""))
    return text.replace("<input>:", "at ")[:300]
