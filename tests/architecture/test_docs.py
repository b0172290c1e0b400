"""The reference pages are what the code says, and nothing is left out of them."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from forensics import errors
from forensics_schemas import KINDS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(build: ModuleType) -> dict[str, str]:
    return build.pages()


def test_the_reference_is_in_step_with_the_code(pages: dict[str, str]) -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("reference/*.md")}
    assert written == pages, "run `make docs`"


def test_every_command_is_documented_and_says_what_it_does(
    build: ModuleType, pages: dict[str, str]
) -> None:
    for name, command in build.all_commands():
        assert f"\n## {name}\n" in pages["commands.md"]
        assert command.help, f"{name} has no help"


def test_every_option_says_what_it_does(build: ModuleType) -> None:
    silent = [
        f"{name} {option.opts[0]}"
        for name, command in build.all_commands()
        for option in command.params
        if option.param_type_name == "option" and not option.help
    ]
    assert silent == []


def test_every_error_is_documented(pages: dict[str, str]) -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.ForensicsError):
            assert f"`{name}`" in pages["errors.md"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_kind_is_documented(pages: dict[str, str], kind: str) -> None:
    assert f"\n## {kind}\n" in pages["records.md"]


@pytest.mark.parametrize(
    "page",
    [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))],
    ids=lambda path: str(path.relative_to(DOCS.parent)),
)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
