"""``forensics verify``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import TIME, json_option, lake_option, lake_path
from forensics.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from forensics.integrity.note import Key
    from forensics.lake.verify.whole import Verified


@click.command("verify")
@click.argument("identifier", metavar="[ID]", required=False)
@click.option("--since", type=TIME, help="Only records from this time on: ISO 8601 or `2h ago`.")
@click.option("--until", type=TIME, help="Only records before this time.")
@click.option(
    "--key",
    "keys",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Public keys to trust, got from elsewhere than the lake; a vkey on each line.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="A checkpoint of this lake that was kept: the log must still contain it.",
)
@click.option(
    "--deep",
    is_flag=True,
    help="Compare the columns of every record with its bytes, also in files that are intact.",
)
@click.option(
    "--proof",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the proof of the decision ID there, to be checked without this program.",
)
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    identifier: str | None,
    since: datetime | None,
    until: datetime | None,
    keys: tuple[Path, ...],
    checkpoints: tuple[Path, ...],
    deep: bool,
    proof: Path | None,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Prove that records are what was sealed, and that none is missing: all, a window, or one.

    Exit status 0: whole. 4: nothing is wrong, but something cannot be proven. 5: broken.
    """
    if identifier is None and proof is not None:
        raise UsageError(
            "--proof needs the id of a decision.", "", "forensics verify ID --proof DIR"
        )
    if identifier is not None and (since or until or deep):
        raise UsageError("One decision has no window.", "", "Leave --since, --until, --deep out.")
    root = lake_path(lake)
    if identifier is not None:
        ctx.exit(_one(root, identifier, keys, checkpoints, proof, as_json))
    from forensics.ingest.reread import differences
    from forensics.lake.read import to_micros
    from forensics.lake.verify.whole import Options, verify

    options = Options(
        first=to_micros(since) if since else None,
        last=to_micros(until) - 1 if until else None,
        keys=_trusted(keys),
        remembered=_remembered(root, checkpoints),
        deep=deep,
    )
    with diagnostics.Progress("verify") as progress:
        verified = verify(root, options, differences, progress=progress.update)
    if as_json:
        output.value(verified.to_dict())
    else:
        from forensics.report.verify import screen

        output.lines(screen(verified, output.width()))
    ctx.exit(_status(verified))


def _status(verified: Verified) -> ExitCode:
    if verified.findings.broken:
        return ExitCode.INTEGRITY
    return ExitCode.INCOMPLETE if verified.findings.gaps else ExitCode.ANSWERED


def _one(
    root: Path,
    identifier: str,
    keys: tuple[Path, ...],
    checkpoints: tuple[Path, ...],
    proof: Path | None,
    as_json: bool,
) -> ExitCode:
    from forensics.lake import read
    from forensics.lake.snapshot import take
    from forensics.lake.verify import one

    snapshot = take(root)
    found = [kept for kept in read.records(snapshot, snapshot.locate(identifier))
             if identifier in kept.named]  # fmt: skip
    if not found:
        raise NotFoundError(
            f"No record {identifier!r} in this lake.",
            "Either it was never here, or it was removed.",
            "forensics verify tells whether a sealed record is missing.",
        )
    trusted, remembered = _trusted(keys), _remembered(root, checkpoints)
    proven = [one.prove(root, kept, trusted, remembered) for kept in found]
    if proof is not None:
        from forensics.lake.verify import bundle

        for number, each in enumerate(item for item in proven if item is not None):
            bundle.write(proof / each.table / f"{number}" if len(proven) > 1 else proof, each)
    for shown, kept in zip(proven, found, strict=True):
        if as_json:
            unsealed = {"id": kept.named[0], "status": "incomplete", "table": kept.location.table}
            output.record(shown.to_dict() if shown is not None else unsealed)
            continue
        from forensics.report.verify import one_screen

        output.lines(one_screen(kept.named[0] or identifier, kept.location.table, shown))
    if proof is not None:
        diagnostics.note(f"Proof written to {proof}; its README says how to check it.")
    return ExitCode.INCOMPLETE if None in proven else ExitCode.ANSWERED


def _trusted(paths: tuple[Path, ...]) -> list[Key]:
    from forensics.lake.seal_keys import read_keys

    found = [key for path in paths for key in read_keys(path)]
    if paths and not found:
        raise UsageError("The files of --key name no key.")
    return found


def _remembered(root: Path, paths: tuple[Path, ...]) -> list[tuple[str, bytes]]:
    from forensics.lake.layout import identity
    from forensics.lake.verify import memory

    found = [(f"the checkpoint in {path.name}", path.read_bytes()) for path in paths]
    last = memory.recall(identity(root))
    return [*found, *([("the last verification", last)] if last else [])]
