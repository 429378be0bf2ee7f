"""What a prediction leaves in its folder, and that it leaves all of it or nothing."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from sceneshift.closing.prediction_files import MapFolder, Prediction
from sceneshift.closing.prediction_scores import Truth
from sceneshift.errors import InvalidInputError
from sceneshift.files.arrays import read_description, read_label_map
from sceneshift.scenes.scene import Georeference, UnlabelledScene
from sceneshift.tracking.model_description import FORMAT, ModelDescription
from sceneshift.training.scene_mapping import Tile

NAMES, COLOURS = ("soil & sand", "tree", "water"), ("#e69f00", "#56b4e9", "#009e73")
PLACE = Georeference(transform=(30.0, 0.0, 500000.0, 0.0, -30.0, 4500000.0), crs="EPSG:32616")
LOGITS = torch.randn(6, 5, 3, generator=torch.Generator().manual_seed(0))

#: What is kept of them: nothing at the two unmeasured pixels.
SHARES = LOGITS.softmax(dim=2).numpy()
SHARES[0, :2] = 0
CLASSES = LOGITS.argmax(dim=2).numpy() + 1


def described(names=NAMES):
    return ModelDescription(
        method="s2amsnet",
        config={"patch_size": 5},
        bands=4,
        class_names=names,
        class_colours=COLOURS,
        source_scene="park",
        normalization={"name": "none", "offset": None, "scale": None},
        format=FORMAT,
    )


def scene():
    cube = np.ones((6, 5, 4), dtype=np.float32)
    cube[0, :2] = 0
    return UnlabelledScene(name="field", cube=cube, georeference=PLACE)


def predict(folder, *, described_as=None, truth=None, **layers):
    with folder.writing() as writing:
        layers = {"probabilities": False, "confidence": False} | layers
        prediction = writing.begin(scene(), described_as or described(), **layers)
        for rows in (slice(0, 2), slice(2, 6)):
            prediction.add(Tile(rows, slice(0, 5), LOGITS[rows]))
        scores = None if truth is None else truth.score(prediction.class_map)
        prediction.finish({"scene": "field", "model": "m"}, truth=truth, scores=scores)
    return prediction


def folder(tmp_path, *formats, overwrite=False):
    return MapFolder(tmp_path / "maps" / "here", overwrite=overwrite, formats=formats or ("png",))


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def expected():
    return np.where(scene().cube.any(axis=2), CLASSES, 0)


def test_a_png_holds_class_ids_and_their_colours(tmp_path):
    place = folder(tmp_path)
    prediction = predict(place)
    assert place.written == ("class_map.png", "class_map_legend.png", "classes.csv", "prediction.json")
    with Image.open(place.path / "class_map.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), expected())
        seen = np.asarray(picture.convert("RGB"))
    assert {tuple(seen[expected() == k][0].tolist()) for k in (1, 2, 3)} == {
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
    }
    assert tuple(seen[0, 0]) == (255, 255, 255)  # nothing was measured there
    np.testing.assert_array_equal(read_label_map(place.path / "class_map.png"), expected())
    rows = rows_of(place.path / "classes.csv")
    assert [(row["class"], row["colour"]) for row in rows] == list(zip(NAMES, COLOURS, strict=True))
    assert [int(row["pixels"]) for row in rows] == [int((expected() == k).sum()) for k in (1, 2, 3)]
    assert json.loads((place.path / "prediction.json").read_text())["pixels without a measurement"] == 2
    assert prediction.shares()[-1].split()[-1] == "2"


@pytest.mark.parametrize(("format", "name"), [("geotiff", "class_map.tif"), ("envi", "class_map.hdr")])
def test_a_map_for_other_programs_keeps_names_colours_and_place(tmp_path, format, name):
    rasterio = pytest.importorskip("rasterio")
    copy = pytest.importorskip("rasterio.shutil").copy
    place = folder(tmp_path, format)
    predict(place, probabilities=True, confidence=True)
    np.testing.assert_array_equal(read_label_map(place.path / name), expected())
    description = read_description(place.path / name)
    assert description.class_names == NAMES
    assert description.georeference == PLACE
    data = place.path / name.replace(".hdr", ".img")
    with rasterio.open(data) as file:
        assert [file.colormap(1)[k][:3] for k in (1, 2, 3)] == [(230, 159, 0), (86, 180, 233), (0, 158, 115)]
        # GDAL itself knows the names: it writes them into a header of its own.
        copy(file, tmp_path / "copy.img", driver="ENVI")
    header = (tmp_path / "copy.hdr").read_text().replace("\n", "")
    assert all(f"{name}" in header for name in ("unclassified", *NAMES))
    with rasterio.open(data.with_stem("probabilities")) as file:
        assert file.descriptions == NAMES
        np.testing.assert_allclose(file.read().transpose(1, 2, 0), SHARES, atol=1e-6)
        assert file.transform.to_gdal() == (500000.0, 30.0, 0.0, 4500000.0, 0.0, -30.0)
    with rasterio.open(data.with_stem("confidence")) as file:
        np.testing.assert_allclose(file.read(1), SHARES.max(axis=2), atol=1e-6)


def test_maps_of_numbers_are_npy_where_no_format_holds_them(tmp_path):
    place = folder(tmp_path)
    predict(place, probabilities=True, confidence=True)
    np.testing.assert_allclose(np.load(place.path / "probabilities.npy"), SHARES, atol=1e-6)
    np.testing.assert_allclose(np.load(place.path / "confidence.npy")[..., 0], SHARES.max(axis=2), atol=1e-6)
    assert not [path for path in place.path.iterdir() if path.name.startswith(".")]


def test_labels_give_scores_and_a_confusion_matrix(tmp_path):
    labels = np.where(np.arange(30).reshape(6, 5) % 3 == 0, 0, 1 + np.arange(30).reshape(6, 5) % 2)
    place = folder(tmp_path)
    predict(place, truth=Truth(labels=labels, num_classes=3, notes=()))
    known = (labels > 0) & (expected() > 0)
    rows = {row["class"]: row for row in rows_of(place.path / "scores.csv")}
    assert float(rows["oa"]["accuracy"]) == pytest.approx(np.mean(expected()[known] == labels[known]), abs=1e-6)
    assert int(rows["tree"]["labelled pixels"]) == (known & (labels == 2)).sum()
    assert rows["water"]["accuracy"] == ""  # it has no labelled pixel
    header, *matrix = csv.reader((place.path / "confusion.csv").read_text().splitlines())
    assert header[1:] == list(NAMES)
    assert sum(int(n) for row in matrix for n in row[1:]) == known.sum()
    assert (place.path / "confusion.png").stat().st_size > 1000


def test_what_is_there_is_not_overwritten_unless_asked_and_never_mixed(tmp_path):
    predict(folder(tmp_path), probabilities=True)
    with pytest.raises(InvalidInputError, match=r"class_map\.png.*4 more"):
        folder(tmp_path, "npy")
    own = tmp_path / "maps" / "here" / "notes.txt"
    own.write_text("mine")
    predict(folder(tmp_path, "npy", overwrite=True))
    left = sorted(path.name for path in own.parent.iterdir())
    assert left == ["class_map.npy", "classes.csv", "notes.txt", "prediction.json"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "No space left on device"), InvalidInputError)],
)
def test_an_interrupted_prediction_leaves_nothing(tmp_path, monkeypatch, error, expected):
    place = folder(tmp_path)
    predict(place)
    before = {path: path.read_bytes() for path in place.path.iterdir()}

    def fail(*_):
        raise error

    monkeypatch.setattr(Prediction, "_write_classes", fail)  # maps are written by then
    for found in (place.path.parent / "elsewhere", place.path):
        with pytest.raises(expected):
            predict(MapFolder(found, overwrite=True, formats=("png",)), probabilities=True)
    assert not (place.path.parent / "elsewhere").exists()
    assert {path: path.read_bytes() for path in place.path.iterdir()} == before


def test_a_place_that_is_no_folder_and_names_a_header_can_not_hold_are_refused_before_anything_is_computed(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInputError, match="/file"):
        MapFolder(tmp_path / "file", overwrite=False, formats=("png",))
    pytest.importorskip("rasterio")
    with (
        pytest.raises(InvalidInputError, match="commas"),
        folder(tmp_path, "envi").writing() as writing,
    ):
        writing.begin(scene(), described(("a, b", "c", "d")), probabilities=False, confidence=False)
