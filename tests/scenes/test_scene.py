"""Scenes: they can't be built wrong, can't be changed by accident, and lose their labels for good."""

import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Footprint, Georeference, Scene, UnlabelledScene, refuse_second_scale, scaled


def cube_of(height: int = 4, width: int = 3, bands: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((height, width, bands)).astype(np.float32)


def build(**changes: object) -> Scene:
    arguments = {
        "name": "s",
        "cube": cube_of(),
        "labels": np.array([[0, 1, 2]] * 4),
        "class_names": ("soil", "tree"),
    }
    return Scene(**(arguments | changes))


def with_value(value: float) -> np.ndarray:
    cube = cube_of(bands=5)
    cube[1, 2, 3] = value
    return cube


def test_a_scene_knows_its_sizes() -> None:
    scene = build(labels=np.array([[0, 1, 2], [1, 1, 0], [0, 0, 0], [1, 2, 1]], dtype=np.uint8))
    assert (scene.shape, scene.num_bands, scene.num_classes) == ((4, 3), 2, 2)
    assert scene.class_counts.tolist() == [5, 2]
    assert scene.labels.dtype == np.int64
    assert scene.footprint == Footprint(parent="s", rows=(0, 4), columns=(0, 3))


def test_counts_name_every_class_also_one_without_pixels() -> None:
    assert build(class_names=("soil", "tree", "water")).class_counts.tolist() == [4, 4, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cube": cube_of()[0]},
            r"\(3, 2\)",
        ),
        ({"cube": cube_of()[:, :, :0]}, r"\(4, 3, 0\)"),
        ({"cube": [[[1.0]]]}, r"got list"),
        ({"cube": cube_of().astype(np.float64)}, "got float64"),
        ({"cube": with_value(np.nan)}, r"NaN.*1.*5 bands.*\(the first: 3\)"),
        ({"cube": with_value(-np.inf)}, r"NaN.*1.*5 bands.*\(the first: 3\)"),
        ({"wavelengths_nm": np.arange(3.0)}, r"3 wavelengths for 2 bands"),
        ({"footprint": Footprint(parent="p", rows=(0, 4), columns=(5, 9))}, "4 x 3 pixels"),
        ({"labels": np.zeros((3, 4), dtype=int)}, r"\(3, 4\).*\(4, 3\)"),
        ({"labels": np.zeros((4, 3))}, "labels, got float64"),
        ({"labels": np.zeros((4, 3), dtype=bool)}, "labels, got bool"),
        ({"labels": np.full((4, 3), 3)}, "3 to 3.*to 2"),
        ({"labels": np.full((4, 3), -1)}, "-1 to -1"),
        ({"class_names": ("soil",)}, r"\('soil',\)"),
        ({"class_names": ("soil", "soil")}, "distinct"),
        ({"unit": " "}, "' '"),
        ({"unit": "two\nlines"}, r"'two\\nlines'"),
        ({"unit": 3}, "'s'.*unit 3"),
    ],
)
def test_a_scene_cannot_be_built_wrong(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        build(**changes)


def test_arrays_of_a_scene_are_read_only() -> None:
    scene = build(wavelengths_nm=np.array([400.0, 500.0]))
    for name in ("cube", "labels", "wavelengths_nm"):
        array = getattr(scene, name)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(FrozenInstanceError):
        scene.labels = np.zeros((4, 3), dtype=int)


def test_the_label_map_is_the_scene_s_own() -> None:
    labels = np.array([[0, 1, 2]] * 4)
    scene = build(labels=labels)
    labels[:] = 0
    assert scene.class_counts.tolist() == [4, 4]


@pytest.mark.parametrize("field", ["cube", "labels"])
def test_the_hash_changes_with_any_pixel(field: str) -> None:
    scene = build()
    original = getattr(scene, field)
    hashes = {scene.content_hash}
    for position in np.ndindex(original.shape):
        changed = original.copy()
        changed[position] = 1 if original[position] != 1 else 2
        hashes.add(replace(scene, **{field: changed}).content_hash)
    assert len(hashes) == original.size + 1


def test_the_hash_is_of_the_content_alone() -> None:
    scene = build()
    assert build(cube=np.asfortranarray(scene.cube), name="other").content_hash == scene.content_hash
    assert replace(scene, class_names=("tree", "soil")).content_hash != scene.content_hash
    assert replace(scene, normalization=("l2-per-pixel",)).content_hash != scene.content_hash
    assert len(scene.content_hash) == 16


def test_two_shapes_of_the_same_bytes_hash_differently() -> None:
    tall = build(cube=np.zeros((4, 3, 2), np.float32), labels=np.ones((4, 3), int))
    wide = build(cube=np.zeros((3, 4, 2), np.float32), labels=np.ones((3, 4), int))
    assert tall.content_hash != wide.content_hash


def test_without_labels_no_label_is_left(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene()
    bare = scene.without_labels()
    assert type(bare) is UnlabelledScene
    assert not isinstance(bare, Scene)
    for name in ("labels", "class_names", "class_counts", "num_classes"):
        assert not hasattr(bare, name)
    assert {f.name for f in fields(bare)} == set(vars(bare))
    assert not any(isinstance(v, np.ndarray) and v.dtype.kind in "iu" for v in vars(bare).values())
    np.testing.assert_array_equal(bare.cube, scene.cube)
    assert (bare.name, bare.footprint, bare.normalization) == (scene.name, scene.footprint, scene.normalization)


def test_a_unit_stays_with_a_scene_and_is_no_part_of_its_content() -> None:
    scene = build(unit="reflectance")
    for other in (scene.without_labels(), replace(scene, name="t"), pickle.loads(pickle.dumps(scene))):
        assert other.unit == "reflectance"
    assert (scene.content_hash, scene.cube_hash) == (build().content_hash, build().cube_hash)


def test_a_scene_pickled_before_there_were_units_has_none() -> None:
    state = build().__getstate__()
    del state["unit"]
    back = Scene.__new__(Scene)
    back.__setstate__(state)
    assert (back.unit, back.without_labels().unit, back.content_hash) == (None, None, build().content_hash)


def test_a_scale_divides_and_keeps_the_type() -> None:
    cube = cube_of()
    assert scaled(cube, 1) is cube
    divided = scaled(10_000 * cube, 10_000)
    assert divided.dtype == np.float32
    np.testing.assert_allclose(divided, cube, rtol=1e-6)


def test_numbers_that_state_their_unit_are_not_divided_again() -> None:
    refuse_second_scale(1, "reflectance", where="a file")
    refuse_second_scale(10_000, None, where="a file")
    with pytest.raises(InvalidInputError, match="a file: got scale = 10000"):
        refuse_second_scale(10_000, "reflectance", where="a file")


def footprint(rows: tuple[int, int], columns: tuple[int, int], parent: str = "p") -> Footprint:
    return Footprint(parent=parent, rows=rows, columns=columns)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (footprint((10, 20), (10, 20)), True),
        (footprint((19, 30), (19, 30)), True),  # one corner pixel
        (footprint((0, 11), (0, 11)), True),
        (footprint((0, 99), (0, 99)), True),
        (footprint((12, 13), (12, 13)), True),
        (footprint((20, 30), (10, 20)), False),  # edges meet, half open
        (footprint((0, 10), (10, 20)), False),
        (footprint((10, 20), (20, 30)), False),
        (footprint((10, 20), (0, 10)), False),
        (footprint((10, 20), (10, 20), parent="q"), False),
    ],
)
def test_footprints_overlap_where_they_share_a_pixel(other: Footprint, expected: bool) -> None:
    one = footprint((10, 20), (10, 20))
    assert one.overlaps(other) is expected
    assert other.overlaps(one) is expected


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ((0, 0), (0, 1), r"'p'.*\(0, 0\).*0"),
        ((0, 1), (5, 3), r"columns = \(5, 3\)"),
        ((-1, 1), (0, 1), r"rows = \(-1, 1\)"),
    ],
)
def test_a_footprint_cannot_be_empty(rows: tuple[int, int], columns: tuple[int, int], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        footprint(rows, columns)


def test_a_georeference_stays_with_a_scene_and_is_no_part_of_its_content() -> None:
    georeference = Georeference(transform=(20, -0.0, 5e5, 0, -20, 4.4e6), crs="EPSG:32616")
    scene = build(georeference=georeference)
    assert scene.without_labels().georeference is georeference
    assert scene.content_hash == build().content_hash
    assert georeference == Georeference(transform=(20.0, 0.0, 500000.0, 0.0, -20.0, 4400000.0), crs="EPSG:32616")


@pytest.mark.parametrize(
    "transform", [(1, 0, 0, 0, 1), (1, 0, 0, 0, np.nan, 0), (1, 2, 0, 2, 4, 0), (0, 0, 0, 0, 0, 0)]
)
def test_a_transform_that_places_no_pixel_is_refused(transform: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError, match="transform"):
        Georeference(transform=transform)


def test_a_pickled_scene_is_the_same_and_still_read_only() -> None:
    scene = build()
    back = pickle.loads(pickle.dumps(scene))
    assert back.content_hash == scene.content_hash
    assert not back.cube.flags.writeable
    assert not back.labels.flags.writeable
