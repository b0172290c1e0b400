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
    from forensics.lake.snapshot import Snapshot
    from forensics.lake.verify.whole import Verified


@click.command("verify")
@click.argument("identifier", metavar="[ID|BUNDLE.zip]", required=False)
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
@click.option(
    "--bundle",
    "bundle_to",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT.zip",
    help="Write the decision ID with all that belongs to it and its proofs there.",
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
    bundle_to: Path | None,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Prove that records are what was sealed, and that none is missing: all, a window, or one.

    Of an evidence bundle, BUNDLE.zip, all that is in it is checked; that needs no lake.

    Exit status 0: whole. 4: nothing is wrong, but something cannot be proven. 5: broken.
    """
    if identifier is None and (proof is not None or bundle_to is not None):
        raise UsageError(
            "--proof and --bundle need the id of a decision.", "", "forensics verify ID --proof DIR"
        )
    if identifier is not None and (since or until or deep):
        raise UsageError("One decision has no window.", "", "Leave --since, --until, --deep out.")
    if proof is not None and bundle_to is not None:
        raise UsageError("Use one of --proof and --bundle.", "A bundle has the proof in it.")
    if identifier is not None and identifier.lower().endswith(".zip"):
        if proof or bundle_to or checkpoints:
            raise UsageError("A bundle is checked with --key alone.", "It has one checkpoint.")
        ctx.exit(_bundle(Path(identifier), keys, as_json))
    root = lake_path(lake)
    if identifier is not None:
        ctx.exit(_one(root, identifier, keys, checkpoints, proof, bundle_to, as_json))
    from forensics.ingest.reread import differences
    from forensics.lake.verify.whole import Options, verify
    from forensics.records.times import to_micros

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
    bundle_to: Path | None,
    as_json: bool,
) -> ExitCode:
    from forensics.ingest.reread import differences
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
    proven = [one.prove(root, kept, trusted, remembered, differences) for kept in found]
    if bundle_to is not None:
        return _write_bundle(snapshot, identifier, bundle_to, as_json)
    if proof is not None:
        from forensics.lake import looks
        from forensics.lake.verify import bundle

        masked = sorted({path for kept in found for path in kept.sealed.get("redacted") or ()})
        if masked:
            raise UsageError(
                "A proof has the received bytes, and not all of them are for you to see.",
                f"Personal: {', '.join(masked[:5])}.",
                "forensics verify ID --bundle OUT.zip leaves them out, and says so.",
            )
        unmasked = {path for kept in found for path in kept.sealed.get("unmasked") or ()}
        looks.saw(root, [kept.named[-1] or identifier for kept in found], unmasked=unmasked)
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


def _write_bundle(snapshot: Snapshot, identifier: str, target: Path, as_json: bool) -> ExitCode:
    """Write the evidence of one decision; status 4 where something had to be left out."""
    from forensics.report.bundle import bundle

    made = bundle(snapshot, [identifier], target)
    if as_json:
        output.value(made.to_dict())
    else:
        from forensics.report.verify import written_screen

        output.lines(written_screen(made, output.width()))
    return ExitCode.INCOMPLETE if made.manifest.left_out else ExitCode.ANSWERED


def _bundle(path: Path, keys: tuple[Path, ...], as_json: bool) -> ExitCode:
    """Check a bundle that somebody gave."""
    from forensics.lake.verify.bundle_check import check

    checked = check(path, _trusted(keys))
    if as_json:
        output.value(checked.to_dict())
    else:
        from forensics.report.verify import bundle_screen

        output.lines(bundle_screen(checked, output.width()))
    if checked.findings.broken:
        return ExitCode.INTEGRITY
    return ExitCode.INCOMPLETE if checked.findings.gaps else ExitCode.ANSWERED


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
