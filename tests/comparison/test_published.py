"""What is committed of comparisons: their tables, made again from the records beside them, are the same bytes."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from sceneshift.comparison.class_maps import MAPS
from sceneshift.comparison.publishing import EPOCHS, SPEC, read_epochs, reproduce
from sceneshift.comparison.results import RESULTS, ComparisonResults
from sceneshift.comparison.spec import read_spec
from sceneshift.scores import Scores

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = sorted(path.parent for path in (ROOT / "results" / "published").glob(f"*/*/{RESULTS}"))

each_published = pytest.mark.parametrize("place", PUBLISHED, ids=lambda place: f"{place.parent.name}/{place.name}")


def test_there_is_one():
    assert PUBLISHED


@each_published
def test_its_tables_are_made_again_byte_for_byte(place, tmp_path):
    for name in (RESULTS, MAPS, EPOCHS):
        if (place / name).exists():
            shutil.copyfile(place / name, tmp_path / name)
    made = {path.relative_to(tmp_path): path for path in reproduce(tmp_path)}
    committed = {path.relative_to(place): path for path in place.rglob("*") if path.is_file()}
    records = {Path(name) for name in (RESULTS, MAPS, EPOCHS, SPEC, "timings.json")}
    assert made.keys() == committed.keys() - records
    assert sum(path.parent.name == "tables" for path in made) > 5
    assert any(path.name.startswith("settings_") for path in made)
    for name in made:
        if name.suffix == ".png":  # the same picture; how its bytes are compressed depends on the machine's zlib
            first, second = (image.imread(io.BytesIO(found[name].read_bytes())) for found in (made, committed))
            assert first.shape == second.shape, name
            assert np.abs(first - second).mean() < 0.01, name
        elif name.suffix == ".html":
            assert without_pictures(made[name]) == without_pictures(committed[name])
        else:
            assert made[name].read_bytes() == committed[name].read_bytes(), name


def without_pictures(page: Path) -> str:
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "picture", page.read_text(encoding="utf-8"))


@each_published
def test_its_records_agree_with_each_other(place, spaces, tmp_path):
    results = ComparisonResults.read(place / RESULTS)
    shutil.copyfile(place / SPEC, tmp_path / f"{place.name}.toml")
    text = (place / SPEC).read_text(encoding="utf-8")
    if "catalogue" not in text and '.py"' not in text:  # paths in it are relative to comparisons/
        spec = read_spec(tmp_path / f"{place.name}.toml", spaces=spaces)
        assert {cell.label for cell in results.cells} == {entry.label for entry in spec.methods}
        assert {cell.pair for cell in results.cells} == set(spec.pairs)
        assert {cell.strategy for cell in results.cells} == set(spec.strategies)
    for cell in results.cells:
        if not cell.failed:
            assert Scores(cell.confusion).as_dict() == pytest.approx(
                {n: getattr(cell, n) for n in ("oa", "aa", "kappa")}
            )
    rows, pixels = read_epochs(place / EPOCHS)
    assert {row["pair"] for row in rows} == pixels.keys() == {cell.pair for cell in results.cells}
    assert all(len(row["predicted"]) == len(pixels[row["pair"]]) for row in rows)
    finals = {
        (row["pair"], row["label"], row["configuration"], row["seed"], row["epoch"]): row
        for row in rows
        if row["is_final"]
    }
    scored = [cell for cell in results.cells if not cell.failed and cell.trained_on == "fields"]
    for cell in scored:
        row = finals[cell.pair, cell.label, cell.configuration, cell.seed, cell.epoch]
        assert row["target_oa"] == pytest.approx(cell.oa)
