"""The decisions that an id names, explained: found in the lake, replayed, and put in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.errors import NotFoundError
from forensics.explain.explanation import Explanation, Options, explain
from forensics.explain.reference import Reference, read_reference
from forensics.explain.templates import Templates, read_templates
from forensics.lake.artifacts import PREFIX, ArtifactStore, digest_of
from forensics.lake.snapshot import Snapshot
from forensics.lake.usual import usual as usual_of
from forensics.reconstruct.named import named
from forensics.reconstruct.trace import USUAL_DAYS
from forensics.records.decision import Decision
from forensics.records.times import DAY_US, to_micros
from forensics.replay.session import ReplaySession

if TYPE_CHECKING:
    from forensics.replay.client import Workers


def explained(
    snapshot: Snapshot, identifier: str, options: Options, *, workers: Workers | None = None
) -> list[Explanation]:
    """All decisions that ``identifier`` names, explained, oldest first.

    Args:
        snapshot: the lake.
        identifier: a request id or a decision id.
        options: what is wanted.
        workers: model processes to use and to leave running.

    Raises:
        NotFoundError: when no decision has that id.
        UsageError: when background, reference or templates do not fit.
        DependencyError: when shap is needed and not installed.
    """
    found = named(snapshot, snapshot.locate(identifier), identifier)
    artifacts = ArtifactStore(snapshot.root)
    answers = []
    for kept, decision in found:
        asked = options
        if options.reasons and not options.medians:
            asked = replace(options, medians=_usual(snapshot, decision))
        with ReplaySession(
            decision, artifacts, connection=snapshot.connection, workers=workers
        ) as session:
            answer = explain(session, identifier, asked)
        altered = kept.verified is False or bool(artifacts.altered)
        answers.append(replace(answer, verified=False if altered else kept.verified))
    return answers


def templates_at(path: Path) -> Templates:
    """The reason templates in a file.

    Raises:
        NotFoundError: when it cannot be read.
        UsageError: when it is not what it should be.
    """
    return read_templates(_file(path))


def reference_named(given: str, root: Path) -> Reference:
    """The reference population that ``given`` names: a digest in the lake at ``root``, or a file.

    Raises:
        NotFoundError: when there is none.
        UsageError: when it is no reference population.
    """
    if not given.startswith(PREFIX):
        data = _file(Path(given))
        return read_reference(data, digest_of(data))
    kept = ArtifactStore(root).read(given)
    if kept is None:
        raise NotFoundError(
            f"No artifact {given[:19]}… in this lake.", "",
            "Make one: forensics explain --decision-point P --adverse OUTCOME --pin",
        )  # fmt: skip
    return read_reference(kept, given)


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read.", f"{error.strerror}.") from error


def _usual(snapshot: Snapshot, decision: Decision) -> dict[str, float]:
    """What was usual in the days before, for templates that tell high from low values."""
    day = to_micros(decision.occurred_at) // DAY_US
    usual = usual_of(snapshot, decision.decision_point, day - USUAL_DAYS, day - 1)
    return {name: each.median for name, each in usual.items()}
