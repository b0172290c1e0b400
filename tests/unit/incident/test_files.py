"""A postmortem is saved whole or not at all, and never over somebody else's change."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from forensics.errors import NotFoundError, SchemaError, UsageError
from forensics.incident import files
from forensics.incident.document import Document
from forensics.incident.files import Postmortem


def written(path: Path, text: str) -> Postmortem:
    return Postmortem(path, Document.of(text), None).save()


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.md"
    saved = written(path, "one\r\ntwo")
    assert path.read_bytes() == b"one\r\ntwo"
    assert files.read(path) == saved
    assert [each.name for each in path.parent.iterdir()] == ["a.md"], "nothing else is left"


def test_a_change_by_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    saved = written(path, "mine")
    path.write_text("theirs")
    with pytest.raises(UsageError, match="changed after it had been read"):
        saved.with_document(Document.of("mine, longer")).save()
    assert path.read_text() == "theirs"
    path.unlink()
    with pytest.raises(UsageError, match="changed after it had been read"):
        saved.save()
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_is_not_written_over_another(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("theirs")
    with pytest.raises(UsageError, match="there already"):
        written(path, "mine")
    assert path.read_text() == "theirs"


def test_saving_again_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    saved = written(tmp_path / "a.md", "1")
    for number in range(2, 5):
        saved = saved.with_document(Document.of(str(number))).save()
    assert (tmp_path / "a.md").read_text() == "4"


def test_rights_and_links_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.md", tmp_path / "link.md"
    written(real, "1")
    real.chmod(0o600)
    link.symlink_to(real)
    files.read(link).with_document(Document.of("2")).save()
    assert link.is_symlink()
    assert real.read_text() == "2"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        written(tmp_path / "file" / "a.md", "x")


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="--new"):
        files.read(tmp_path / "none.md")
    with pytest.raises(UsageError, match="cannot be read"):
        files.read(tmp_path)
    (tmp_path / "a.md").write_bytes(b"\xff")
    with pytest.raises(SchemaError, match="no UTF-8"):
        files.read(tmp_path / "a.md")


def test_the_folder_is_beside_the_lake_unless_another_is_named(tmp_path: Path) -> None:
    assert files.folder(tmp_path / "lake") == tmp_path.resolve() / "lake-postmortems"
    assert files.folder(tmp_path / "lake", tmp_path / "x") == tmp_path / "x"
    assert files.folder(tmp_path / "lake", "~/x") == Path.home() / "x"


def test_new_names_are_free_and_harmless(tmp_path: Path) -> None:
    assert files.new_path(tmp_path, "a") == tmp_path / "a.md"
    (tmp_path / "a.md").write_text("")
    assert files.new_path(tmp_path, "a") == tmp_path / "a-2.md"
    for name in ("../../x", "..", "", "a/b\x00\x1b", "x" * 500):
        path = files.new_path(tmp_path, name)
        assert path.parent == tmp_path
        path.write_text("")
    assert all(not path.name.startswith(".") for path in files.listed(tmp_path))


def test_the_newest_is_listed_first(tmp_path: Path) -> None:
    import os

    for age, name in enumerate(("c", "a", "b")):
        (tmp_path / f"{name}.md").write_text("")
        os.utime(tmp_path / f"{name}.md", (1_000 - age, 1_000 - age))
    (tmp_path / "other.txt").write_text("")
    assert [path.stem for path in files.listed(tmp_path)] == ["c", "a", "b"]
    assert files.listed(tmp_path / "nowhere") == []
