"""A module has one subject, and modules import each other in one direction."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "forensics": ROOT / "forensics",
    "forensics_schemas": ROOT / "schemas" / "forensics_schemas",
    "forensics_tui": ROOT / "tui" / "forensics_tui",
}
#: Lines; most modules that are longer have two subjects.
LONG = 400
VERY_LONG = 600


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    """The text of every module, by its name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            name = ".".join(part for part in parts if part != "__init__")
            found[name] = path.read_text(encoding="utf-8")
    return found


def imported(text: str, known: dict[str, str]) -> Iterator[str]:
    """The modules that a module needs in order to be imported itself."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in known else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_modules_import_each_other_in_one_direction(modules: dict[str, str]) -> None:
    needed = {
        name: {other for other in imported(text, modules) if other in modules and other != name}
        for name, text in modules.items()
    }
    circle: list[str] = []
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle == []


def test_few_modules_are_long_and_none_very_long(modules: dict[str, str]) -> None:
    lines = {name: len(text.splitlines()) for name, text in modules.items()}
    long = sorted(name for name, count in lines.items() if count > LONG)
    assert [name for name in long if lines[name] > VERY_LONG] == []
    assert len(long) <= len(modules) / 20, f"more than one in twenty: {', '.join(long)}"
