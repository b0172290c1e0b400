"""What a lake holds of a person: decisions, and records beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from forensics.lake import sql
from forensics.lake.protect import ERASED, opened
from forensics.lake.seal import id_column
from forensics.lake.snapshot import Snapshot
from forensics.lake.subject_keys import key_store
from forensics.privacy import cipher
from forensics.records.mention import Mention
from forensics.records.times import DAY_US

#: Tables whose records may be about a person beside the decisions.
BESIDE = ("overrides", "outcomes", "changes")


@dataclass(frozen=True, slots=True)
class Theirs:
    """What a lake holds of a person.

    ``decisions`` are ids by table; ``others`` counts overrides and outcome labels of them, and all
    such records and changes that name the person. ``leaves`` is the SHA-256 over the leaves of all
    these records, sorted. ``days`` are those of the decisions, since 1970, by table. ``changes``
    are the ids of changes.
    """

    token: str
    decisions: Mapping[str, frozenset[str]]
    days: Mapping[str, frozenset[int]]
    others: int
    leaves: str
    changes: frozenset[str]

    @property
    def count(self) -> int:
        """How many decisions."""
        return sum(map(len, self.decisions.values()))

    @property
    def ids(self) -> frozenset[str]:
        """The decisions' ids."""
        return frozenset(one for of in self.decisions.values() for one in of)


def theirs(snapshot: Snapshot, subject: str) -> Theirs:
    """What the lake holds of a person, erased or not.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    token = key_store(snapshot.root).token(subject)
    by_table: dict[str, frozenset[str]] = {}
    days: dict[str, frozenset[int]] = {}
    leaves: list[bytes] = []
    for point in snapshot.points():
        paths = snapshot.paths(f"decisions/{point}")
        with sql.reading(f"The decisions of {point}"):
            rows = snapshot.connection.execute(
                f"SELECT decision_id, leaf, epoch_us(occurred_at) // {DAY_US} FROM "
                f"read_parquet({sql.literal(paths)}, union_by_name = true) "
                "WHERE subject.id IN ($1, $2)",
                [subject, token],
            ).fetchall()
        if rows:
            by_table[f"decisions/{point}"] = frozenset(row[0] for row in rows)
            days[f"decisions/{point}"] = frozenset(row[2] for row in rows)
            leaves += [row[1] for row in rows if row[1] is not None]
    whose = Whose.of(snapshot, subject, token, (one for of in by_table.values() for one in of))
    others = 0
    changes: set[str] = set()
    for table in BESIDE:
        for file in snapshot.files(table):
            found = beside(snapshot.root, table, file.name, whose)
            others += len(found)
            leaves += [leaf for _, leaf, _ in found if leaf is not None]
            if table == "changes":
                changes |= {id_ for _, _, id_ in found}
    digest = hashlib.sha256(b"".join(sorted(leaves))).hexdigest()
    return Theirs(token, by_table, days, others, f"sha256:{digest}", frozenset(changes))


@dataclass(frozen=True, slots=True)
class Whose:
    """A person, and by what records beside decisions are told to be about them."""

    subject: str
    token: str
    decisions: tuple[str, ...]
    #: Their erasures, those that are not finished among them.
    erasures: tuple[str, ...]

    @classmethod
    def of(cls, snapshot: Snapshot, subject: str, token: str, decisions: Iterable[str]) -> Whose:
        """The person, by all their erasures."""
        paths, erased = snapshot.paths("erasures"), []
        if paths:
            with sql.reading("The table of erasures"):
                erased = snapshot.connection.execute(
                    f"SELECT erasure_id FROM read_parquet({sql.literal(paths)}, "
                    "union_by_name = true) WHERE subject = $1",
                    [token],
                ).fetchall()
        return cls(subject, token, tuple(sorted(decisions)), tuple(row[0] for row in erased))


def beside(root: Path, table: str, name: str, whose: Whose) -> list[tuple[int, bytes | None, str]]:
    """Records of a data file beside decisions that are about a person: row, leaf and id.

    They belong to the person's decisions, name the person as their ``subject``, or were erased for
    them before; of changes also those in whose bytes the id stands, as a word of its own. What was
    erased for somebody else is not theirs any more.

    Raises:
        IntegrityError: when the file cannot be read.
    """
    source = f"read_parquet({sql.literal(str(root / table / name))}, file_row_number = true)"
    connection = sql.connect([root])
    id_, by_bytes = id_column(table), table == "changes"
    with sql.reading(f"A data file of {table}"):
        there = {row[0] for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()}
        column = {one: one if one in there else "NULL" for one in ("extra", "raw", "leaf")}
        conditions = [
            f"json_extract_string({column['extra']}, '$.subject.id') IN ($1, $2)",
            f"{column['raw']} IN (SELECT unnest($3::BLOB[]))",
            "decision_id IN (SELECT unnest($4::VARCHAR[]))" if not by_bytes else "len($4) < 0",
        ]
        erased, mark = list(map(cipher.erased, whose.erasures)), cipher.erased("")
        given = [whose.subject, whose.token, erased, list(whose.decisions), mark, mark + b"\xff"]
        rows = connection.execute(
            f"SELECT file_row_number, {column['leaf']}, {id_} FROM {source} "
            f"WHERE ({' OR '.join(conditions)}) AND ({column['raw']} IS NULL "
            f"OR {column['raw']} IN (SELECT unnest($3::BLOB[])) "
            f"OR NOT ({column['raw']} >= $5::BLOB AND {column['raw']} < $6::BLOB))",
            given,
        ).fetchall()
        if by_bytes and "raw" in there:
            told = {row[0] for row in rows}
            word = Mention(whose.subject)
            rows += [
                (row, leaf, of)
                for row, leaf, of, raw in connection.execute(
                    f"SELECT file_row_number, {column['leaf']}, {id_}, raw FROM {source}"
                ).fetchall()
                if row not in told and raw is not None and _mentions(root, raw, word, whose)
            ]
    return sorted(rows)


def _mentions(root: Path, raw: bytes, word: Mention, whose: Whose) -> bool:
    plain, why = opened(root, raw)
    if plain is None:  # its key may be destroyed already, and its bytes still be there
        return why is not None and why.removeprefix(ERASED) in whose.erasures
    return word.stands_in(plain)
