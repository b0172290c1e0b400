"""Artifacts: the bytes that components ran, kept by SHA-256 and verified whenever read."""

from __future__ import annotations

import hashlib
from pathlib import Path

from forensics.errors import IntegrityError, UsageError
from forensics.lake.files import write_durably

PREFIX = "sha256:"


def digest_of(data: bytes) -> str:
    """The name of ``data``: ``sha256:`` and 64 hexadecimal digits."""
    return PREFIX + hashlib.sha256(data).hexdigest()


class ArtifactStore:
    """The artifacts of one lake, in ``artifacts/sha256/ab/<digest>``."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "artifacts" / "sha256"
        #: Digests whose bytes were read and found to be others.
        self.altered: set[str] = set()

    def put(self, data: bytes) -> str:
        """Keep ``data`` durably and return its digest; the same bytes twice are kept once."""
        digest = digest_of(data)
        path = self._path(digest)
        if not path.exists() or digest_of(path.read_bytes()) != digest:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, data)
        return digest

    def read(self, digest: str) -> bytes | None:
        """The bytes named ``digest``; None when they were never kept.

        Raises:
            IntegrityError: when the kept bytes are not the ones named.
        """
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if digest_of(data) != digest:
            self.altered.add(digest)
            raise IntegrityError(
                f"Artifact {digest[:19]}… is not what was stored.",
                f"{path.name} has other bytes now.",
                "Restore it from a backup, or add the original file again.",
            )
        return data

    def has(self, digest: str) -> bool:
        """Whether bytes were kept under ``digest``; does not read them."""
        return self._path(digest).is_file()

    def path(self, digest: str) -> Path | None:
        """Where the verified bytes named ``digest`` lie; None when they were never kept."""
        return self._path(digest) if self.read(digest) is not None else None

    def _path(self, digest: str) -> Path:
        name = digest.removeprefix(PREFIX)
        if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
            raise UsageError(
                f"{digest!r} is no artifact digest.", "", "It reads sha256: and 64 hex digits."
            )
        return self._folder / name[:2] / name
