"""What a person means by a model, rule set, configuration or setting that is asked about."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensics.errors import NotFoundError, ReplayError, UsageError
from forensics.lake import sql
from forensics.lake.artifacts import PREFIX, ArtifactStore
from forensics.lake.expressions import check
from forensics.lake.snapshot import Snapshot
from forensics.lake.summaries import in_use
from forensics.replay.bulk.change import Change, Named, Setting
from forensics.replay.bulk.run import Window, files
from forensics.replay.evidence import json_value
from forensics.replay.logic import read_logic
from forensics.replay.session import usable_values

_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{6,64}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_END_US = 1 << 62
#: Different configurations of a window that are looked at for the names in them.
_CONFIGS_MAX = 1_000
#: Numeric types of features.
_NUMBERS = ("float64", "int64", "double", "float", "int32")


@dataclass(frozen=True, slots=True)
class Asked:
    """A change as a person asks for it.

    ``model``, ``config`` and ``rules`` are each a file, a digest or its beginning, or
    ``NAME@VERSION``; ``settings`` are ``NAME=VALUE``.
    """

    model: str | None = None
    config: str | None = None
    rules: str | None = None
    settings: tuple[str, ...] = ()


def change_of(
    snapshot: Snapshot, asked: Asked, features: Mapping[str, str], values: Mapping[str, Any]
) -> Change:
    """What is asked for, found in the lake or in files.

    Args:
        snapshot: the lake.
        asked: the words.
        features: types of the decision point's features by name.
        values: values of the configuration that its decisions use.

    Raises:
        UsageError: when nothing is to be different, or something that is named is not known.
        NotFoundError: when an artifact is known, and the lake does not hold it.
    """
    if asked == Asked():
        raise UsageError(
            "Nothing is to be different.",
            "",
            "Name --model, --config, --rules or --set NAME=VALUE.",
        )
    model = artifact(snapshot, "model", asked.model) if asked.model else None
    rules = artifact(snapshot, "rules", asked.rules) if asked.rules else None
    config = artifact(snapshot, "config", asked.config) if asked.config else None
    if rules is not None:
        try:
            read_logic(rules.path.read_bytes())
        except ReplayError as error:
            raise UsageError(f"{asked.rules} is no decision logic.", f"{error}.") from error
    whole = values_in(config.path, str(asked.config)) if config is not None else None
    overrides, changed = settings(
        asked.settings,
        features,
        {**values, **usable_values(whole or {})},
        snapshot.connection,
        any_config=rules is not None,
    )
    return Change(model, rules, config, whole, overrides, changed)


def artifact(snapshot: Snapshot, kind: str, text: str) -> Named:
    """The artifact that ``text`` names: a file, a digest or its beginning, or ``NAME@VERSION``.

    Versions are known from changes and from recorded decisions.

    Args:
        snapshot: the lake.
        kind: ``model``, ``rules`` or ``config``, as decisions record it.
        text: what was given.

    Raises:
        UsageError: when nothing is called so, or several are; it says what there is.
        NotFoundError: when it is known, and the lake does not hold it.
    """
    path = Path(text)
    if path.is_file():
        digest = PREFIX + hashlib.sha256(path.read_bytes()).hexdigest()
        return Named(digest, path.name, path)
    known = versions(snapshot, kind)
    if _DIGEST.fullmatch(text):
        return _by_digest(snapshot, kind, text, known)
    found = {digest for digest, name in known.items() if text in _callings(name)}
    if not found:
        raise _unknown(kind, text, known)
    if len(found) > 1:
        raise UsageError(
            f"Several {_MANY[kind]} are called {text}.",
            f"Digests: {', '.join(sorted(found))}.",
            "Name one by its digest.",
        )
    digest = found.pop()
    return _kept(snapshot, kind, digest, known[digest])


def versions(snapshot: Snapshot, kind: str) -> dict[str, str]:
    """How artifacts of a kind are called, as ``NAME@VERSION`` by digest."""
    found: dict[str, str] = {}
    paths = snapshot.paths("changes")
    if paths:
        source = f"read_parquet({sql.literal(paths)}, union_by_name = true)"
        parts = [
            f"SELECT component, {end}_version, {end}_digest, occurred_at FROM {source} "
            f"WHERE {end}_digest IS NOT NULL AND kind IN ({_CHANGES[kind]})"
            for end in ("from", "to")
        ]
        with sql.reading("The table of changes"):
            rows = snapshot.connection.execute(
                f"SELECT * EXCLUDE (occurred_at) FROM ({' UNION ALL '.join(parts)}) "
                "ORDER BY occurred_at"
            ).fetchall()
        for component, version, digest in rows:
            found[digest] = _calling(component, version)
    for usage in in_use(snapshot, until_us=_END_US):
        if usage.digest is None:
            continue
        if usage.kind == kind:
            found[usage.digest] = _calling(usage.name, usage.version)
        else:  # the same kinds of changes bring other artifacts too
            found.pop(usage.digest, None)
    return found


#: Kinds of changes that bring an artifact of a kind.
_CHANGES = {
    "model": "'deploy', 'artifact', 'control'",
    "rules": "'deploy', 'config', 'artifact'",
    "config": "'config', 'flag', 'control'",
}
_MANY = {"model": "models", "rules": "rule sets", "config": "configurations"}
_ONE = {"model": "model", "rules": "rule set", "config": "configuration"}


def _calling(name: str | None, version: str | None) -> str:
    return "@".join(part for part in (name, version) if part)


def _callings(name: str) -> set[str]:
    """All that an artifact may be called: also by its version alone."""
    return {name, name.rpartition("@")[2]} - {""}


def _by_digest(snapshot: Snapshot, kind: str, text: str, known: Mapping[str, str]) -> Named:
    start = PREFIX + text.removeprefix(PREFIX)
    folder = snapshot.root / "artifacts" / "sha256"
    digests = [
        PREFIX + path.name
        for path in sorted(folder.glob(f"{text.removeprefix(PREFIX)[:2]}/*"))
        if (PREFIX + path.name).startswith(start)
    ]
    if not digests:
        raise _unknown(kind, text, known)
    if len(digests) > 1:
        raise UsageError(
            f"Several artifacts begin with {text}.", f"They are {', '.join(digests[:5])}."
        )
    return _kept(snapshot, kind, digests[0], known.get(digests[0], ""))


def _kept(snapshot: Snapshot, kind: str, digest: str, calling: str) -> Named:
    path = ArtifactStore(snapshot.root).path(digest)
    short = digest.removeprefix(PREFIX)[:6]
    if path is None:
        raise NotFoundError(
            f"The {_ONE[kind]} {calling} ({digest}) is not in this lake.",
            "Decisions or changes name it, but its bytes were never taken in.",
            "Take it in: forensics ingest --format artifact FILE",
        )
    return Named(digest, f"{calling.replace('@', ' ')} ({short})" if calling else short, path)


def _unknown(kind: str, text: str, known: Mapping[str, str]) -> UsageError:
    names = sorted({name for name in known.values() if name})
    near = difflib.get_close_matches(text, names, n=3, cutoff=0.4)
    return UsageError(
        f"No {_ONE[kind]} {text!r}: it is no file, no digest in this lake and no known version.",
        f"Known: {', '.join(names[:12])}." if names else f"The lake knows no {_MANY[kind]}.",
        f"Nearest: {', '.join(near)}." if near else "",
    )


def settings(
    texts: Iterable[str],
    features: Mapping[str, str],
    config: Mapping[str, Any],
    connection: sql.Connection,
    *,
    any_config: bool = False,
) -> tuple[dict[str, Any], dict[str, Setting]]:
    """Other values of the configuration and of features, out of ``NAME=VALUE``.

    Args:
        texts: as given. ``config.x`` and ``features.x`` tell names apart; what follows
            ``features.x=`` may be an SQL expression over features and configuration.
        features: types of the features by name.
        config: values of the configuration that decisions use, to know their names and types.
        connection: where expressions are checked.
        any_config: whether ``config.x`` may name a value that no decision uses yet.

    Raises:
        UsageError: when a name is neither, or a value does not suit it.
    """
    overrides: dict[str, Any] = {}
    changed: dict[str, Setting] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            raise UsageError(f"{text!r} sets nothing.", "", "Use NAME=VALUE.")
        group, _, rest = name.partition(".")
        if group == "features" and name not in features:
            changed[_known(rest, features, name)] = _setting(
                value, rest, features, config, connection
            )
        elif group == "config" and name not in config:
            if not any_config:
                _known(rest, config, name)
            overrides[rest] = _of_type(literal(value), rest, config.get(rest))
        elif name in features and name in config:
            raise UsageError(
                f"{name!r} is both a feature and a value of the configuration.", "",
                f"Say which: features.{name}={value} or config.{name}={value}.",
            )  # fmt: skip
        elif name in features:
            changed[name] = Setting(_as_feature(literal(value), value, name, features[name]))
        else:
            overrides[_known(name, {**config, **features}, name)] = _of_type(
                literal(value), name, config.get(name)
            )
    return overrides, changed


def literal(text: str) -> Any:
    """A value as it is written: a number, ``true``, ``false``, ``null``, or text."""
    words = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    if _NUMBER.fullmatch(text):
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else float(text)
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    return text


def _setting(
    text: str,
    name: str,
    features: Mapping[str, str],
    config: Mapping[str, Any],
    connection: sql.Connection,
) -> Setting:
    value = literal(text)
    if not isinstance(value, str) or text.startswith("'"):
        return Setting(_as_feature(value, text, name, features[name]))
    names = {*features, *config, *(f"features.{n}" for n in features)}
    check(text, names | {f"config.{n}" for n in config}, connection=connection)
    return Setting(expression=text)


def _as_feature(value: Any, text: str, name: str, type_: str) -> Any:
    """A value in the feature's type."""
    if value is None:
        return None
    if type_ in _NUMBERS and isinstance(value, (bool, int, float)):
        return float(value)
    if type_ == "bool" and isinstance(value, bool):
        return value
    if type_ in ("string", "json"):
        return value if isinstance(value, str) else text
    raise UsageError(
        f"{name} is of type {type_}; {text!r} is not.", "",
        f"An expression is written features.{name}=EXPRESSION.",
    )  # fmt: skip


def _of_type(value: Any, name: str, known: Any) -> Any:
    """A value of the configuration; text does not take the place of a number."""
    is_number = isinstance(known, (int, float)) and not isinstance(known, bool)
    if is_number and isinstance(value, str):
        raise UsageError(f"{name} is a number in the recorded configurations; {value!r} is not.")
    return value


def _known(name: str, names: Collection[str], written: str) -> str:
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    raise UsageError(
        f"Nothing is called {written!r}: no feature and no value of the configuration.",
        f"Nearest: {', '.join(near)}." if near else "",
        f"Known: {', '.join(sorted(names)[:20])}." if not near else "",
    )


def values_in(path: Path, text: str) -> dict[str, Any]:
    """The values of a configuration file.

    Raises:
        UsageError: when it holds no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{text} cannot be read as a configuration.", f"{error}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{text} is no configuration.", "It holds no JSON object.")
    return values


def recorded_values(snapshot: Snapshot, window: Window) -> dict[str, Any]:
    """Values of the configurations that a window's decisions record or name, one of each name."""
    table = f"decisions/{window.decision_point}"
    paths = [str(snapshot.root / table / file.name) for file in files(snapshot, window)]
    found: dict[str, Any] = {}
    if not paths:
        return found
    source = f"read_parquet({sql.literal(paths)}, union_by_name = true)"
    with sql.reading("A table of decisions"):
        texts = snapshot.connection.execute(
            f'SELECT DISTINCT config."values", config.digest FROM {source} LIMIT {_CONFIGS_MAX}'
        ).fetchall()
        ((threshold,),) = snapshot.connection.execute(
            f"SELECT any_value(threshold) FROM {source}"
        ).fetchall()
    store = ArtifactStore(snapshot.root)
    if threshold is not None:
        found["threshold"] = threshold
    for text, digest in texts:
        values = json_value(text)
        if not isinstance(values, dict) and digest is not None:
            data = store.read(digest)
            values = json_value(data.decode(errors="replace")) if data is not None else None
        if isinstance(values, dict):
            found |= usable_values(values)
    return found
