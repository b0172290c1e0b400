"""What replay reads out of a record: JSON groups, steps, configuration, the exact score."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from forensics.errors import ForensicsError
from forensics.records.decision import Decision
from forensics.records.replay import Divergence


class Artifacts(Protocol):
    """Where the bytes that a component ran are kept, by ``sha256:…`` digest."""

    def path(self, digest: str) -> Path | None:
        """A file with exactly those bytes, verified; None when the lake has none."""

    def read(self, digest: str) -> bytes | None:
        """Exactly those bytes, verified; None when the lake has none."""


class Config(NamedTuple):
    """The configuration's values, where they contradict something, and what is missing."""

    values: Mapping[str, Any]
    known: bool
    divergence: Divergence | None
    missing: tuple[str, ...]


Closeness = Literal["exact", "ulp", "apart"]


def json_value(value: Any) -> Any:
    """A JSON field of the contract: parsed text, or what is no text as it is; None if no JSON."""
    if not isinstance(value, str):
        return value
    import json

    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


class Stepped(Protocol):
    """Anything with recorded steps."""

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        """The steps in order."""


def step_of(decision: Stepped, kind: str) -> Mapping[str, Any]:
    """The last recorded step of ``kind``, rather one that names its artifact; empty if none."""
    steps = [step for step in decision.steps if step.get("kind") == kind]
    with_digest = [step for step in steps if step.get("digest")]
    return (with_digest or steps or [{}])[-1]


def step_outputs(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a step answered, empty unless it is an object."""
    outputs = json_value(step.get("outputs"))
    return outputs if isinstance(outputs, Mapping) else {}


_FAILED = frozenset(("error", "failed", "failure", "timeout", "timed_out", "cancelled"))


def steps_failed(decision: Decision) -> frozenset[str]:
    """Ids and components of recorded steps that failed at the time, and so gave no value."""
    found: set[str] = set()
    for step in decision.steps:
        if str(step.get("status", "")).lower() in _FAILED or step.get("error"):
            found.update(str(step[key]) for key in ("id", "component") if step.get(key))
    return frozenset(found)


def read_artifact(artifacts: Artifacts, digest: str, what: str) -> tuple[bytes | None, str | None]:
    """The artifact's bytes, or what to name as missing."""
    try:
        data = artifacts.read(digest)
    except (ForensicsError, OSError) as error:
        return None, f"artifact {digest} ({what}): {error}"
    return data, None if data is not None else f"artifact {digest} ({what})"


def read_config(decision: Decision, artifacts: Artifacts) -> Config:
    """Values as recorded, else from the artifact; both are compared where both exist."""
    recorded = json_value(decision.config.get("values"))
    digest = decision.config.get("digest")
    stored, missing = None, None
    if digest:
        data, missing = read_artifact(artifacts, str(digest), "configuration")
        if data is not None:
            stored = json_value(data.decode(errors="replace"))
            if not isinstance(stored, Mapping):
                missing, stored = f"artifact {digest} (configuration): no JSON object", None
    if not isinstance(recorded, Mapping):
        recorded = None
    values = recorded if recorded is not None else stored
    divergence = _config_divergence(decision, values, recorded, stored)
    return Config(
        values or {},
        values is not None,
        divergence,
        ("config.values", *((missing,) if missing else ())) if values is None else (),
    )


def _config_divergence(
    decision: Decision, values: Any, recorded: Any, stored: Any
) -> Divergence | None:
    if recorded is not None and stored is not None and recorded != stored:
        names = [n for n in {**recorded, **stored} if recorded.get(n) != stored.get(n)]
        left = {name: recorded.get(name) for name in names}
        right = {name: stored.get(name) for name in names}
        said = ", ".join(f"{n} {left[n]!r} against {right[n]!r}" for n in names[:3])
        statement = f"the recorded values are not those of the configuration it names: {said}"
        return Divergence("config", left, right, statement)
    configured = (values or {}).get("threshold")
    compared = decision.threshold
    if compared is None or not isinstance(configured, int | float):
        return None
    # A service may have compared, and recorded, the float32 nearest to what is configured.
    if float32_bytes(configured) != float32_bytes(compared):
        statement = (
            f"the score was compared with {compared:g}; its configuration says {configured:g}"
        )
        return Divergence("config", compared, configured, statement)
    return None


def float32_bytes(value: float) -> bytes:
    """``value`` rounded to float32, little-endian; infinite where it does not fit."""
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", float("inf") if value > 0 else float("-inf"))


def closeness(decision: Decision, replayed: float) -> Closeness | None:
    """How near a replayed float32 is to the recorded score, in the recorded type; None if none is.

    A number recorded without a type is compared as float32, which takes its shortest decimal and
    its whole expansion for the same.
    """
    raw, dtype, number = decision.score_bytes, decision.score_dtype, decision.score
    if raw is None and number is None:
        return None
    if dtype is None:
        dtype = {4: "float32", 8: "float64"}.get(len(raw) if raw else 4, "float32")
    if dtype == "int64":
        whole = int.from_bytes(raw, "little", signed=True) if raw else number
        return "exact" if whole == replayed else "apart"
    code, size, order = ("<d", 8, "<q") if dtype == "float64" else ("<f", 4, "<i")
    if raw is None:
        number = float("nan") if number is None else number
        raw = struct.pack(code, number) if size == 8 else float32_bytes(number)
    mine = struct.pack(code, replayed)
    if raw == mine:
        return "exact"
    if len(raw) != size:
        return "apart"
    left, right = struct.unpack(code, raw)[0], replayed
    if left == right:  # zeros of both signs
        return "ulp"
    if left != left or right != right or (left < 0) != (right < 0):
        return "apart"
    steps = abs(struct.unpack(order, raw)[0] - struct.unpack(order, mine)[0])
    return "ulp" if steps == 1 else "apart"
