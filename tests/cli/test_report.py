"""``forensics report postmortem``: from the template to a report that another person can check."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.incident.pointers import resolve
from forensics.testing import decision_record, write_lines

Run = Callable[..., Any]
INCIDENT = ("--since", "2026-10-21T02:13Z", "--until", "2026-10-21T05:41Z")


@pytest.fixture
def copy(sample_lake: Path, tmp_path: Path) -> Path:
    """A copy of the sample lake, to which more can be added."""
    return Path(shutil.copytree(sample_lake, tmp_path / "copy"))


@pytest.fixture(scope="module")
def new(sample_lake: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A new postmortem of the sample's incident, which nobody writes to."""
    path = tmp_path_factory.mktemp("new") / "incident.md"
    ran = run("report", "postmortem", path, "--new", *INCIDENT, "--lake", sample_lake)
    assert (ran.code, ran.out) == (0, f"{path}\n")
    return path


@pytest.fixture
def written(new: Path, tmp_path: Path) -> Path:
    """One of its own for a test."""
    return Path(shutil.copy(new, tmp_path / "incident.md"))


def test_a_new_one_is_written_beside_the_lake_and_its_path_is_printed(copy: Path, run: Run) -> None:
    first = run("report", "postmortem", "--new", *INCIDENT, "--lake", copy)
    assert first.out == f"{copy}-postmortems/2026-10-21-0213-credit_line.md\n"
    again = run("report", "postmortem", "--new", *INCIDENT, "--lake", copy, "--json")
    assert again.json == {"path": f"{copy}-postmortems/2026-10-21-0213-credit_line-2.md"}
    rendered = run("report", "postmortem", first.out.strip())
    assert rendered.code == 0, "its lake is found by the name of its folder"


def test_another_folder_can_be_named(
    sample_lake: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("report", "postmortem", "--new", *INCIDENT, "--lake", sample_lake)
    assert run(*asked, "--dir", tmp_path / "mine").out.startswith(f"{tmp_path / 'mine'}/2026-10-21")
    config = tmp_path / "config" / "decision-forensics" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[tui]\npostmortems = "{tmp_path / "theirs"}"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert run(*asked).out.startswith(f"{tmp_path / 'theirs'}/2026-10-21")


def test_a_file_that_is_there_is_not_written_over(
    written: Path, sample_lake: Path, run: Run
) -> None:
    before = written.read_bytes()
    ran = run("report", "postmortem", written, "--new", *INCIDENT, "--lake", sample_lake)
    assert ran.code == 2
    assert "there already" in ran.err
    assert written.read_bytes() == before


def test_another_person_can_check_it_line_by_line(
    written: Path, sample_lake: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = run("report", "postmortem", written, "--lake", sample_lake, "--json")
    assert told.code == 0
    assert told.json["holds"] == told.json["statements"] > 10
    monkeypatch.setenv("FORENSICS_LAKE", str(sample_lake))
    for pin in told.json["pins"]:
        ran = run(*shlex.split(pin["command"])[1:])
        if pin["value"] is not None:
            assert resolve(ran.json, pin["pointer"]) == pin["value"], pin["command"]


@pytest.mark.parametrize("form", ["md", "html", "pdf"])
def test_it_is_written_in_each_form(
    form: str, written: Path, sample_lake: Path, tmp_path: Path, run: Run
) -> None:
    if form == "pdf":
        pytest.importorskip("typst")
    target = tmp_path / f"out.{form}"
    ran = run("report", "postmortem", written, "--lake", sample_lake, "-o", target)
    assert (ran.code, ran.out) == (0, "")
    assert "pinned statements still hold" in ran.err
    begins = {"md": b"# credit_line", "html": b"<!DOCTYPE html>", "pdf": b"%PDF-"}
    assert target.read_bytes().startswith(begins[form])


def test_to_names_the_form_whatever_the_file_is_called(
    written: Path, sample_lake: Path, tmp_path: Path, run: Run, forensics_command: Run
) -> None:
    asked = ("report", "postmortem", written, "--lake", sample_lake)
    run(*asked, "--to", "html", "-o", tmp_path / "x.txt")
    assert (tmp_path / "x.txt").read_text().startswith("<!DOCTYPE html>")
    ran = forensics_command(*asked, "--to", "html")
    assert re.sub("Re-checked.*", "", ran.out) == re.sub(
        "Re-checked.*", "", (tmp_path / "x.txt").read_text()
    )


def test_what_differs_now_is_marked_and_the_exit_status_is_4(
    written: Path, copy: Path, tmp_path: Path, run: Run
) -> None:
    record = decision_record(occurred_at="2026-10-21T03:00:00Z", features={"age": 40.0})
    run("ingest", write_lines(tmp_path / "more", [record]), "--lake", copy)
    text = run("report", "postmortem", written, "--lake", copy)
    assert text.code == 4
    assert "107 as pinned, 108 now" in text.out
    assert "— **differs now**" in text.out
    assert "— **still holds**" in text.out
    told = run("report", "postmortem", written, "--lake", copy, "--json")
    assert told.code == 4
    assert told.json["differs"] > 0


def test_without_a_recheck_no_lake_is_needed(written: Path, tmp_path: Path, run: Run) -> None:
    ran = run("report", "postmortem", written, "--lake", tmp_path / "nowhere", "--no-recheck")
    assert ran.code == 0
    assert "not re-checked" in ran.out
    assert run("report", "postmortem", written, "--lake", tmp_path / "nowhere").code == 1


def test_the_postmortem_of_another_lake_is_refused(written: Path, lake: Path, run: Run) -> None:
    ran = run("report", "postmortem", written, "--lake", lake)
    assert ran.code == 2
    assert "is not of lake" in ran.err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "Name the postmortem's file"),
        (("--new",), "--new needs --since and --until"),
        (("--new", *INCIDENT, "--to", "html"), "to fill in"),
        (("x.md", "--since", "2026-10-21"), "go with --new"),
        (("--new", "--since", "2026-10-22", "--until", "2026-10-21"), "ends at"),
    ],
)
def test_what_cannot_be_asked_so_says_why(
    arguments: tuple[str, ...], why: str, sample_lake: Path, run: Run
) -> None:
    ran = run("report", "postmortem", *arguments, "--lake", sample_lake)
    assert ran.code == 2
    assert why in ran.err


def test_a_report_is_never_written_over_its_postmortem(
    written: Path, sample_lake: Path, tmp_path: Path, run: Run
) -> None:
    before = written.read_bytes()
    (tmp_path / "link").symlink_to(written)
    for target in (written, tmp_path / "link"):
        ran = run("report", "postmortem", written, "--lake", sample_lake, "-o", target)
        assert ran.code == 2
        assert "is the postmortem itself" in ran.err
    assert written.read_bytes() == before


def test_json_does_not_go_with_a_form(written: Path, sample_lake: Path, run: Run) -> None:
    asked = ("report", "postmortem", written, "--lake", sample_lake, "--json")
    assert run(*asked, "--to", "md").code == 2


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path, sample_lake: Path, run: Run) -> None:
    asked = ("report", "postmortem", tmp_path / "none.md", "--lake", sample_lake)
    assert run(*asked).code == 3


def test_a_window_without_decisions_is_not_found(
    sample_lake: Path, tmp_path: Path, run: Run
) -> None:
    window = ("--since", "2020-01-01", "--until", "2020-01-02")
    path = tmp_path / "x.md"
    assert run("report", "postmortem", path, "--new", *window, "--lake", sample_lake).code == 3
    assert not path.exists()


def test_prose_does_nothing_on_a_terminal(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.md"
    path.write_text("a\x1b[2J\u202eb\n", encoding="utf-8")
    assert "a\x1b[2J" in run("report", "postmortem", path, "--no-recheck").out
    monkeypatch.setattr("forensics.cli.output.is_terminal", lambda: True)
    shown = run("report", "postmortem", path, "--no-recheck").out
    assert "a\\x1b[2J\\u202eb" in shown
