"""Real files, where SCENESHIFT_TEST_DATA names a folder of them; none of them is part of this project.

Folders and files: ``indian_pines/train_mask.tif`` and ``test_mask.tif``, ``salinas_a/``, ``samson/``,
``jasper_ridge/``, ``muufl/`` and ``hyrank/`` with the files the catalogue lists.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sceneshift.catalogue.load import SCENES, load_pair, load_reference, load_scene
from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.catalogue.target import open_target
from sceneshift.catalogue.units import allowed_normalizations
from sceneshift.files.arrays import read_label_map
from sceneshift.scenes.normalization import NORMALIZATIONS, UNITLESS, normalize_l2_per_pixel
from sceneshift.scenes.scene import Scene

#: The masks' numbers in the order of the standard label map's, worked out by hand.
STANDARD = np.array([0, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16, 1, 7, 9])


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("SCENESHIFT_TEST_DATA")
    if not folder:
        pytest.skip("SCENESHIFT_TEST_DATA names no folder of real scene files")
    return Path(folder)


def ndvi(scene: Scene) -> np.ndarray:
    red, infrared = (scene.cube[..., np.abs(scene.wavelengths_nm - nm).argmin()] for nm in (670, 860))
    return (infrared - red) / np.maximum(infrared + red, 1e-9)


@pytest.mark.parametrize("name", ["salinas_a", "samson", "jasper_ridge", "muufl"])
def test_a_real_scene_is_the_published_release(data: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    scene, entry = load_scene(name, str(data)), SCENES[name]
    assert scene.cube.shape == entry.shape
    assert tuple(scene.class_counts) == entry.counts
    assert caplog.text == ""  # nor is one of its files another than the one that was hashed


@pytest.mark.parametrize(("name", "highest"), [("samson", 1.0), ("jasper_ridge", 0.5437), ("muufl", 1.0)])
def test_a_real_scene_is_in_its_unit(data: Path, name: str, highest: float) -> None:
    scene = load_scene(name, str(data))
    assert (scene.unit, scene.cube.dtype) == (SCENES[name].unit, np.float32)
    assert (scene.cube.min(), scene.cube.max()) == (0, np.float32(highest))


def test_muufl_s_materials_are_where_their_spectra_are(data: Path) -> None:
    scene, reference = load_scene("muufl", str(data)), load_reference("muufl", str(data))
    green = {name: float(ndvi(scene)[scene.labels == k].mean()) for k, name in enumerate(scene.class_names, start=1)}
    assert min(green["tree"], green["grass"]) > 0.4 > 0.2 > max(green["roof"], green["asphalt"])
    bright = {name: scene.cube[scene.labels == k].mean() for k, name in enumerate(scene.class_names, start=1)}
    assert min(bright, key=bright.__getitem__) == "shadow"
    np.testing.assert_allclose(reference.abundances.sum(axis=2), 1, atol=1e-9)
    for k in range(len(reference.materials)):
        spectrum = scene.cube[reference.abundances[..., k] > 0.9].mean(axis=0)
        assert np.corrcoef(spectrum, reference.endmembers[:, k])[0, 1] > 0.96


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [("muufl-jasper_ridge", (1177, 1078), (3412, 661)), ("jasper_ridge-muufl", (3412, 661), (1177, 1078))],
)
def test_muufl_and_jasper_ridge_share_trees_and_asphalt(
    data: Path, name: str, source: tuple[int, ...], target: tuple[int, ...]
) -> None:
    recipe = NamedPair(name=name, data_dir=str(data))
    pair, truth = load_pair(recipe), open_target(recipe).ground_truth()
    assert tuple(pair.source.class_counts) == source
    assert tuple(np.bincount(truth.ravel(), minlength=3)[1:]) == target
    assert allowed_normalizations(pair) == NORMALIZATIONS


@pytest.mark.parametrize(
    ("name", "undeclared"),
    [
        ("samson-jasper_ridge", UNITLESS),
        ("muufl-jasper_ridge", ()),  # what MUUFL's extremes took from it is an offset, which the catalogue declares
    ],
)
def test_units_that_nobody_declared_would_be_seen_to_differ(data: Path, name: str, undeclared: tuple[str, ...]) -> None:
    pair = load_pair(NamedPair(name=name, data_dir=str(data)))
    assert allowed_normalizations(pair) == NORMALIZATIONS
    counts = replace(pair.target, cube=pair.target.cube * np.float32(10_000))
    assert allowed_normalizations(replace(pair, target=counts)) == UNITLESS
    assert allowed_normalizations(replace(pair, target=replace(counts, unit=None))) == undeclared


@pytest.mark.parametrize("name", ["samson", "jasper_ridge"])
def test_the_materials_are_where_their_spectra_are(data: Path, name: str) -> None:
    scene, reference = load_scene(name, str(data)), load_reference(name, str(data))
    green = {
        material: float(ndvi(scene)[scene.labels == k].mean()) for k, material in enumerate(scene.class_names, start=1)
    }
    assert green["tree"] > 0.7
    assert green["water"] < 0
    assert green["tree"] > green["soil"] > green["water"]
    np.testing.assert_allclose(reference.abundances.sum(axis=2), 1, atol=1e-9)
    for k in range(len(reference.materials)):
        spectrum = scene.cube[reference.abundances[..., k] > 0.9].mean(axis=0)
        assert np.corrcoef(spectrum, reference.endmembers[:, k])[0, 1] > 0.99


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("samson-jasper_ridge", (2836, 3592, 2302), (2256, 3412, 3310)),
    ],
)
def test_samson_and_jasper_ridge_agree_on_what_a_tree_looks_like(
    data: Path, name: str, source: tuple[int, ...], target: tuple[int, ...]
) -> None:
    recipe = NamedPair(name=name, data_dir=str(data))
    pair, truth = load_pair(recipe), open_target(recipe).ground_truth()
    assert re.findall("jasper_ridge|samson|road|soil|tree|water", pair.notes[0]) == ["jasper_ridge", "road"]
    assert pair.source.num_bands == pair.target.num_bands == 52
    assert tuple(pair.source.class_counts) == source
    assert tuple(np.bincount(truth.ravel(), minlength=4)[1:]) == target
    # The nearest mean spectrum by angle, trained on the one sensor, is right on most of the other's pixels.
    spectra, others = (normalize_l2_per_pixel(side.cube) for side in (pair.source, pair.target))
    means = np.stack([spectra[pair.source.labels == k].mean(axis=0) for k in (1, 2, 3)])
    nearest = 1 + (others @ means.T / np.linalg.norm(means, axis=1)).argmax(axis=2)
    assert (nearest == truth)[truth > 0].mean() > 0.8
    # Where plants turn bright in the infrared depends on the plant, not on the sensor: bands 20 nm off give 0.96.
    k = 1 + pair.class_names.index("tree")
    trees = np.corrcoef(spectra[pair.source.labels == k].mean(axis=0), others[truth == k].mean(axis=0))
    assert trees[0, 1] > 0.99


def masks_recipe(data: Path) -> InScene:
    folder = data / "indian_pines"
    return InScene(
        scene="indian_pines",
        split="fixed",
        patch_size=7,
        seed=0,
        train_mask=str(folder / "train_mask.tif"),
        test_mask=str(folder / "test_mask.tif"),
    )


def test_the_standard_indian_pines_masks_are_matched(data: Path) -> None:
    recipe = masks_recipe(data)
    pair, door = load_pair(recipe), open_target(recipe)
    np.testing.assert_array_equal(pair.source.labels, STANDARD[read_label_map(recipe.train_mask)])
    np.testing.assert_array_equal(door.ground_truth(), STANDARD[read_label_map(recipe.test_mask)])
    assert (len(pair.test_split.train), len(pair.test_split.validation)) == (695, 9671)
    assert pair.notes[0].startswith("mask class 1 = Corn-notill (50 of 50 ")
    assert pair.notes[13].startswith("mask class 14 = Alfalfa (11 of 11 ")
    assert [note.split()[:2] for note in pair.notes[16:]] == [["256", "pixels"], ["139", "labels"]]
    separation = pair.test_split.separation()
    assert (separation.num_inside_training_patch, separation.num_overlapping_patches) == (7631, 9511)


@pytest.mark.parametrize("name", ["dioni", "loukia"])
def test_hyrank_s_label_maps_have_the_published_counts(
    data: Path, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = data / "hyrank" / f"{name.capitalize()}_gt_out68.mat"
    (tmp_path / labels.name).write_bytes(labels.read_bytes())
    height, width, _ = SCENES[name].shape
    scipy.io.savemat(tmp_path / f"{name.capitalize()}.mat", {"ori_data": np.ones((height, width, 2))})
    scene = load_scene(name, str(tmp_path))
    assert tuple(scene.class_counts) == SCENES[name].counts
    (message,) = caplog.messages  # of the stand-in cube's two bands
    assert f"shape ({height}, {width}, 2)" in message
