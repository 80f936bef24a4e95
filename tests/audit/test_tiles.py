import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.audit import merkle, notes, tiles
from hub.audit.notes import VerifierKey
from hub.audit.store import FolderStore, MemoryStore
from hub.audit.tiles import ENTRIES, Tile, Tree
from hub.audit.verify import verify
from hub.errors import Rejected, Unavailable
from tests.audit.helpers import grown, vectors
from tests.audit.test_notes import TESSERA


def test_names_are_those_of_the_specification() -> None:
    assert Tile(0, 1234067).name == "tile/0/x001/x234/067"
    assert Tile(ENTRIES, 0, 3).name == "tile/entries/000.p/3"
    assert Tile(2, 1000).name == "tile/2/x001/000"


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(0, 0, 256), (0, 272, 256), (0, 273, 112), (0, 274, 0), (1, 0, 256), (1, 1, 17), (2, 0, 1)],
)
def test_tiles_of_the_specification_s_example_of_70000(level: int, index: int, width: int) -> None:
    assert Tile.of(level, index, 70_000).width == width


@given(st.integers(-1, 63), st.integers(0, 10**12), st.integers(1, 256))
def test_a_name_reads_back(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert Tile.parse(tile.name) == tile


@pytest.mark.parametrize(
    "name",
    [
        "",
        "tile/0/00",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/../../etc/passwd",
        "tile/entries/000/",
        "tile/0/000\n",
        "checkpoint/",
    ],
)
def test_other_names_are_no_files_of_a_log(name: str) -> None:
    assert not tiles.is_name(name)


@given(st.lists(st.binary(max_size=400), max_size=20), st.integers(0, 3))
def test_a_bundle_reads_back_and_a_torn_one_gives_its_whole_entries(
    entries: list[bytes], cut: int
) -> None:
    bundle = tiles.pack(entries)
    assert tiles.unpack(bundle) == entries
    if cut and entries:
        assert tiles.unpack(bundle[:-cut]) == entries[: len(tiles.unpack(bundle[:-cut]))]


def test_a_log_of_another_implementation_reads_and_verifies() -> None:
    folder = vectors("tessera-log")
    store, key = FolderStore(folder), VerifierKey.parse(TESSERA)
    report = verify(store, key)
    assert (report.ok, report.size, report.problems) == (True, 15, ())
    heads = [
        notes.open_checkpoint((folder / f"checkpoint.{n}").read_bytes(), key.name, [key])
        for n in range(16)
    ]
    for new in heads:
        tree = Tree(store, new.size)
        assert tree.root() == new.root
        for old in heads[1 : new.size + 1]:
            proof = tree.consistency(old.size)
            merkle.check_consistency(old.size, new.size, old.root, new.root, proof)
        for index in range(new.size):
            leaf = merkle.leaf_hash(tree.entries(0)[index])
            merkle.check_inclusion(index, new.size, leaf, tree.inclusion(index), new.root)


def test_proofs_over_several_levels_of_tiles_agree_with_the_definition() -> None:
    store = MemoryStore()
    log, _ = grown(store, 1, 255, 4096, 66_000 - 4352)
    size = log.size
    entries = [one for n in range(-(-size // 256)) for one in Tree(store, size).entries(n)]
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    root = merkle.root(leaves)
    assert (len(leaves), log.head().root) == (66_000, root)
    for index in (0, 255, 256, 65_535, 65_536, 65_999):
        proof = log.inclusion(index)
        assert proof == merkle.inclusion(index, size, merkle.range_over(leaves))
        merkle.check_inclusion(index, size, leaves[index], proof, root)
    for old in (1, 255, 256, 300, 4352, 65_536, 65_537, 66_000):
        proof = log.consistency(old)
        merkle.check_consistency(old, size, merkle.root(leaves[:old]), root, proof)
        assert Tree(store, old).root() == merkle.root(leaves[:old])


def test_a_proof_reads_few_tiles() -> None:
    store = MemoryStore()
    log, _ = grown(store, 66_000)
    read: list[str] = []

    class Counting:
        def read(self, name: str) -> bytes | None:
            read.append(name)
            return store.read(name)

    Tree(Counting(), log.size).inclusion(12_345)
    assert len(read) <= 6


def test_missing_and_torn_files_are_named() -> None:
    store = MemoryStore()
    log, _ = grown(store, 300)
    store.files["tile/0/000"] = store.files["tile/0/000"][:-1]
    with pytest.raises(Unavailable, match="tile/0/000"):
        log.inclusion(3)
    del store.files["tile/entries/001.p/44"]
    with pytest.raises(Unavailable, match="tile/entries/001"):
        Tree(store, 300).entries(1)


def test_proofs_of_what_is_not_there_are_refused() -> None:
    log, _ = grown(MemoryStore(), 5)
    for wrong in (5, -1):
        with pytest.raises(Rejected):
            log.inclusion(wrong)
    for old, new in ((0, None), (6, None), (3, 6), (4, 3)):
        with pytest.raises(Rejected):
            log.consistency(old, new)
