"""Writes ``docs/reference/`` from the code; with ``--check`` only says what is stale, by exit 1."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from forensics import errors
from forensics.cli import exit_codes
from forensics.cli.main import cli
from forensics.reconstruct.detectors import DETECTORS
from forensics_schemas import KINDS, json_schema

REFERENCE = Path(__file__).parent / "reference"


def records() -> str:
    """Every field of every record kind."""
    page = [
        "# Records",
        "A line of JSON is one record, and a decision unless its `record` says otherwise. Fields "
        "that are not required may be absent or `null`; fields that are not listed are kept as "
        "they came. The schemas are in the package: `forensics_schemas.json_schema(kind)`.",
        'A *time* is RFC 3339 with its zone. A *number* is a JSON number, or one of `"NaN"`, '
        '`"Infinity"`, `"-Infinity"`. *Any* is any JSON value, kept as written.',
    ]
    for kind in KINDS:
        schema = json_schema(kind)
        rows = [
            (f"`{path}`", _type(field), "yes" if required else "", field["description"])
            for path, field, required in _fields(schema)
        ]
        page += [
            f"## {kind}",
            f"{schema['description']} `{schema['$id']}`",
            _table(("field", "type", "required", "meaning"), rows),
        ]
        if "anyOf" in schema:
            page.append("One of `request_id` and `decision_id` is required.")
    return _page(page)


def _fields(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Path, schema and whether required, for every field, a group before its fields."""
    for name, field in schema["properties"].items():
        items = field.get("items", {})
        path = prefix + name + ("[]" if items else "")
        yield path, field, name in schema.get("required", ())
        for nested in (field, items):
            if "properties" in nested:
                yield from _fields(nested, f"{path}.")


def _type(field: dict[str, Any]) -> str:
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{word}`" for word in field["enum"] if word is not None)
    if "items" in field and not set(field.get("type", ())) & {"string", "number", "boolean"}:
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field and "properties" not in field:
        return f"map of {_type(field['additionalProperties'])}"
    for shape in (field, *field.get("anyOf", ())):
        if "$ref" in shape:
            return str(shape["$ref"].rpartition("/")[2])
    types = field.get("type", "any")
    names = [types] if isinstance(types, str) else [name for name in types if name != "null"]
    words = {"string": "text", "array": "list of number"}
    return " or ".join(words.get(name, name) for name in names)


def commands() -> str:
    """Every command with its arguments and options."""
    page = [
        "# Commands",
        "Data goes to stdout and everything else to stderr. Exit codes: [errors](errors.md).",
    ]
    for context in _contexts(_root()):
        name, command = context.command_path, context.command
        usage = command.get_usage(context).removeprefix("Usage: ")
        page += [f"## {name}", f"```\n{usage}\n```", _prose(command.help or "")]
        help_records = [option.get_help_record(context) for option in command.get_params(context)]
        rows = [(f"`{record[0]}`", record[1]) for record in help_records if record and record[1]]
        if rows:
            page.append(_table(("option", "meaning"), rows))
    return _page(page)


def _prose(help_text: str) -> str:
    """A help text as Markdown: what click is told not to wrap becomes a block of code."""
    blocks = inspect.cleandoc(help_text).split("\n\n")
    return "\n\n".join(
        f"```\n{inspect.cleandoc(block[1:])}\n```" if block.startswith("\b") else block
        for block in blocks
    )


def all_commands() -> list[tuple[str, click.Command]]:
    """Full name and command of everything that ``forensics`` can be asked."""
    return [(context.command_path, context.command) for context in _contexts(_root())]


def _root() -> click.Context:
    return click.Context(cli, info_name="forensics", terminal_width=100, **cli.context_settings)


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """Of a command and all below it, in the order of the help page; a group comes first."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                # With its parent: the names of the help option are inherited.
                yield from _contexts(click.Context(command, context, name, terminal_width=100))


def exits() -> str:
    """Every exit code, and the error classes of the library with the code each ends in."""
    codes = [
        (f"`{code.value}`", f"`{code.name}`", _comment_above(exit_codes, code.name))
        for code in exit_codes.ExitCode
    ]
    classes = [
        (f"`{name}`", f"`{exit_codes.of(value).value}`", inspect.cleandoc(value.__doc__ or ""))
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.ForensicsError)
    ]
    return _page(
        [
            "# Errors and exit codes",
            "An error says what happened, why, and what to do next, on stderr.",
            _table(("code", "name", "meaning"), codes),
            "## Classes",
            "All in `forensics.errors`, all derived from `ForensicsError`.",
            _table(
                ("class", "exit code", "raised when"),
                [(name, code, text.partition("\n\n")[0]) for name, code, text in classes],
            ),
        ]
    )


def detectors() -> str:
    """Every detector: what it checks, from what evidence, and all that it can answer."""
    page = [
        "# Detectors",
        "What `forensics trace` says of one decision and `forensics check` of all in a window. A "
        "finding's `detail.about` is the answer's code, and after a colon the feature or step that "
        "it concerns, where that is one of several. A detector whose evidence is absent answers "
        "*not checkable*, with the reason.",
    ]
    for detector in DETECTORS:
        page += [
            f"## {detector.kind}",
            f"Checks: {detector.checks}",
            f"Needs: {detector.needs}",
            _table(
                ("code", "severity", "said of decisions in a window"),
                [
                    (f"`{code}`", said.severity.replace("_", " "), said.words.format("…"))
                    for code, said in detector.says.items()
                ],
            ),
        ]
        if detector.beyond_columns:
            page.append(f"In a window: {detector.beyond_columns}")
    return _page(page)


def _comment_above(module: ModuleType, name: str) -> str:
    """The ``#:`` comment that documents the constant ``name``."""
    lines = inspect.getsource(module).splitlines()
    at = next(i for i, line in enumerate(lines) if line.split("=")[0].strip() == name)
    comment: list[str] = []
    while (line := lines[at - 1 - len(comment)].strip()).startswith("#:"):
        comment.insert(0, line.removeprefix("#:").strip())
    return " ".join(comment)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )


def _page(blocks: Iterable[str]) -> str:
    note = "<!-- Generated by docs/build.py: change the code, then run `make docs`. -->"
    return "\n\n".join([note, *filter(None, blocks)]) + "\n"


def pages() -> dict[str, str]:
    """Every reference page, by file name."""
    return {
        "records.md": records(),
        "commands.md": commands(),
        "detectors.md": detectors(),
        "errors.md": exits(),
    }


def main() -> int:
    """Writes or checks; says on stderr what it did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args().check
    REFERENCE.mkdir(exist_ok=True)
    wanted = pages()
    stale = [
        name
        for name, text in wanted.items()
        if not (REFERENCE / name).exists() or (REFERENCE / name).read_text("utf-8") != text
    ]
    for name in stale:
        print("stale:" if check else "wrote:", name, file=sys.stderr)
        if not check:
            (REFERENCE / name).write_text(wanted[name], "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
