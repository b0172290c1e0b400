"""The command ``forensics``: its subcommands, loaded when they are called."""

from __future__ import annotations

import importlib
import os
import sys

import click

from forensics.cli import diagnostics, exit_codes
from forensics.cli.exit_codes import ExitCode
from forensics.errors import ForensicsError
from forensics.records.looker import looking

#: Module of each command; its click command is named ``command`` there.
COMMANDS = {
    "init": "init",
    "ingest": "ingest",
    "compact": "compact",
    "trace": "trace",
    "replay": "replay",
    "whatif": "whatif",
    "explain": "explain",
    "find": "find",
    "as-of": "as_of",
    "timeline": "timeline",
    "diff": "diff",
    "audit": "audit",
    "access": "access",
    "policy": "policy",
    "hold": "hold",
    "erase": "erase",
    "check": "check",
    "lineage": "lineage",
    "report": "report",
    "verify": "verify",
    "anchor": "anchor",
    "keys": "keys",
    "model": "model",
    "tui": "tui",
    "serve": "serve",
    "demo": "demo",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed: start-up is most of a look-up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(f"forensics.cli.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name for an unknown one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"forensics {version('decision-forensics')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print the version and exit.",
)
@click.option("--lake", metavar="DIR", help="The lake, for whichever command follows.")
@click.option("--case", metavar="REF", help="The case that you look for: kept with every look.")
@click.option("--reason", metavar="TEXT", help="Why you look, likewise.")
@click.pass_context
def cli(ctx: click.Context, lake: str | None, case: str | None, reason: str | None) -> None:
    """Reconstruct, explain and prove automated decisions from the evidence they left.

    Answers go to standard output, everything else to standard error. Exit status: 0 answered,
    1 failed, 2 usage, 3 not found, 4 answered but evidence is incomplete or replay diverged,
    5 integrity broken, 130 stopped.
    """
    ctx.with_resource(looking(how=ctx.invoked_subcommand, case=case, reason=reason))


def run(arguments: list[str]) -> int:
    """Run the command line on ``arguments``: every error becomes words and an exit status here."""
    try:
        status = cli.main(arguments, prog_name="forensics", standalone_mode=False)
        sys.stdout.flush()
        _say_unrecorded()
        return int(status or 0)
    except ForensicsError as error:
        diagnostics.error(error)
        return exit_codes.of(type(error))
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return _stopped()
    except RuntimeError as error:
        if str(error) != "Query interrupted":  # DuckDB's word for an interrupt while it works
            raise
        return _stopped()
    except (BrokenPipeError, SystemExit):
        # Whoever read us has enough: click then exits. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.ANSWERED


def _say_unrecorded() -> None:
    """Say that a look at decisions went unrecorded, where one did."""
    looks = sys.modules.get("forensics.lake.looks")
    for why in getattr(looks, "unrecorded", [])[:1]:
        diagnostics.note(f"That you looked could not be recorded: {why}.")


def _stopped() -> int:
    diagnostics.note("Stopped.")
    return ExitCode.STOPPED
