"""Takes out of a record what whoever looks may not see, and says what was seen in the clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from forensics.privacy.policy import NEVER, Policy
from forensics.records.looker import Looker

Json = dict[str, Any]


class Masked(NamedTuple):
    """A record without what may not be seen.

    ``redacted`` says of each path that was taken out by what rule; ``unmasked`` are the paths of
    personal fields that were left in.
    """

    record: Json
    redacted: dict[str, str]
    unmasked: tuple[str, ...]


def masked(
    policy: Policy,
    looker: Looker,
    point: str,
    record: Mapping[str, Any],
    token: Callable[[str], str | None] = lambda subject: None,
    *,
    kind: str = "decision",
) -> Masked:
    """A record as somebody may see it.

    Args:
        policy: what is personal, and who may see it.
        looker: who looks.
        point: the decision point; "" where it is not known.
        record: by the contract's names.
        token: what is shown for a subject's id that may not be seen; nothing where None.
        kind: of the record.
    """
    rule = policy.rule(looker)
    redacted: dict[str, str] = {}
    unmasked: list[str] = []

    def taken(path: str) -> bool:
        if not policy.is_personal_in(kind, point, path):
            return False
        if policy.may_see_in(looker, kind, point, path):
            unmasked.append(path)
            return False
        redacted[path] = rule
        return True

    def group(name: str, values: Mapping[str, Any]) -> Json:
        return {key: value for key, value in values.items() if not taken(f"{name}.{key}")}

    kept: Json = {}
    for name, value in record.items():
        if kind == "decision" and name in NEVER:
            kept[name] = value
        elif policy.is_personal_in(kind, point, name):
            if not taken(name):
                kept[name] = value
        elif isinstance(value, Mapping):
            kept[name] = group(name, value)
        elif isinstance(value, list):
            kept[name] = [group(name, one) if isinstance(one, Mapping) else one for one in value]
        else:
            kept[name] = value
    if "subject.id" in redacted:
        shown = token(str((record.get("subject") or {}).get("id")))
        if shown is not None:
            kept.setdefault("subject", {})["id"] = shown
    return Masked(kept, redacted, tuple(dict.fromkeys(unmasked)))
