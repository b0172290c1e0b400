"""Trees are those of RFC 6962, and their proofs hold for what they prove and nothing else."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.integrity import tiles, tree

#: The test vectors of RFC 6962 implementations (Certificate Transparency's own test suite).
ENTRIES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves(count: int) -> bytes:
    return b"".join(tree.leaf_hash(str(number).encode()) for number in range(count))


def naive(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(hashes) == 1:
        return hashes[0]
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return sha256(b"\x01" + naive(hashes[:half]) + naive(hashes[half:])).digest()


@pytest.mark.parametrize("count", range(1, 9))
def test_roots_are_the_published_ones(count: int) -> None:
    packed = b"".join(tree.leaf_hash(entry) for entry in ENTRIES[:count])
    assert tree.root(packed).hex() == ROOTS[count - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert tree.root(b"") == sha256(b"").digest() == tree.root_of(tree.in_memory(b""), 0)


@pytest.mark.parametrize("count", [*range(1, 40), 255, 256, 257, 700])
def test_both_ways_to_a_root_agree_with_the_definition(count: int) -> None:
    packed = leaves(count)
    hashes = [packed[at : at + 32] for at in range(0, len(packed), 32)]
    assert tree.root(packed) == naive(hashes) == tree.root_of(tree.in_memory(packed), count)


@given(st.integers(1, 600), st.data())
def test_an_inclusion_proof_holds_for_its_leaf_alone(count: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, count - 1))
    packed = leaves(count)
    leaf = packed[index * 32 : index * 32 + 32]
    path = tree.inclusion(tree.in_memory(packed), index, count)
    root = tree.root(packed)
    assert tree.root_from_inclusion(leaf, index, count, path) == root
    assert tree.root_from_inclusion(tree.leaf_hash(b"other"), index, count, path) != root
    assert tree.root_from_inclusion(leaf, count, count, path) is None
    if path:
        assert tree.root_from_inclusion(leaf, index, count, path[:-1]) != root
        assert tree.root_from_inclusion(leaf, index, count, [*path, path[0]]) != root
        assert tree.root_from_inclusion(leaf, index ^ 1, count, path) != root


@given(st.integers(1, 600), st.data())
def test_a_consistency_proof_holds_for_its_beginning_alone(count: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, count))
    packed = leaves(count)
    path = tree.consistency(tree.in_memory(packed), old, count)
    before, after = tree.root(packed[: old * 32]), tree.root(packed)
    assert tree.is_consistent(old, before, count, after, path)
    other = tree.leaf_hash(b"other")
    assert not tree.is_consistent(old, other, count, after, path)
    assert not tree.is_consistent(old, before, count, other, path)
    if path:
        assert not tree.is_consistent(old, before, count, after, path[:-1])
        assert not tree.is_consistent(old, before, count, after, [*path, other])


@pytest.mark.parametrize(
    ("number", "path"),
    [(0, "tile/0/000"), (999, "tile/0/999"), (1_000, "tile/0/x001/000"),
     (1_234_067, "tile/0/x001/x234/067")],
)  # fmt: skip
def test_tiles_lie_where_the_specification_says(number: int, path: str) -> None:
    assert tiles.Tile(0, number, 256).path == path
    assert tiles.Tile(0, number, 7).path == f"{path}.p/7"
    assert tiles.Tile(None, number, 256).path == path.replace("tile/0", "tile/entries")


def test_a_tree_of_70000_has_the_tiles_of_the_specifications_example() -> None:
    found = [list(tiles.of_size(70_000, level)) for level in range(tiles.levels_of(70_000))]
    assert [len(level) for level in found] == [274, 2, 1]
    assert [level[-1].width for level in found] == [112, 17, 1]
    assert tiles.edge(256) == [tiles.Tile(1, 0, 1)]


@pytest.mark.parametrize("steps", [[1] * 20, [255, 1, 1], [256, 256], [300, 70_000], [65_536, 5]])
def test_a_log_grown_in_steps_has_the_tiles_of_one_grown_at_once(steps: list[int]) -> None:
    total = sum(steps)
    packed = leaves(total)
    kept: dict[tiles.Tile, bytes] = {}
    size = 0
    for step in steps:
        new = [packed[at * 32 : at * 32 + 32] for at in range(size, size + step)]
        written, size = tiles.grown(size, kept.__getitem__, new)
        kept |= written
    assert size == total
    known = tree.levels(packed)
    for level in range(tiles.levels_of(total)):
        for tile in tiles.of_size(total, level):
            first = tile.number * 256 * 32
            assert kept[tile] == known[8 * level][first : first + tile.width * 32]
    complete = tiles.complete(total, kept.__getitem__)
    assert tree.root_of(complete, total) == tree.root(packed)
    for index in (0, total // 2, total - 1):
        path = tree.inclusion(complete, index, total)
        leaf = packed[index * 32 : index * 32 + 32]
        assert tree.root_from_inclusion(leaf, index, total, path) == tree.root(packed)


def test_entries_come_out_of_a_bundle_as_they_went_in() -> None:
    entries = [b"", b"one", b"\x00" * 65_535]
    assert tiles.unpacked(tiles.packed(entries)) == entries
