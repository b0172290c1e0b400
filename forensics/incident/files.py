"""Postmortems as files: where they are, reading one, and saving it without losing anything."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from forensics.errors import NotFoundError, SchemaError, UsageError
from forensics.incident.document import Document
from forensics.lake.files import sync
from forensics.lake.layout import identity


def folder(root: Path, named: str | Path | None = None) -> Path:
    """Where the postmortems of a lake are.

    Args:
        root: the lake.
        named: what the configuration or an option names; else ``<lake>-postmortems`` beside it.
    """
    if named is not None:
        return Path(named).expanduser()
    lake = root.resolve()
    return lake.with_name(f"{lake.name}-postmortems")


def listed(where: Path) -> list[Path]:
    """The postmortems in a folder, the newest change first; none where there is no folder."""
    found = [path for path in where.glob("*.md") if path.is_file()] if where.is_dir() else []
    return sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path.name))


@dataclass(frozen=True, slots=True)
class Postmortem:
    """A postmortem's file: its document, and the bytes that the file had when it was read.

    ``read`` is None where the file has not been written yet.
    """

    path: Path
    document: Document
    read: bytes | None

    def with_document(self, document: Document) -> Postmortem:
        """The same file with another document, not saved yet."""
        return replace(self, document=document)

    def save(self) -> Postmortem:
        """Write the file, so that it has either its old or its new content whatever happens.

        Raises:
            UsageError: when the file is not what was read any more, or cannot be written; nothing
                has been changed then.
        """
        data = self.document.text.encode("utf-8", "surrogatepass")
        path = self.path.resolve()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, data, self.read)
        except OSError as error:
            raise UsageError(
                f"{self.path} cannot be written.", f"{error.strerror or error}.", "Nothing was."
            ) from error
        return replace(self, read=data)


def read(path: Path) -> Postmortem:
    """The postmortem in a file.

    Raises:
        NotFoundError: when there is no such file.
        SchemaError: when it is no UTF-8, or its front matter is no TOML.
        UsageError: when it cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"There is no {path}.", "", "Write one: forensics report postmortem --new"
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", f"{error.strerror or error}.") from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is no UTF-8.", f"{error}.") from error
    return Postmortem(path, Document.of(text), data)


def check_lake(postmortem: Postmortem, root: Path) -> None:
    """Look whether a postmortem is of a lake, where it names one.

    Raises:
        UsageError: when it is of another.
    """
    wanted, there = postmortem.document.front.get("lake_id"), identity(root)
    if wanted is not None and wanted != there:
        name = postmortem.document.front.get("lake", "another")
        raise UsageError(
            f"{postmortem.path} is not of lake {root}.",
            f"It is of lake {name} with the id {wanted}, and this one has {there}.",
            "Name its lake with --lake, or leave the re-check out with --no-recheck.",
        )


def new_path(where: Path, name: str) -> Path:
    """A path in a folder that no file has yet.

    Args:
        where: the folder.
        name: of the file, without its ending; characters that file names should not have become
            hyphens.
    """
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".-") or "new"
    numbers = (f"-{number}" if number > 1 else "" for number in range(1, 10_000))
    return next(
        path for number in numbers if not (path := where / f"{plain[:120]}{number}.md").exists()
    )


def _replace(path: Path, data: bytes, expected: bytes | None) -> None:
    handle, made = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".tmp", dir=path.parent)
    temporary = Path(made)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if expected is None:
            temporary.chmod(0o644)
            try:
                os.link(temporary, path)  # fails where there is one by now
            except FileExistsError:
                raise _changed(path, "It is there already.") from None
        else:
            if not path.is_file() or path.read_bytes() != expected:
                raise _changed(path, "It was changed after it had been read.")
            temporary.chmod(path.stat().st_mode & 0o7777)
            temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    sync(path.parent)


def _changed(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} was not saved.", why, "Save under another name, or read it again.")
