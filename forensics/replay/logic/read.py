"""Reading decision logic out of an artifact, and compiling its steps to SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from forensics.errors import ReplayError
from forensics.lake.sql import identifier, literal
from forensics.replay.logic.nouns import EngineUse, Lever, Logic, ModelUse, Rule, Step

_DIRECTIONS = ("any", "up", "down")
_POLICIES = ("first", "unique")
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_STEPS_MAX = 200

Document = Mapping[str, Any]


def read_logic(data: bytes) -> Logic:
    """The decision logic or rule set in an artifact.

    Expressions are checked when it is bound to names: see :func:`forensics.replay.logic.bind`.

    Raises:
        ReplayError: when it is neither, or asks for what is not known here.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReplayError(f"it is not JSON: {str(error)[:100]}") from error
    kind = document_type(document)
    if kind not in ("rules", "logic"):
        raise ReplayError(f"its type is {kind!r}, expected 'logic' or 'rules'")
    try:
        return _rule_set(document) if kind == "rules" else _logic(document)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        what = "rule set" if kind == "rules" else "decision logic"
        missing = isinstance(error, KeyError)
        why = f"{error} is missing" if missing else f"{type(error).__name__} {error}"
        raise ReplayError(f"it is not a whole {what}: {why}") from error


def document_type(document: Any) -> str | None:
    """What a JSON artifact says it is; None if nothing."""
    kind = document.get("type") if isinstance(document, Mapping) else None
    return kind if isinstance(kind, str) else None


def _rule_set(document: Document) -> Logic:
    model = ModelUse("score", None, document.get("output"), "value", {})
    for rule in (*document["rules"], document["default"]):
        if not isinstance(rule["outcome"], str):
            raise ReplayError(f"rule {rule['id']} has an outcome that is not text")
    table = _table(document, "rules")
    return _whole(document, (Step("score", "model", model=model), table), "score", "rules")


def _logic(document: Document) -> Logic:
    entries = document["steps"]
    if not isinstance(entries, list) or not 0 < len(entries) <= _STEPS_MAX:
        raise ReplayError(f"it needs 1 to {_STEPS_MAX} steps in a list")
    steps: list[Step] = []
    for at, entry in enumerate(entries):
        id_ = str(entry["id"])
        if not _ID.fullmatch(id_):
            raise ReplayError(f"step {id_!r}: an id is letters, digits and _, 63 at most")
        if id_.lower() in {step.id.lower() for step in steps}:
            raise ReplayError(f"two steps are called {id_}")
        kind = str(entry["kind"])
        if kind not in _KINDS:
            raise ReplayError(f"step {id_} is of kind {kind!r}; known are {', '.join(_KINDS)}")
        try:
            step = _KINDS[kind](entry, id_)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ReplayError(f"step {id_} (number {at + 1}): {missing}") from error
        steps.append(_guarded(step, entry))
    ids = [step.id for step in steps]
    models = [step.id for step in steps if step.kind in ("model", "calibration")]
    score = document.get("score", models[-1] if models else None)
    outcome = document.get("outcome", ids[-1])
    for what, id_ in (("score", score), ("outcome", outcome)):
        if id_ is not None and id_ not in ids:
            raise ReplayError(f"its {what} is step {id_!r}, which there is not")
    return _whole(document, tuple(steps), score, outcome)


def _whole(document: Document, steps: tuple[Step, ...], score: str | None, outcome: str) -> Logic:
    version = document.get("version")
    name = str(document.get("name", "rules"))
    version = None if version is None else str(version)
    return constrained(Logic(name, version, steps, score, outcome, {}, {}, ()), document)


def constrained(logic: Logic, declared: Document) -> Logic:
    """``logic`` with the levers, linked features and constraints that ``declared`` has.

    Raises:
        ReplayError: when they contradict each other.
    """
    levers, derived, constraints = logic.levers, logic.derived, logic.constraints
    if "levers" in declared:
        found = (declared["levers"] or {}).items()
        levers = {str(name): read_lever(str(name), lever) for name, lever in found}
    if "derived" in declared:
        derived = {str(name): str(sql) for name, sql in (declared["derived"] or {}).items()}
    if "constraints" in declared:
        constraints = tuple(str(text) for text in declared["constraints"] or ())
    if both := sorted(levers.keys() & derived.keys()):
        raise ReplayError(f"{both[0]} is both a lever and derived from others")
    return logic._replace(levers=levers, derived=derived, constraints=constraints)


def _guarded(step: Step, entry: Document) -> Step:
    """``step`` with its ``when``: where that is not true, the step has no value."""
    if entry.get("when") is None:
        return step
    guard = str(entry["when"])
    step = step._replace(guard=guard, texts=(guard, *step.texts))
    if step.choice is not None:
        skipped = len(step.rules) - 1
        choice = f"CASE WHEN ({guard}\n) THEN ({step.choice}) ELSE {skipped} END"
        return step._replace(choice=choice)
    if step.value is not None:
        return step._replace(value=f"CASE WHEN ({guard}\n) THEN ({step.value}\n) END")
    return step


def _model(entry: Document, id_: str) -> Step:
    kind = str(entry.get("value", "value"))
    if kind not in ("value", "margin"):
        raise ReplayError(f"step {id_} asks for {kind!r}; a model answers its value or margin")
    output = entry.get("output")
    if output is not None and (isinstance(output, bool) or not isinstance(output, (int, str))):
        raise ReplayError(f"step {id_}: output is the position or the class of one output")
    features = {str(name): str(sql) for name, sql in (entry.get("features") or {}).items()}
    use = ModelUse(id_, _digest(entry, id_), output, kind, features)
    return Step(id_, "model", tuple(features.values()), model=use)


def _calibration(entry: Document, id_: str) -> Step:
    of, method = str(entry["of"]), str(entry["method"])
    column = f"{id_}#of"
    if method == "platt":
        a, b = float(entry["a"]), float(entry["b"])
        value = f"1 / (1 + exp({a!r}::DOUBLE * {identifier(column)} + {b!r}::DOUBLE))"
    elif method == "isotonic":
        x, y = ([float(number) for number in entry[axis]] for axis in "xy")
        value = _isotonic(identifier(column), x, y)
    else:
        raise ReplayError(f"step {id_}: method {method!r} is not known, only platt and isotonic")
    helper = (column, f"({of}\n)::DOUBLE")
    return Step(id_, "calibration", (of,), helpers=(helper,), value=_as_type(value, entry, id_))


def _isotonic(v: str, xs: Sequence[float], ys: Sequence[float]) -> str:
    """Straight lines between points and constant beyond them, as in scikit-learn's isotonic fit."""
    pairs = list(zip(xs, ys, strict=True))
    if len(pairs) < 2 or any(b[0] <= a[0] for a, b in pairwise(pairs)):
        raise ValueError("x needs two or more ascending points, and y as many")
    parts = [f"WHEN {v} IS NULL OR isnan({v}) THEN NULL"]
    parts.append(f"WHEN {v} <= {xs[0]!r}::DOUBLE THEN {ys[0]!r}::DOUBLE")
    for (x0, y0), (x1, y1) in pairwise(pairs):
        slope = (y1 - y0) / (x1 - x0)
        line = f"{slope!r}::DOUBLE * ({v} - {x0!r}::DOUBLE) + {y0!r}::DOUBLE"
        parts.append(f"WHEN {v} <= {x1!r}::DOUBLE THEN {line}")
    return f"CASE {' '.join(parts)} ELSE {ys[-1]!r}::DOUBLE END"


def _expression(entry: Document, id_: str) -> Step:
    sql = str(entry["sql"])
    return Step(id_, "expression", (sql,), value=_as_type(f"({sql}\n)", entry, id_))


def _as_type(value: str, entry: Document, id_: str) -> str:
    """``value`` rounded to the type that a service keeps it in."""
    dtype = entry.get("dtype")
    if dtype is None:
        return value
    if dtype not in ("float32", "float64"):
        raise ReplayError(f"step {id_}: dtype {dtype!r} is not known, only float32 and float64")
    return f"({value})::{'REAL' if dtype == 'float32' else 'DOUBLE'}"


def _table(entry: Document, id_: str) -> Step:
    policy = entry.get("hit_policy", "first")
    if policy not in _POLICIES:
        raise ReplayError(f"hit policy {policy!r} is not known, only {' and '.join(_POLICIES)}")
    entries = list(entry["rules"])
    rules = [_rule(rule, str(rule["when"])) for rule in entries]
    whens = [str(rule["when"]) for rule in entries]
    if "default" in entry:
        entries.append(entry["default"])
        rules.append(_rule(entry["default"], None))
    values = [str(rule["value"]) if "value" in rule else None for rule in entries]
    return _choosing(id_, "table", rules, whens, values, policy)


def _bands(entry: Document, id_: str) -> Step:
    of = str(entry["of"])
    rules, whens, texts = [], list[str](), list[str]()
    missing = f"({of}\n) IS NULL OR isnan(({of}\n)::DOUBLE)"
    rules.append(Rule("missing", missing, entry.get("missing"), None))
    whens.append(missing)
    for at, band in enumerate(entry["bands"]):
        limits = [key for key in ("below", "at_most") if key in band]
        last = at == len(entry["bands"]) - 1
        if len(limits) != (0 if last else 1):
            raise ValueError("each band but the last needs either 'below' or 'at_most'")
        when = None
        if limits:
            bound = str(band[limits[0]])
            sign = "<" if limits[0] == "below" else "<="
            when = f"({of}\n) {sign} ({bound}\n)"
            whens.append(when)
            texts.append(bound)
        rules.append(Rule(str(band.get("id", band["value"])), when, band["value"], None))
    step = _choosing(id_, "bands", rules, whens, [None] * len(rules), "first")
    return step._replace(texts=(of, *texts, *step.texts))


def _choosing(
    id_: str,
    kind: str,
    rules: list[Rule],
    whens: list[str],
    values: list[str | None],
    policy: str,
) -> Step:
    """A step in which one of ``rules`` decides; the last three stand for nobody, several, not run.

    Args:
        id_: of the step.
        kind: of the step.
        rules: those with a condition first, then the default where there is one.
        whens: the conditions.
        values: by rule, the expression that it answers; None where it answers its outcome.
        policy: what happens when several rules hold.
    """
    default = len(whens)  # which is "none" where no default was declared
    if len(rules) == default:
        rules.append(Rule("none", None, None, "no rule holds"))
        values.append(None)
    several = len(rules)
    rules.append(Rule("several", None, None, "several rules hold, and only one may"))
    rules.append(Rule("not run", None, None, "the step's own condition does not hold"))
    cases = " ".join(f"WHEN ({when}\n) THEN {at}" for at, when in enumerate(whens))
    choice = f"CASE {cases} ELSE {default} END" if cases else str(default)
    if policy == "unique" and whens:
        held = " + ".join(f"(CASE WHEN ({when}\n) THEN 1 ELSE 0 END)" for when in whens)
        choice = f"CASE WHEN {held} > 1 THEN {several} ELSE {choice} END"
    texts = [value for value in values if value is not None]
    answers = " ".join(
        f"WHEN {at} THEN {_constant(rule.outcome) if value is None else f'({value})'}"
        for at, (rule, value) in enumerate(zip(rules, values, strict=False))
    )
    value = f"CASE {identifier(f'{id_}#rule')} {answers} END"
    return Step(
        id_,
        kind,
        (*texts, *whens),
        value=value,
        choice=choice,
        rules=tuple(rules),
        constant=not texts,
        unique=policy == "unique",
    )


def _rule(rule: Document, when: str | None) -> Rule:
    reason = rule.get("reason")
    outcome = None if "value" in rule else rule["outcome"]
    return Rule(str(rule["id"]), when, outcome, None if reason is None else str(reason))


def _fallback(entry: Document, id_: str) -> Step:
    of = [str(text) for text in entry["of"]]
    if not of:
        raise ValueError("'of' needs at least one step or expression")
    parts = [f"({text}\n)" for text in of]
    if "default" in entry:
        parts.append(_constant(entry["default"]))
    return Step(id_, "fallback", tuple(of), value=f"coalesce({', '.join(parts)})")


def _cache(entry: Document, id_: str) -> Step:
    of = str(entry["of"])
    return Step(id_, "cache", (of,), value=f"({of}\n)")


def _engine(entry: Document, id_: str) -> Step:
    kind = str(entry["kind"])
    inputs = entry.get("input")
    if inputs is not None:
        inputs = {str(path): str(sql) for path, sql in inputs.items()}
    source = entry.get("expression") if kind == "cel" else None
    digest = _digest(entry, id_)
    if source is None and digest is None:
        raise KeyError("artifact")
    output = entry.get("output")
    use = EngineUse(
        id_,
        kind,
        digest,
        None if source is None else str(source),
        inputs,
        None if output is None else str(output),
    )
    return Step(id_, kind, tuple((inputs or {}).values()), engine=use)


def _digest(entry: Document, id_: str) -> str | None:
    digest = entry.get("artifact")
    if digest is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", str(digest)):
        raise ReplayError(
            f"step {id_}: artifact {digest!r} is no digest, sha256: and 64 hex digits"
        )
    return None if digest is None else str(digest)


def _constant(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value!r}::DOUBLE"
    return literal(str(value))


_KINDS: dict[str, Callable[[Document, str], Step]] = {
    "model": _model,
    "calibration": _calibration,
    "expression": _expression,
    "table": _table,
    "bands": _bands,
    "cache": _cache,
    "fallback": _fallback,
    "zen": _engine,
    "cel": _engine,
}


def read_lever(name: str, lever: Document) -> Lever:
    """How a feature may be changed.

    Raises:
        ReplayError: when its limits contradict each other.
    """
    cost = float(lever.get("cost", 1.0))
    scale = float(lever["scale"]) if lever.get("scale") is not None else None
    direction = str(lever.get("direction", "any"))
    if not cost > 0 or (scale is not None and not scale > 0) or direction not in _DIRECTIONS:
        raise ReplayError(f"lever {name} needs cost > 0, scale > 0 and direction any, up or down")
    if "values" in lever:
        values = tuple(lever["values"])
        if not values or any(isinstance(value, (list, dict)) for value in values):
            raise ReplayError(f"lever {name} needs at least one value, each text or a number")
        return Lever(0.0, 0.0, 1.0, direction, False, values, cost, scale)
    integer = bool(lever.get("integer", False))
    low, high = float(lever["min"]), float(lever["max"])
    step = float(lever.get("step", 1.0 if integer else (high - low) / 1000))
    if not (low < high and step > 0):
        raise ReplayError(f"lever {name} needs min < max and step > 0")
    if integer and step != int(step):
        raise ReplayError(f"lever {name} is of whole numbers and has step {step:g}")
    return Lever(low, high, step, direction, integer, None, cost, scale)
