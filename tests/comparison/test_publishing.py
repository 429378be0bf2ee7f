"""What is published of a comparison, and its tables made again from that."""

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest

from sceneshift.comparison import publishing
from sceneshift.comparison.class_maps import MAPS, read_maps
from sceneshift.comparison.publishing import publish, read_epochs, reproduce
from sceneshift.comparison.results import ComparisonResults
from sceneshift.errors import MissingDataError, StudyError
from sceneshift.files.arrow_scenes import open_scene
from sceneshift.scores import Scores


@pytest.fixture
def place(compared, finished, tmp_path):
    found, _ = compared
    return publish(found, finished[0] / "toy.toml", tmp_path / "published", tmp_path / "out", most_pixels=300)


def test_results_epochs_and_specification_are_published(place, compared, finished, tmp_path):
    found, heard = compared
    assert place.parent.parent == tmp_path / "published"
    assert place.name == "toy"
    assert not place.with_name("toy.writing").exists()
    assert (place / "comparison.toml").read_text() == (finished[0] / "toy.toml").read_text()
    assert (place / "timings.json").exists()
    results = ComparisonResults.read(place / "results.parquet")
    assert results.as_frame().equals(found.results.as_frame())
    # The joining for the epochs is counted, too.
    assert set(results.joins) == {"source-blocks", "infomax", "none: every epoch, for publication"}
    rows, pixels = read_epochs(place / "epochs.parquet")
    assert {(row["training"], row["epoch"]) for row in rows} == {
        (cell.key, epoch) for cell in heard.ended_cells for epoch in range(1, cell.spec.epochs + 1)
    }
    labels = open_scene(finished[0] / "two.arrow").labels.ravel()
    assert len(pixels["one-two"]) == 300
    assert (labels[pixels["one-two"]] > 0).all()
    for row in rows:
        predicted = np.frombuffer(row["predicted"], dtype=np.uint8)
        class_map = found.store.maps(row["training"])["one-two", row["epoch"], row["is_average"]].class_map
        np.testing.assert_array_equal(predicted, class_map.ravel()[pixels["one-two"]])
        known = labels > 0
        scores = Scores.from_labels(labels[known] - 1, class_map.ravel()[known].astype(np.int64) - 1, num_classes=3)
        assert row["target_oa"] == pytest.approx(scores.oa)
        assert (row["source_aa"] is None) == row["is_final"]


def test_tables_are_made_again_from_what_is_published_alone(place, finished, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(place, elsewhere)
    before = {path.name: path.read_bytes() for path in reproduce(place)}
    after = {path.name: path.read_bytes() for path in reproduce(elsewhere)}
    assert before == after
    assert before
    with pytest.raises(MissingDataError):
        reproduce(tmp_path)


def test_settings_are_published_and_found_among_the_epochs_where_results_lack_them(place, compared):
    slug = "tune-once-2-epochs-source-blocks"
    table = place / "tables" / f"settings_{slug}.csv"
    before = table.read_bytes()
    results = ComparisonResults.read(place / "results.parquet")
    for cell, network in zip(results.cells, compared[0].networks, strict=True):
        assert json.loads(cell.settings) == json.loads(json.dumps(asdict(network.cell.spec.config)))
    replace(results, cells=tuple(replace(cell, settings="") for cell in results.cells)).write(place / "results.parquet")
    table.unlink()
    assert table in reproduce(place)
    assert table.read_bytes() == before
    table.unlink()
    (place / "epochs.parquet").unlink()
    assert table not in reproduce(place)


def test_maps_of_scenes_that_come_with_the_package_are_published_alone(
    place, compared, finished, tmp_path, monkeypatch
):
    assert not (place / MAPS).exists()
    assert not list((place / "pictures").glob("maps_*"))
    monkeypatch.setattr(publishing, "is_embedded", lambda side, catalogue: side == "two")
    also = publish(compared[0], finished[0] / "toy.toml", tmp_path / "also", tmp_path / "out")
    assert [maps.pair for maps in read_maps(also / MAPS)] == ["one-two"]
    picture = (also / "pictures" / "maps_one-two.png").read_bytes()
    (also / "pictures" / "maps_one-two.png").unlink()
    reproduce(also)
    assert (also / "pictures" / "maps_one-two.png").read_bytes() == picture


def test_damaged_maps_are_named(compared, tmp_path):
    (tmp_path / "out" / MAPS).write_bytes(b"PAR1")
    with pytest.raises(StudyError):
        read_maps(tmp_path / "out" / MAPS)
    with pytest.raises(StudyError):
        read_maps(tmp_path / "nothing.parquet")


def test_nothing_published_is_overwritten(place, compared, finished, tmp_path):
    with pytest.raises(StudyError):
        publish(compared[0], finished[0] / "toy.toml", tmp_path / "published", tmp_path / "out")


def test_too_much_is_refused_and_leaves_nothing(compared, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "MOST_BYTES", 1000)
    with pytest.raises(StudyError):
        publish(compared[0], finished[0] / "toy.toml", tmp_path / "published", tmp_path / "out")
    assert not [path for path in (tmp_path / "published").rglob("*") if path.is_file()]


def test_damaged_epochs_are_named(place):
    (place / "epochs.parquet").write_bytes(b"PAR1")
    with pytest.raises(StudyError):
        read_epochs(place / "epochs.parquet")
