"""No file names the machine it was written on, and every module says what it is for."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("forensics", "schemas/forensics_schemas", "tui/forensics_tui", "sample_data")
#: Written so that this file does not contain what it looks for.
UNWANTED = {
    "an absolute path": r"(?<![\w.~:/-])/(?:home|root|work|opt|mnt|Users)/[\w.]",
    "a package index": r"\bpypi[.]org|pythonhosted[.]org|--(?:extra-)?index[-]url|--find[-]links",
    "a link to a local file": r"\bfile:[/]{3}",
}


def repository_files() -> list[Path]:
    """Tracked files and those about to be; generated and ignored ones are nobody's text."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if run.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for line in run.stdout.splitlines() if (path := ROOT / line).is_file()]


@pytest.mark.parametrize("what", UNWANTED)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(UNWANTED[what])
    found = []
    for path in repository_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(lines, 1)
            if pattern.search(line)
        ]
    assert found == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []
