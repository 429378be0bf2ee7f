"""The store: a scene comes back as it was, isn't copied, isn't left half-written, and travels as its path."""

import copy
import json
import multiprocessing
import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sceneshift.errors import InvalidInputError, MissingDataError, SceneshiftError
from sceneshift.files.arrow_scenes import open_scene, sent_whole, write_scene
from sceneshift.files.formats.description import Description
from sceneshift.scenes import mapped_arrays as stored_arrays
from sceneshift.scenes.alignment import align
from sceneshift.scenes.scene import Footprint, Georeference, Scene, UnlabelledScene
from sceneshift.splits.blocks import block_split
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return replace(
        make_scene(),
        wavelengths_nm=np.array([400.1, 500 + 1 / 3, 600, 700, 800, 900, 1000, 2500]),
        footprint=Footprint(parent="flight", rows=(3, 43), columns=(1, 31)),
        normalization=("l2-per-pixel",),
        georeference=Georeference(transform=(20, 0, 500000, 0, -20, 4400000), crs="EPSG:32616"),
        unit="reflectance",
    )


@pytest.fixture
def path(scene: Scene, tmp_path: Path) -> Path:
    write_scene(scene, tmp_path / "scene.arrow")
    return tmp_path / "scene.arrow"


def same(one: UnlabelledScene, other: UnlabelledScene) -> bool:
    assert type(one) is type(other)
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
            assert not b.flags.writeable
        else:
            assert a == b
    return True


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_scene_comes_back_as_it_was(scene: Scene, tmp_path: Path, order: str) -> None:
    scene = replace(scene, cube=np.array(scene.cube, order=order))
    write_scene(scene, tmp_path / "a.arrow")
    back = open_scene(tmp_path / "a.arrow", verify=True)
    assert same(scene, back)
    assert back.content_hash == scene.content_hash
    assert [file.name for file in tmp_path.iterdir()] == ["a.arrow"]


def test_a_scene_with_little_description_comes_back_too(make_scene: Callable[..., Scene], tmp_path: Path) -> None:
    write_scene(make_scene(), str(tmp_path / "a.arrow"))
    assert same(make_scene(), open_scene(str(tmp_path / "a.arrow")))


def test_a_scene_without_a_unit_is_stored_as_before_there_were_any(make_scene: Callable[..., Scene]) -> None:
    assert "unit" not in json.loads(Description.of(make_scene()).to_json())
    assert Description.from_json('{"name": "tiny"}').unit is None


def test_any_program_that_reads_arrow_reads_it(scene: Scene, path: Path) -> None:
    table = pa.ipc.open_file(str(path)).read_all()
    assert table.schema.names == ["spectrum", "label"]
    assert table["spectrum"][31].as_py() == scene.cube[1, 1].tolist()
    assert table["label"].to_pylist() == scene.labels.ravel().tolist()
    assert json.loads(table.schema.metadata[b"sceneshift.description"])["name"] == scene.name


def test_a_stored_cube_is_neither_copied_nor_looked_through(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(_: object) -> None:
        raise AssertionError("the cube was looked through")

    monkeypatch.setattr(np, "isfinite", looked)
    scene = open_scene(path)
    bare, fewer = scene.without_labels(), replace(scene, labels=np.zeros(scene.shape, dtype=int))
    for cube in (scene.cube, bare.cube, fewer.cube):
        assert isinstance(stored_arrays._memory_of(cube), stored_arrays.StoredMemory)
        assert not cube.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE"):
            cube.setflags(write=True)
    with pytest.raises(AssertionError, match="looked through"):
        replace(scene, cube=scene.cube * 2)
    with pytest.raises(AssertionError, match="looked through"):  # labels' bytes are not checked spectra
        replace(scene, cube=scene.labels.view(np.float32).reshape(40, 30, 2), wavelengths_nm=None)


def test_what_is_made_of_a_stored_cube_is_checked(path: Path) -> None:
    scene = open_scene(path)
    with pytest.raises(InvalidInputError, match=r"NaN.*8.*8 bands"):
        replace(scene, cube=scene.cube * np.float32(np.inf))


def test_a_failed_write_leaves_the_old_scene(scene: Scene, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(InvalidInputError, match=r"scene\.arrow"):
        write_scene(replace(scene, cube=scene.cube + 1), path)
    assert same(scene, open_scene(path, verify=True))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_who_has_a_scene_open_keeps_it_when_it_is_written_again(scene: Scene, path: Path) -> None:
    old = open_scene(path)
    write_scene(replace(scene, cube=scene.cube + 1), path)
    assert same(scene, old)
    assert open_scene(path).cube.tobytes() == (scene.cube + 1).tobytes()
    path.unlink()
    assert same(scene, old)


def test_every_damaged_byte_is_found(scene: Scene, path: Path) -> None:
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    places = [*rng.integers(0, len(whole), size=60), *range(0, 1500, 25), *range(len(whole) - 1500, len(whole), 25)]
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 0x01
        path.write_bytes(broken)
        with pytest.raises(SceneshiftError, match=r"scene\.arrow"):
            open_scene(path, verify=True)


def test_equal_scenes_have_equal_files(scene: Scene, path: Path) -> None:
    write_scene(replace(scene, cube=scene.cube.copy()), path.parent / "again.arrow")
    assert (path.parent / "again.arrow").read_bytes() == path.read_bytes()


def test_a_damaged_number_is_found_only_when_the_checksum_is_asked_for(scene: Scene, path: Path) -> None:
    whole = bytearray(path.read_bytes())
    spectrum = scene.cube[20, 20].tobytes()
    whole[whole.index(spectrum)] ^= 1
    path.write_bytes(whole)
    assert open_scene(path).cube[20, 20, 0] != scene.cube[20, 20, 0]
    with pytest.raises(InvalidInputError, match="checksum"):
        open_scene(path, verify=True)


@pytest.mark.parametrize("left", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_reported(path: Path, left: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole))])
    with pytest.raises(InvalidInputError, match=r"scene\.arrow"):
        open_scene(path)


def test_foreign_files_are_reported(tmp_path: Path, path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"gone\.arrow"):
        open_scene(tmp_path / "gone.arrow")
    (tmp_path / "scene.mat").touch()
    with pytest.raises(InvalidInputError, match=r"ends in \.arrow; got '\.mat'"):
        open_scene(tmp_path / "scene.mat")
    (tmp_path / "folder.arrow").mkdir()
    with pytest.raises(InvalidInputError, match="folder"):
        open_scene(tmp_path / "folder.arrow")
    (tmp_path / "text.arrow").write_bytes(b"spectrum,label\n" * 100)
    with pytest.raises(InvalidInputError, match=r"text\.arrow"):
        open_scene(tmp_path / "text.arrow")
    table = pa.table({"spectrum": [1.0]})
    with pa.OSFile(str(tmp_path / "other.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InvalidInputError, match=r"other\.arrow"):
        open_scene(tmp_path / "other.arrow")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "3"}, r"version 3.*version 2"),
        ({"version": "1"}, r"version 1.*version 2"),
        ({"shape": "40 31 8"}, "1200 pixels of 40 x 31"),
        ({"shape": "40 30 9"}, r"columns \['spectrum', 'label'\]"),
        ({"shape": "a b c"}, "read"),
        ({"description": '{"name": "s"}'}, "damaged"),
        ({"sha256": None}, "sha256 missing"),
    ],
)
def test_metadata_that_does_not_fit_is_reported(path: Path, changes: dict[str, str | None], message: str) -> None:
    table = pa.ipc.open_file(str(path)).read_all()
    found = table.schema.metadata | {f"sceneshift.{key}".encode(): value for key, value in changes.items()}
    table = table.replace_schema_metadata({key: value for key, value in found.items() if value is not None})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InvalidInputError, match=message):
        open_scene(path)


def test_where_nothing_can_be_written_is_reported(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"a\.arrow"):
        write_scene(scene, tmp_path / "nowhere" / "a.arrow")
    with pytest.raises(InvalidInputError, match=r"\.arrow"):
        write_scene(scene, tmp_path / "a.npz")
    (tmp_path / "a.arrow").mkdir()
    with pytest.raises(InvalidInputError, match="folder"):
        write_scene(scene, tmp_path / "a.arrow")


def test_a_stored_scene_is_pickled_as_its_path(scene: Scene, path: Path) -> None:
    opened = open_scene(path)
    for one in (opened, opened.without_labels()):
        content = pickle.dumps(one)
        assert len(content) < 2500
        back = pickle.loads(content)
        assert same(one, back)
        assert stored_arrays.is_checked_cube(back.cube)
    assert same(scene, copy.deepcopy(opened))


def test_what_does_not_lie_in_the_file_is_pickled_with_its_content(path: Path) -> None:
    opened = open_scene(path)
    other = replace(opened, labels=np.where(opened.labels == 1, 0, opened.labels))
    content = pickle.dumps(other)
    assert opened.labels.nbytes < len(content) < opened.labels.nbytes + 2500
    assert same(other, pickle.loads(content))


@pytest.mark.parametrize("cut", [np.s_[:20], np.s_[5:20, 3:9], np.s_[::-1], np.s_[:, ::-2], np.s_[:, :, ::2]])
def test_a_cut_of_a_stored_cube_travels_as_its_place_in_the_file(path: Path, cut: tuple[slice, ...] | slice) -> None:
    opened = open_scene(path)
    cube = opened.cube[cut]
    part = UnlabelledScene(name="part", cube=cube)
    content = pickle.dumps(part)
    assert len(content) < 2500
    back = pickle.loads(content)
    assert same(part, back)
    assert stored_arrays.is_checked_cube(back.cube)
    with sent_whole():
        content = pickle.dumps(part)
    assert len(content) > cube.nbytes
    assert same(part, pickle.loads(content))


@pytest.mark.parametrize("how", ["removed", "replaced", "asked"])
def test_a_scene_whose_file_cannot_be_reached_is_sent_whole(scene: Scene, path: Path, how: str) -> None:
    opened = open_scene(path)
    if how == "asked":
        with sent_whole():
            content = pickle.dumps(opened)
        assert len(pickle.dumps(opened)) < 2500
    else:
        path.unlink() if how == "removed" else write_scene(replace(scene, cube=scene.cube + 1), path)
        content = pickle.dumps(opened)
    assert len(content) > scene.cube.nbytes
    path.unlink(missing_ok=True)
    assert same(scene, pickle.loads(content))


def test_a_path_that_leads_nowhere_or_to_another_scene_is_reported(scene: Scene, path: Path) -> None:
    content = pickle.dumps(open_scene(path))
    write_scene(replace(scene, cube=scene.cube + 1), path)
    with pytest.raises(InvalidInputError, match="checksum"):
        pickle.loads(content)
    path.unlink()
    with pytest.raises(MissingDataError, match=r"scene\.arrow"):
        pickle.loads(content)


def anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def memory_of_reading(content: bytes) -> tuple[int, float]:
    """In a process of its own: anonymous memory a pickled scene takes, and the sum of all it holds."""
    before = anonymous_bytes()
    scene = pickle.loads(content)
    total = sum(float(row.sum(dtype=np.float64)) for row in scene.cube) + float(scene.labels.sum())
    return anonymous_bytes() - before, total


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_processes_share_a_stored_scene_s_pages(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    contents, whole, totals = [], b"", []
    for size in (16, 256):
        cube = rng.random((size, 256, 256), dtype=np.float32)  # 4 and 64 MB
        scene = Scene(name="s", cube=cube, labels=np.ones((size, 256), dtype=int), class_names=("a", "b"))
        write_scene(scene, tmp_path / f"{size}.arrow")
        opened = open_scene(tmp_path / f"{size}.arrow")
        contents.append(pickle.dumps(opened))
        totals.append(float(cube.sum(dtype=np.float64)) + size * 256)
        with sent_whole():
            whole = pickle.dumps(opened)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(memory_of_reading, (contents[0],))  # imports
        small, large = (pool.apply(memory_of_reading, (content,)) for content in contents)
        copied = pool.apply(memory_of_reading, (whole,))
    assert [small[1], large[1], copied[1]] == pytest.approx([*totals, totals[1]])
    assert max(small[0], large[0]) < 4 * 2**20
    assert copied[0] > 48 * 2**20


def test_two_stored_scenes_of_one_sensor_are_still_mapped_as_a_pair(scene: Scene, path: Path) -> None:
    shifted = replace(scene, name="other", footprint=None, class_names=("tree", "soil", "rock"))
    write_scene(shifted, path.with_name("other.arrow"))
    aligned = align(open_scene(path), open_scene(path.with_name("other.arrow")))
    assert aligned.source.class_names == aligned.target.class_names == ("soil", "tree")
    pair = ScenePair(name="p", sources=(aligned.source,), target=aligned.target.without_labels())
    split = block_split(pair.source, patch_size=5, seed=0)
    source = SourceDomain(pair_name="p", scene=pair.source, split=split)
    for one in (pair.source, pair.target, pickle.loads(pickle.dumps(source)).scene):
        assert stored_arrays.is_stored(one.cube)
    # Labels were renumbered: they, the split, and no spectrum, are what travels.
    assert (
        len(pickle.dumps(source)) < pair.source.labels.nbytes + 8 * len(split.train) + 8 * len(split.validation) + 4000
    )
    coarser = replace(scene, name="coarse", cube=scene.cube[..., ::2], wavelengths_nm=scene.wavelengths_nm[::2])
    resampled = align(open_scene(path), coarser)
    assert not stored_arrays.is_stored(resampled.source.cube)
