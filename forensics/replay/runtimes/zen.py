"""Runs decision graphs of GoRules' ZEN engine (JDM files) and its policy documents.

What there is to know of zen-engine 2.1.3, found by running it:

- Numbers are decimals (rust_decimal: 96 bits, up to 28 places), and which decimal a double becomes
  depends on how a service passes it. As JSON text, over HTTP, from JavaScript and in
  ``evaluate_batch``, it is the shortest decimal that reads back as that double:
  0.30000000000000004 stays that. As a Python dict it is rounded to 15 or 16 digits: the same double
  becomes 0.3, and ``x > 0.3`` is false. A graph here reads JSON text; where a dict gives another
  answer, that is told beside it. Beyond 7.9e28 a number is refused, below 1e-28 it is 0, and there
  is no NaN and no infinity.
- A table's condition on a field that is not there is not true, so that a misspelt or unrecorded
  input decides silently. Fields that a deciding row looked at in vain are told.
- Functions may import ``http``. Nothing here can open a socket or a file once rules run.
- A function ends after 5 s, but not one that writes to the console, or waits: the process's own
  limits end those.
- ``ZenDecision.evaluate`` starts threads for each call, which takes 10 to 40 times as long as
  ``ZenEngine.evaluate`` with a loader.
"""

from __future__ import annotations

import json
import re

import zen

from forensics.replay.runtimes.installed import installed_version
from forensics.replay.runtimes.interface import ModelRefusedError, RuleRuntime
from forensics.replay.runtimes.packages import brief

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

_KEY = "decision"
_EMPTY = '{"nodes":[{"id":"i","name":"i","type":"inputNode"}],"edges":[]}'
#: More digits than a double is sure to keep, in JSON text.
_LONG_NUMBER = re.compile(r"\d(?:\.?\d){15}")
#: A whole number that may not fit into 64 bits.
_WIDE_NUMBER = re.compile(r"(?<![\d.])\d{19}")
_HTTP = re.compile(r"""(['"`])http\1|\bimport\s*(?:/\*.*?\*/\s*)*\(""", re.DOTALL)
_CLOCK = re.compile(
    r"\bDate\.now\b|\bnew\s+Date\s*\(\s*\)|\bdayjs\s*\(\s*\)"
    r"|\b(?:d|date|time|duration)\s*\(\s*\)|(['\"`])now\1|\bis(?:Today|Tomorrow|Yesterday)\b"
)
_CHANCE = re.compile(r"\bMath\.random\b|\brand\s*\(")


class ZenRuntime(RuleRuntime):
    """A decision graph or policy document; see :class:`RuleRuntime`.

    An answer to a row is ``{"value": …, "rules": […]}`` or ``{"error": reason}``. Of the first,
    ``rules`` has, in the order of evaluation, ``node``, ``id`` and ``row`` (from 1) of each row of
    a decision table that decided; ``absent``, if there, the fields which those rows looked at and
    the inputs do not have; ``from_dict``, if there, the other value that a service gets which
    passes a Python dict.

    Raises:
        ModelRefusedError: when the file is none of these, or needs what is not in it.
    """

    def __init__(self, data: bytes, library: str) -> None:
        text, document = _read(data)
        self._version = installed_version("zen_engine", library)
        nodes = document.get("nodes", ())
        self._names = {str(node["id"]): str(node["name"]) for node in nodes}
        self._tables = {
            str(node["id"]): node for node in nodes if node["type"] == "decisionTableNode"
        }
        self._asking = frozenset(_asking(nodes))
        self._traced = bool(self._tables or self._asking)
        self._kind = "policy" if "blocks" in document else "graph"
        self._size = len(document.get("blocks", nodes))
        self._unsteady = _unsteady(document)
        try:
            content = zen.ZenDecisionContent(text)
            if self._kind == "graph":
                zen.ZenEngine().create_decision(content).validate()
        except (RuntimeError, ValueError) as error:
            raise ModelRefusedError(f"ZEN cannot read it: {_first_line(error)}") from error
        self._engine = zen.ZenEngine({"loader": _only(content)})
        _lock()

    def describe(self) -> dict[str, Any]:
        """Which engine runs it, of what kind and size it is, and what is not the same every time.

        ``unsteady`` names the nodes and blocks that seem to use the clock or chance.
        """
        return {
            "runtime": f"zen-engine {self._version}",
            "kind": self._kind,
            "nodes": self._size,
            "unsteady": self._unsteady,
        }

    def evaluate(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The answer to each row of inputs; see the class."""
        return [self._answer(row) for row in rows]

    def _answer(self, row: Mapping[str, Any]) -> dict[str, Any]:
        try:
            inputs = json.dumps(row, allow_nan=False)
        except ValueError:
            name = next(_not_numbers(row, ""), "an input")
            return {"error": f"{name} is NaN or infinite, and ZEN has no such number"}
        except RecursionError:
            return {"error": "the inputs are nested too deeply"}
        try:
            answer = self._engine.evaluate(_KEY, inputs, {"trace": self._traced})
        except (RuntimeError, ValueError) as error:
            return {"error": self._reason(error)}
        trace = answer.get("trace") or {}
        if asked := self._asking & trace.keys():
            return {
                "error": f"node {self._names[min(asked)]} may ask other services over HTTP, and"
                " what they answered was not recorded"
            }
        found = {"value": answer["result"], **self._decided(trace)}
        if _LONG_NUMBER.search(inputs) and not _WIDE_NUMBER.search(inputs) and not self._unsteady:
            try:
                other = self._engine.evaluate(_KEY, dict(row))["result"]
            except (RuntimeError, ValueError) as error:
                other = {"error": self._reason(error)}
            if other != found["value"]:
                found["from_dict"] = other
        return found

    def _decided(self, trace: Mapping[str, Any]) -> dict[str, Any]:
        """The rows of tables that decided, in order, and what they looked at in vain."""
        rules: list[dict[str, Any]] = []
        absent: dict[str, None] = {}
        for node in sorted(trace.values(), key=_order):
            table = self._tables.get(node["id"])
            if table is not None:
                # With an input field of its own, a table looks at something else.
                whole = table["content"].get("inputField") is None
                rules += _rules(node, absent if whole else {})
        return {"rules": rules, **({"absent": list(absent)} if absent else {})}

    def _reason(self, error: Exception) -> str:
        """What a person needs of an error, which ZEN gives as JSON with a stack trace."""
        text = str(error).partition("\n\nStack backtrace")[0]
        try:
            told = json.loads(text)
            source, node = str(told.get("source", text)), told.get("nodeId")
        except (ValueError, AttributeError, RecursionError):
            return " ".join(text.split())[:300]
        try:  # functions of the first version tell their errors as JSON within JSON
            source = str(json.loads(source)["message"])
        except (ValueError, KeyError, TypeError, RecursionError):
            source = source.strip()
        source = " ".join(source.split())[:300]
        return f"node {self._names.get(node, node)}: {source}" if node else source


def _read(data: bytes) -> tuple[str, dict[str, Any]]:
    try:
        text = data.decode("utf-8-sig")
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelRefusedError(f"it is not JSON: {brief(error)}") from error
    if not isinstance(document, dict) or not ({"nodes", "blocks"} & document.keys()):
        raise ModelRefusedError(
            "it is neither a decision graph nor a policy of ZEN",
            "Record the graph as the service loads it: an object with nodes and edges.",
        )
    if imports := document.get("imports"):
        raise ModelRefusedError(f"it imports {_listed(imports)}, which are other files", _ONE_FILE)
    for name in ("nodes", "blocks"):
        if not isinstance(document.get(name, []), list):
            raise ModelRefusedError(f"its {name} are no list")
    for node in document.get("nodes", ()):
        try:
            kind, name = node["type"], str(node["name"])
            content = node.get("content")
            _ = str(node["id"])
        except (TypeError, KeyError, AttributeError) as error:
            raise ModelRefusedError("one of its nodes has no id, name or type") from error
        if kind == "decisionNode":
            key = content.get("key") if isinstance(content, dict) else None
            raise ModelRefusedError(
                f"its node {name} asks for the decision {key!r}, which is another file", _ONE_FILE
            )
        if kind == "customNode":
            raise ModelRefusedError(
                f"its node {name} is a custom one, run by code of the service that is not in it"
            )
    return text, document


_ONE_FILE = "Put what it needs into one graph, or make each file a step of the decision logic."


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list) else str(names)


def _only(content: Any) -> Any:
    def load(key: str) -> Any:
        if key != _KEY:
            raise KeyError(key)
        return content

    return load


def _lock() -> None:
    """No file or socket can be opened in this process from now on.

    The engine's threads and their descriptors are there after a first evaluation.
    """
    import resource

    empty = zen.ZenDecisionContent(_EMPTY)
    zen.ZenEngine({"loader": lambda _: empty}).evaluate(_KEY, "{}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _sources(node: Any) -> Iterator[str]:
    """Every text in a node, of which expressions and functions are some."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _sources(value)
    elif isinstance(node, list):
        for value in node:
            yield from _sources(value)


def _asking(nodes: Any) -> Iterator[str]:
    for node in nodes:
        if node["type"] == "functionNode" and any(map(_HTTP.search, _sources(node.get("content")))):
            yield str(node["id"])


def _unsteady(document: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in (*document.get("nodes", ()), *document.get("blocks", ())):
        texts = list(_sources(part))
        uses = [
            word
            for word, pattern in (("clock", _CLOCK), ("chance", _CHANCE))
            if any(map(pattern.search, texts))
        ]
        if uses and isinstance(part, dict):
            found[str(part.get("name", part.get("id")))] = uses
    return found


def _order(node: Any) -> int:
    order: int = node["order"]
    return order


def _rules(node: Any, absent: dict[str, None]) -> Iterator[dict[str, Any]]:
    """The rows of a table that decided; fields that they looked at in vain go into ``absent``."""
    traced = node["traceData"]
    for row in traced if isinstance(traced, list) else [traced] if traced else []:
        if isinstance(row, list):  # a table that collects, run once for each of many things
            yield from _rules({**node, "traceData": row}, absent)
            continue
        index = row["index"] + 1
        yield {"node": node["name"], "id": row["rule"].get("_id") or f"row {index}", "row": index}
        for field, value in row["reference_map"].items():
            if value is None and not _has(node["input"], field):
                absent[field] = None


def _has(inputs: Any, path: str) -> bool:
    """Whether there is a value or a null at a path; what is no plain path counts as there."""
    if not all(key.isidentifier() for key in path.split(".")):
        return True
    for key in path.split("."):
        if not isinstance(inputs, dict) or key not in inputs:
            return False
        inputs = inputs[key]
    return True


def _not_numbers(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        yield path or "an input"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _not_numbers(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _not_numbers(item, f"{path}[{at}]")


def _first_line(error: Exception) -> str:
    text = str(error).partition("\n\nStack backtrace")[0]
    return " ".join(text.replace("Failed to parse JSON", "").replace("Caused by:", "").split())[
        :300
    ]
