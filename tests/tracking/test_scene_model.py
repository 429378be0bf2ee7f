"""A model and its description on disk, without MLflow: what it takes, what it refuses, what it says."""

import dataclasses
import json
import logging

import numpy as np
import pytest
import torch

from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.methods.s2amsnet import S2AMSnet, S2AMSnetConfig
from sceneshift.scenes.measured import LeftOut
from sceneshift.scenes.normalization import NORMALIZATIONS, UNITLESS, Normalization
from sceneshift.scenes.scene import Footprint, UnlabelledScene
from sceneshift.tracking.model_description import FORMAT, ModelDescription
from sceneshift.tracking.scene_model import DESCRIPTION_FILE, WEIGHTS_FILE, SceneModel
from sceneshift.training.evaluation import map_scene

CENTRES = np.linspace(400, 1100, 8)
CONFIG = S2AMSnetConfig(patch_size=5, width=8, generator_channels=4, normalization="minmax-per-band")


@pytest.fixture(scope="module")
def source(make_scene):
    scene = make_scene()
    return dataclasses.replace(scene, cube=4000 * scene.cube, wavelengths_nm=CENTRES)


@pytest.fixture(scope="module")
def described(source):
    normalization = Normalization.fit(CONFIG.normalization, source.cube)
    return ModelDescription.of(
        method="s2amsnet", config=CONFIG, sources=[source], normalization=normalization, profile="laptop", study="s"
    )


@pytest.fixture(scope="module")
def network(source, described):
    torch.manual_seed(0)
    network = S2AMSnet.build_classifier(CONFIG, bands=8, classes=3)
    cube = described.fitted_normalization.apply(source.cube)
    patches = torch.from_numpy(cube[:40, :30].reshape(8, 5, 6, 5, 8).transpose(0, 2, 4, 1, 3).reshape(48, 8, 5, 5))
    calibrate_batch_norm(network, [patches])
    with torch.no_grad():
        network.head[-1].bias -= network(patches).mean(dim=0)
    return network.eval()


@pytest.fixture
def folder(tmp_path, network, described):
    torch.save(network.state_dict(), tmp_path / WEIGHTS_FILE)
    (tmp_path / DESCRIPTION_FILE).write_text(json.dumps(described.as_dict()))
    return tmp_path


@pytest.fixture
def model(folder):
    return SceneModel.load(folder)


@pytest.fixture(scope="module")
def expected(source, network, described):
    cube = described.fitted_normalization.apply(source.cube)
    return map_scene(network, cube, patch_size=5, device="cpu")


def another(source, **changes):
    return dataclasses.replace(source.without_labels(), **changes)


def change(folder, **changes):
    path = folder / DESCRIPTION_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_description_holds_names_colours_bands_and_figures_and_survives_json(source, described):
    again = ModelDescription.from_dict(json.loads(json.dumps(described.as_dict())))
    assert again == described
    assert (again.format, again.bands, again.patch_size, again.source_scene) == (FORMAT, 8, 5, "tiny")
    assert again.class_names == ("soil", "tree", "water")
    assert again.class_colours == ("#e69f00", "#56b4e9", "#009e73")
    assert again.wavelengths_nm == tuple(CENTRES)
    assert again.method_config == CONFIG
    assert again.source_values.high == source.cube.max()
    assert again.source_footprint == source.footprint


def test_nothing_of_the_source_s_pixels_is_in_a_description_or_a_made_cube(source, described):
    made = described.made_cube()
    assert made.shape == (2, 3, 8)
    assert source.cube.min() < made.min() < made.max() < source.cube.max()
    assert not np.isin(made, source.cube).any()
    assert len(json.dumps(described.as_dict())) < 3000


def test_a_scene_and_its_bare_cube_are_mapped_alike(model, source, expected):
    assert len(np.unique(expected)) == 3
    for given in (source, source.without_labels(), source.cube, source.cube.astype(np.float64)):
        class_map = model.map_scene(given)
        assert class_map.dtype == np.int64
        np.testing.assert_array_equal(class_map, expected)


@pytest.mark.parametrize("tile_shape", [(40, 30), (7, 11), (1, 30)])
def test_the_map_does_not_depend_on_the_tiles(model, source, expected, tile_shape):
    np.testing.assert_array_equal(model.map_scene(source, tile_shape=tile_shape), expected)


def test_probabilities_and_patches_agree_with_the_map(model, source, expected):
    probabilities = model.map_probabilities(source)
    assert probabilities.shape == (40, 30, 3)
    np.testing.assert_allclose(probabilities.sum(axis=2), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=2) + 1, expected)
    patches = np.stack([source.cube[i : i + 5, 9:14].transpose(2, 0, 1) for i in range(30)])
    np.testing.assert_array_equal(model.patch_logits(patches).argmax(dim=1).numpy() + 1, expected[2:32, 11])


def test_the_source_s_unit_is_in_the_description_and_in_refusals(folder, described, source):
    assert described.source_unit is None
    stated = dataclasses.replace(source, unit="reflectance")
    normalization = Normalization.fit("none", source.cube)
    described = ModelDescription.of(method="s2amsnet", config=CONFIG, sources=[stated], normalization=normalization)
    assert described.source_unit == "reflectance"
    (folder / DESCRIPTION_FILE).write_text(json.dumps(described.as_dict()))
    model = SceneModel.load(folder)
    with pytest.raises(InvalidInputError, match="reflectance"):
        model.map_scene(source.cube * 1000)
    assert model.ready(stated).notes == model.ready(source).notes == ()
    (note,) = model.ready(dataclasses.replace(source, unit="0–1 by its own extremes")).notes
    assert "reflectance" in note
    assert "0–1 by its own extremes" in note


def test_a_model_of_the_version_before_units_still_loads(folder, described, source, expected):
    values = {key: value for key, value in described.as_dict().items() if key != "source_unit"}
    (folder / DESCRIPTION_FILE).write_text(json.dumps(values | {"format": 2}))
    model = SceneModel.load(folder)
    assert (model.description.format, model.description.source_unit) == (2, None)
    np.testing.assert_array_equal(model.map_scene(source.cube), expected)


def test_a_model_of_an_older_version_still_loads(folder, described, source, expected):
    # What was written before descriptions had a format.
    first = {"method", "config", "bands", "class_names", "source_scene", "normalization", "profile", "study"}
    kept = {key: value for key, value in described.as_dict().items() if key in first}
    (folder / DESCRIPTION_FILE).write_text(json.dumps(kept))
    model = SceneModel.load(folder)
    assert (model.description.format, model.description.source_values) == (1, None)
    assert model.description.class_colours == described.class_colours
    np.testing.assert_array_equal(model.map_scene(source.cube), expected)
    note = model.ready(source).notes[-1]
    assert "its source's" in note
    assert f"{source.cube.min():g} to {source.cube.max():g} here" in note


def test_a_model_of_the_version_before_magnitudes_says_what_it_can_not_see(folder, described, source, expected):
    values = described.as_dict()
    for name in ("magnitude", "floor"):
        del values["source_values"][name]
    (folder / DESCRIPTION_FILE).write_text(json.dumps(values | {"format": 3}))
    model = SceneModel.load(folder)
    assert model.description.source_values.floor is None
    np.testing.assert_array_equal(model.map_scene(source.cube), expected)
    (note,) = model.ready(source).notes
    low, high = source.cube.min(), source.cube.max()
    assert f"{low:g} to {high:g}: " in note
    with pytest.raises(InvalidInputError, match="5 times"):
        model.ready(source.cube * 6)


@pytest.mark.parametrize(("version", "lacks"), [(4, ("held_back", "other_footprints")), (5, ("other_footprints",))])
def test_a_model_of_a_version_that_knew_one_source_still_loads(folder, described, source, expected, version, lacks):
    values = {key: value for key, value in described.as_dict().items() if key not in lacks}
    (folder / DESCRIPTION_FILE).write_text(json.dumps(values | {"format": version}))
    model = SceneModel.load(folder)
    read = model.description
    assert (read.format, read.other_footprints, read.held_back) == (version, (), described.held_back)
    assert read.source_scenes == ("tiny",)
    np.testing.assert_array_equal(model.map_scene(source.cube), expected)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_a_model_remembers_what_its_source_s_values_are(folder, source, normalization):
    """What a factor or an offset makes of the source is refused by both ranges, where it doesn't cancel."""
    config = dataclasses.replace(CONFIG, normalization=normalization)
    described = ModelDescription.of(
        method="s2amsnet",
        config=config,
        sources=[source],
        normalization=Normalization.fit(normalization, source.cube),
    )
    assert described.source_values == ModelDescription.from_dict(described.as_dict()).source_values
    (folder / DESCRIPTION_FILE).write_text(json.dumps(described.as_dict()))
    model = SceneModel.load(folder)
    cube, own = source.cube, (source.cube - source.cube.min()) / (source.cube.max() - source.cube.min())
    given = {"half": 0.5 * cube, "percent": 100 * cube, "offset": cube + np.float32(0.5 * cube.max()), "own": own}
    accepted = {"half"}
    accepted |= {"percent"} if normalization in UNITLESS else set()
    accepted |= {"offset"} if normalization == "derivative" else set()
    for name, other in given.items():
        if name in accepted:
            assert model.ready(other).notes == ()
            continue
        with pytest.raises(InvalidInputError) as error:
            model.ready(other)
        assert f"{other.min():g} to {other.max():g}: " in str(error.value)
        assert f"{cube.min():g} to {cube.max():g}. " in str(error.value)
        assert model.ready(other, check_values=False).notes == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, r"of format 99"),
        ({"format": "x"}, "'x'"),
        ({"shoe_size": 44}, "holds shoe_size"),
        ({"method": "s2amsnett"}, r"'s2amsnett'.*'s2amsnet'"),
        ({"normalization": ["l2-per-pixel"]}, "normalization"),
        ({"source_footprint": {"parent": "x"}}, "broken"),
        ({"class_names": ["soil", "tree"]}, "weights"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, changes, message):
    change(folder, **changes)
    with pytest.raises(InvalidInputError, match=message):
        SceneModel.load(folder)


def test_damaged_and_missing_files_are_named(folder):
    (folder / WEIGHTS_FILE).write_bytes(b"no weights")
    with pytest.raises(InvalidInputError, match=r"weights\.pt"):
        SceneModel.load(folder)
    (folder / DESCRIPTION_FILE).write_text("{")
    with pytest.raises(InvalidInputError, match=r"description\.json.*JSON"):
        SceneModel.load(folder)
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(MissingDataError, match=r"weights\.pt"):
        SceneModel.load(folder)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((4, 4, 7)), r"\(4, 4, 7\).*7 bands.*\(rows, columns, 8\)"),
        (np.ones((8, 5, 5)), r"\(1, 8, 5, 5\)"),
        (np.ones((4, 8)), r"\(4, 8\)"),
        (np.full((4, 4, 8), np.nan), "NaN"),
        (np.full((4, 4, 8), "x"), "real"),
        (np.full((4, 4, 8), 0.5), "brightness"),
        (np.zeros((4, 4, 8)), "zero"),
    ],
)
def test_a_cube_of_another_kind_is_refused(model, array, message):
    with pytest.raises(InvalidInputError, match=message):
        model.map_scene(array)


def test_numbers_that_are_right_all_the_same_can_be_forced(model):
    assert model.map_scene(np.full((4, 4, 8), 0.5), check_values=False).shape == (4, 4)


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        (np.ones((2, 7, 5, 5)), r"\(2, 7, 5, 5\).*\(B, 8, 5, 5\).*8 bands.*5 x 5"),
        (np.ones((2, 8, 7, 7)), r"\(B, 8, 5, 5\)"),
        (np.full((2, 8, 5, 5), np.inf), "NaN"),
        (np.full((2, 8, 5, 5), 0.5), "brightness"),
    ],
)
def test_patches_of_another_kind_are_refused(model, patches, message):
    with pytest.raises(InvalidInputError, match=message):
        model.patch_logits(patches)


def test_a_finer_sensor_is_resampled_and_it_is_reported(model, source, expected, caplog):
    centres = np.linspace(390, 1110, 145)  # every 5 nm, the model's 100 nm steps among them
    fine = np.stack([np.interp(centres, CENTRES, spectrum) for spectrum in source.cube.reshape(-1, 8)])
    scene = another(source, cube=fine.reshape(40, 30, 145).astype(np.float32), wavelengths_nm=centres, name="fine")
    with caplog.at_level(logging.WARNING):
        class_map = model.map_scene(scene)
    assert "145 from 390 to 1110 nm, resampled" in caplog.text
    assert np.mean(class_map == expected) > 0.99
    np.testing.assert_array_equal(model.map_scene(scene, tile_shape=(3, 7)), class_map)


def test_bands_in_another_order_are_put_in_the_model_s(model, source, expected):
    turned = another(source, cube=np.ascontiguousarray(source.cube[..., ::-1]), wavelengths_nm=CENTRES[::-1])
    np.testing.assert_array_equal(model.map_scene(turned), expected)


@pytest.mark.parametrize(
    ("centres", "message"),
    [
        (np.linspace(400, 1000, 20), r"8 bands.*400.*1100 nm.*1"),
        (np.linspace(0.4, 1.1, 8), "nanometres"),
        (np.linspace(400, 1100, 5), "too coarse"),
        (np.concatenate([np.linspace(400, 620, 40), np.linspace(900, 1100, 40)]), "gap at 2"),
    ],
)
def test_bands_that_the_model_s_can_not_be_made_of_are_refused(model, source, centres, message):
    cube = np.full((4, 4, len(centres)), 2000, dtype=np.float32)
    with pytest.raises(InvalidInputError, match=message):
        model.map_scene(UnlabelledScene(name="x", cube=cube, wavelengths_nm=centres))


def test_without_wavelengths_the_same_number_of_bands_is_taken_and_it_is_reported(model, source, expected, caplog):
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(model.map_scene(another(source, wavelengths_nm=None)), expected)
    assert "'tiny' has no wavelengths" in caplog.text
    assert "8 bands" in caplog.text
    fewer = another(source, cube=np.ascontiguousarray(source.cube[..., :7]), wavelengths_nm=None)
    with pytest.raises(InvalidInputError, match=r"7 bands.*8"):
        model.map_scene(fewer)


def test_a_scene_whose_file_was_normalized_is_refused(model, source):
    with pytest.raises(InvalidInputError, match=r"\['l2-per-pixel'\].*'tiny'"):
        model.map_scene(another(source, normalization=("l2-per-pixel",)))


def test_what_is_in_the_source_is_known(described, source):
    assert described.shares_pixels_with(source)
    apart = Footprint(parent="tiny", rows=(100, 140), columns=(0, 30))
    assert not described.shares_pixels_with(another(source, footprint=apart))
    assert not described.shares_pixels_with(another(source, footprint=None, name="other"))


def test_unmeasured_pixels_are_zero_in_every_map_and_to_their_neighbours(model, source):
    cube = source.cube.copy()
    cube[10:14, 5:9] = 0
    measured = cube.any(axis=2)
    class_map = model.map_scene(cube)
    assert ((class_map == 0) == ~measured).all()
    np.testing.assert_array_equal(class_map, model.map_scene(cube, tile_shape=(7, 9)))
    probabilities = model.map_probabilities(cube)
    assert not probabilities[~measured].any()
    np.testing.assert_allclose(probabilities[measured].sum(axis=1), 1, rtol=1e-5)
    # A network sees zeros there, as it does in training.
    prepared = model.ready(cube).prepare(cube)
    assert not prepared[~measured].any()
    trained_on = model.description.fitted_normalization.apply(cube)
    np.testing.assert_array_equal(prepared, trained_on)


def test_a_model_trained_without_empty_bands_finds_its_bands(model, source):
    left_out = LeftOut(bands_in_file=10, empty=(2, 5))
    described = dataclasses.replace(model.description, wavelengths_nm=None, source_left_out=left_out)
    described = ModelDescription.from_dict(json.loads(json.dumps(described.as_dict())))
    assert described.source_left_out == left_out
    trained = SceneModel(described, model.classifier)
    whole = np.insert(source.cube, [2, 4], 7.0, axis=2)  # bands 2 and 5 of ten
    np.testing.assert_array_equal(whole[..., left_out.kept], source.cube)
    expected = trained.map_scene(source.cube)
    np.testing.assert_array_equal(trained.map_scene(whole), expected)
    scene = UnlabelledScene(name="whole", cube=whole)
    (note,) = trained.ready(scene).notes
    assert note.startswith("8 of 10 bands ")
    np.testing.assert_array_equal(trained.map_scene(scene), expected)
    lacking = UnlabelledScene(name="l", cube=whole[..., 1:].copy(), left_out=LeftOut(bands_in_file=10, empty=(0,)))
    with pytest.raises(InvalidInputError, match="1 bands"):
        trained.ready(lacking)
