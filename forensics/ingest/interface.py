"""What a source of records provides, and what becomes of what it provides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import pyarrow as pa

from forensics.records.reading import NO_OPTIONS as NO_OPTIONS
from forensics.records.reading import Options as Options


class Chunk(NamedTuple):
    """A piece of a source that one worker turns into staged files.

    ``payload`` is what the source's own :meth:`Source.parse` understands and must survive pickling.
    """

    name: str
    #: Number of the chunk's first line or row within the source, from 1.
    first: int
    payload: object
    #: Bytes or rows of the source that are behind us once this chunk is done, for progress.
    done: int


class Reject(NamedTuple):
    """One record that cannot be taken in, why, and its bytes."""

    line: int
    reason: str
    raw: bytes


@dataclass(slots=True)
class Parsed:
    """Records of one chunk as Arrow tables by lake table, and what had to be left out."""

    tables: dict[str, pa.Table] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    #: Paths of the options that no record had.
    unmatched: set[str] = field(default_factory=set)


class Parser(Protocol):
    """The part of a source that does the work; it must survive pickling, to reach a worker."""

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        """Turn a chunk into tables.

        Args:
            chunk: one of :meth:`Source.chunks`.
            features: feature types by name, by decision table, as the lake has them.
            options: how fields are named.
        """


class Source(Parser, Protocol):
    """One input: knows its name and size, and cuts itself into chunks."""

    name: str
    #: Bytes in all where known, for progress.
    total: int | None

    def chunks(self) -> Iterator[Chunk]:
        """Cut the input; cheap, runs in the parent process."""

    def parser(self) -> Parser:
        """What parses the chunks, without the open file."""
