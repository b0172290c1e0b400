"""What lies beside the records: artifacts, spool, quarantine, and the derived index and catalog."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from forensics.errors import ForensicsError, IntegrityError
from forensics.lake import index, keys, packs, spooled, sql, summed
from forensics.lake.catalog import Table
from forensics.lake.quarantined import opened
from forensics.lake.seal import id_column
from forensics.lake.snapshot import Snapshot
from forensics.lake.theirs import BESIDE
from forensics.lake.verify import privacy
from forensics.lake.verify.defects import Defect, Findings, named
from forensics.privacy import cipher


def artifacts(root: Path, findings: Findings) -> int:
    """Hash every artifact again; how many there are."""
    count = 0
    for path in sorted((root / "artifacts" / "sha256").glob("*/*")):
        if path.name.startswith("."):
            continue
        count += 1
        try:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            digest = f"unreadable: {error.strerror}"
        if digest != path.name or path.parent.name != path.name[:2]:
            what = f"Artifact sha256:{path.name} has other bytes than its name says."
            findings.add(Defect("altered", what, file=path.relative_to(root).as_posix()))
    return count


def erasures(snapshot: Snapshot, erased: Mapping[str, list[bytes]], findings: Findings) -> None:
    """See that each record that says it was erased was so by an erasure that says so too.

    Args:
        snapshot: the lake; all its records that were erased are looked at.
        erased: leaves of those that were verified, by the erasure that they name.
        findings: what is found goes here.
    """
    with sql.reading("The table of erasures"):
        rows = _erasures(snapshot)
    subjects = {erasure_id: subject for erasure_id, subject, _ in rows}
    of_subject: dict[str, list[tuple[bytes, str]]] = {}
    for erasure_id, leaves in erased.items():
        if erasure_id not in subjects:
            what = f"{len(leaves):,} records say that {erasure_id} erased them; there is no such."
            findings.add(Defect("altered", what, table="erasures", id=erasure_id))
    with sql.reading("A record that was erased"):
        for erasure_id, leaf, id_ in _erased(snapshot):
            if erasure_id in subjects:
                of_subject.setdefault(subjects[erasure_id], []).append((leaf, id_))
    for subject, held in of_subject.items():
        whole = b"".join(sorted(leaf for leaf, _ in held))
        digest = "sha256:" + hashlib.sha256(whole).hexdigest()
        said = [told for _, of, told in rows if of == subject]
        if digest not in said and not privacy.is_under_way(snapshot, subject, said):
            some = next(one for one, of, _ in rows if of == subject)
            what = (
                f"The records that say that {some} erased them are not those that it erased; among "
                f"{named(id_ for _, id_ in held)} are some that it did not."
            )
            findings.add(Defect("altered", what, table="erasures", id=some))


def _erasures(snapshot: Snapshot) -> list[tuple[str, str, str]]:
    paths = snapshot.paths("erasures")
    if not paths:
        return []
    return snapshot.connection.execute(
        "SELECT erasure_id, subject, leaves FROM "
        f"read_parquet({sql.literal(paths)}, union_by_name = true)"
    ).fetchall()


def _erased(snapshot: Snapshot) -> Iterator[tuple[str, bytes, str]]:
    """The erasure, the leaf and the id of every record that says that it was erased."""
    for table in (*(f"decisions/{point}" for point in snapshot.points()), *BESIDE):
        paths = snapshot.paths(table)
        if not paths:
            continue
        # Only of erased records is the salt gone and the leaf there.
        rows = snapshot.connection.execute(
            f"SELECT raw, leaf, {id_column(table)} FROM read_parquet({sql.literal(paths)}, "
            "union_by_name = true) WHERE salt IS NULL AND leaf IS NOT NULL AND raw IS NOT NULL"
        ).fetchall()
        for raw, leaf, id_ in rows:
            erasure_id = cipher.erasure_of(raw)
            if erasure_id is not None:
                yield erasure_id, leaf, id_


def pack_indexes(root: Path, findings: Findings) -> None:
    """Whether the indexes of packed lists of leaves are what was written."""
    for path in packs.damaged(root):
        inside = path.relative_to(root).as_posix()
        what = f"{inside} is not what was written. It is derived: forensics compact makes it again."
        findings.add(Defect("derived", what, file=inside))


def spool(root: Path, findings: Findings) -> None:
    """Whether what waits to be taken in is what was written, as far as its checksums tell."""
    for path, what in spooled.damaged(root):
        findings.add(Defect("altered", what, file=path.relative_to(root).as_posix()))


def quarantine(root: Path, findings: Findings) -> int:
    """Make the names of quarantined records again; how many there are.

    A record's name commits to its source, line and bytes, and a file's to the names in it; whether
    a whole file was removed, nothing tells.
    """
    count = 0
    for path in sorted((root / "quarantine").glob("*.jsonl")):
        try:
            items = [json.loads(line) for line in _lines(path)]
            plain = [(item["id"], *opened(root, item)) for item in items]
            wrong = [id_ for id_, item, _ in plain if item and _name_of(item) != id_]
            for why in (why for _, item, why in plain if item is None):
                findings.gap(f"In quarantine, encrypted, and not read: {why}", 1)
            whole = hashlib.sha256("".join(item["id"] for item in items).encode()).hexdigest()
        except (ForensicsError, OSError, ValueError, LookupError, TypeError, AttributeError):
            wrong, whole, items = [], "", []
        count += len(items)
        if wrong or whole[:32] != path.stem:
            ids = f" ({named(wrong)})" if wrong else ""
            what = f"Quarantine file {path.name} holds other records than were kept{ids}."
            findings.add(Defect("altered", what, file=path.relative_to(root).as_posix()))
    resolved = root / "quarantine" / "resolved.txt"
    try:
        _lines(resolved)
    except FileNotFoundError:
        pass
    except ValueError as error:
        what = f"{resolved.name}, which says what has left the quarantine, is damaged: {error}."
        findings.add(Defect("altered", what, file=resolved.relative_to(root).as_posix()))
    return count


def _lines(path: Path) -> list[bytes]:
    """The lines of a file without their checksums; raises ValueError where one does not fit."""
    *lines, rest = path.read_bytes().split(b"\n")
    texts = [text for text in map(spooled.unsigned, lines) if text is not None]
    if rest or len(texts) < len(lines):
        raise ValueError("a line of it is not what was written")
    return texts


def _name_of(item: Mapping[str, str]) -> str:
    head = f"{item['source']}\n{item['line']}\n".encode()
    return f"q-{hashlib.sha256(head + base64.b64decode(item['raw'])).hexdigest()[:10]}"


def catalog(snapshot: Snapshot, true: Mapping[str, Table], findings: Findings) -> None:
    """Whether readers who trust the catalog see the tables as Delta has them."""
    for name in sorted({*snapshot.tables, *true}):
        seen, real = snapshot.tables.get(name), true.get(name)
        ours = {tuple(file) for file in seen.files} if seen else set()
        theirs = {tuple(file) for file in real.files} if real else set()
        if ours == theirs and (seen is None or real is None or seen.features == real.features):
            continue
        hidden = sorted(str(file[0]) for file in theirs - ours)
        what = f"The catalog shows {name} otherwise than its Delta log does"
        more = f"; it hides {named(hidden)}" if hidden else ""
        findings.add(Defect("derived", f"{what}{more}.", table=name, file="index/catalog.json"))


def summaries(snapshot: Snapshot, findings: Findings) -> None:
    """Whether the daily and hourly summaries are what was written."""
    names = (*snapshot.known.profiles, *snapshot.known.usages)
    for name in names:
        try:
            summed.paths(snapshot.root / "index", [name], "")
        except IntegrityError as error:
            findings.add(Defect("derived", _line(error), file=f"index/{name}"))


def look_up(root: Path, snapshot: Snapshot, findings: Findings) -> None:
    """Whether the index finds each record, where it is, and nothing else.

    Both sides are reduced, file by file, to a count and a mixture of hashes, which takes one pass
    over each and no memory to speak of.
    """
    try:
        index.check(root, snapshot.known.runs)
        indexed = _indexed(root, snapshot)
        held = _held(root, snapshot)
    except (ForensicsError, sql.SqlError, OSError) as error:
        what = f"The look-up index cannot be compared with the records. {_line(error)}"
        findings.add(Defect("derived", what, file="index"))
        return
    for location in sorted(held):
        if location in snapshot.unindexed or indexed.get(location) == held[location]:
            continue
        count, there = indexed.get(location, (0, None))[0], held[location][0]
        table, _, name = location.rpartition("/")
        what = f"The look-up index has {count:,} entries for {location}; its records give {there:,}"
        what += ", other ones." if count == there else "."
        findings.add(Defect("derived", what, table=table, file=name))


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


_MIXED = "count(*), bit_xor(hash(key, row))"
Mixed = tuple[int, int | None]


def _indexed(root: Path, snapshot: Snapshot) -> dict[str, Mixed]:
    runs = [str(root / "index" / run.name) for run in snapshot.known.runs]
    if not runs:
        return {}
    query = f"SELECT file, {_MIXED} FROM read_parquet({sql.literal(runs)}) GROUP BY file"
    rows = sql.connect([root]).execute(query).fetchall()
    return {file: (count, mixed) for file, count, mixed in rows}


def _held(root: Path, snapshot: Snapshot) -> dict[str, Mixed]:
    held: dict[str, Mixed] = {}
    connection = sql.connect([root])
    for name, table in snapshot.tables.items():
        columns = keys.key_columns(name)
        if not columns:
            continue
        for file in table.files:
            source = sql.literal(str(root / name / file.name))
            parts = " UNION ".join(
                f"SELECT {keys.SQL.format(column)} AS key, file_row_number::INTEGER AS row "
                f"FROM read_parquet({source}, file_row_number = true) WHERE {column} IS NOT NULL"
                for column in columns
            )
            (found,) = connection.execute(f"SELECT {_MIXED} FROM ({parts})").fetchall()
            held[f"{name}/{file.name}"] = (found[0], found[1])
    return held
