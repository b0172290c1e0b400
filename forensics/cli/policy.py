"""``forensics policy``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import json_option, lake_option, lake_path
from forensics.errors import UsageError


@click.command("policy")
@click.option("--seal", is_flag=True, help="Put what privacy.toml says now in force.")
@click.option("--reason", metavar="TEXT", help="Why it is otherwise than before.")
@click.option("--history", is_flag=True, help="All versions that were in force, newest first.")
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    seal: bool,
    reason: str | None,
    history: bool,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Say which privacy policy is in force, or put another one in force.

    What is personal and who may see it is in LAKE/privacy.toml. Each version that comes into force
    is a sealed record: who, when, why, and what it says. Where the file says something else, nobody
    sees what is personal by either, until --seal.

    Exit status 0 when the file is in force and sealed, or there is none; 4 when it is not.
    """
    from forensics.lake import policies
    from forensics.lake.catalog import require_lake
    from forensics.lake.snapshot import take

    root = lake_path(lake)
    require_lake(root)
    if seal:
        from forensics.ingest.policy import seal as seal_

        if policies.standing(root).last is not None and not reason:
            raise UsageError("Another policy is in force.", "", "Say why: --reason TEXT")
        diagnostics.note(f"Sealed {seal_(root, reason)}.")
    if history:
        versions = policies.history(take(root))
        if not versions and not as_json:
            diagnostics.note("No policy was ever sealed in this lake.")
        for version in versions:
            if as_json:
                output.record(version._asdict())
            else:
                why = f" · {version.reason}" if version.reason else ""
                output.text(f"{version.policy_id}   by {version.actor} at {version.occurred_at}"
                            f"{why}   {version.digest[:19]}")  # fmt: skip
        return
    stands = policies.standing(root)
    last = stands.last
    if as_json:
        said: dict[str, Any] = {
            "in_force": stands.problem is None,
            "sealed": stands.is_sealed,
            "problem": stands.problem,
            "file": stands.digest,
            "last": last._asdict() if last is not None else None,
        }
        output.value(said)
    else:
        if last is not None:
            why = f": {last.reason}" if last.reason else ""
            output.text(f"{last.policy_id}   sealed by {last.actor} at {last.occurred_at}{why}")
        if stands.problem is not None:
            output.text(f"not in force: {stands.problem}; nobody sees what is personal")
            output.text('  put the file in force: forensics policy --seal --reason "…"')
        elif not stands.is_sealed:
            output.text("in force, and not sealed yet: the next ingest seals it, or --seal")
        else:
            output.text("in force and sealed" if last is not None else "there is no policy")
    ctx.exit(ExitCode.ANSWERED if stands.is_sealed else ExitCode.INCOMPLETE)
