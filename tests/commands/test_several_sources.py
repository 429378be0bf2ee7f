"""A pair of several sources from the first line to a registered model, its report, a prediction and a promotion."""

import json
from pathlib import Path

import numpy as np
import pytest

from sceneshift.closing.promotion import compare_on_validation
from sceneshift.closing.reselection import reselect
from sceneshift.commands.announcements import announce_search
from sceneshift.commands.predict import predict_scene
from sceneshift.commands.predict_arguments import PredictArgs
from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.engine.searching import search
from sceneshift.report.study_page import write_report_or_note
from sceneshift.search.prepared import prepare
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.registry import find_version

PAIR = "nw+sw-se"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest):
    folder = tmp_path_factory.mktemp("several")
    arguments = TuneArgs(
        storage_path=str(folder),
        experiment_name="s",
        smoke_test=True,
        time_budget_s=900,
        pairs=(PAIR,),
        executor="local",
        num_samples=2,
        epochs=1,
    )
    return arguments.spec("s2amsnet", request.config.rootpath / "search_spaces" / "s2amsnet.py")


@pytest.fixture(scope="module")
def closed(spec):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield search(spec)


def test_the_first_lines_name_every_source(spec) -> None:
    lines = [line.strip() for line in announce_search(prepare(spec))]
    assert any(line.startswith(f"pair {PAIR}") and line.endswith("2 sources, normalized together") for line in lines)
    assert sum(line.startswith(("nw: ", "sw: ")) for line in lines) == 2


def test_a_search_scores_each_source_and_their_mean(closed) -> None:
    metrics = closed.records[0].epochs[1]
    each = [metrics[f"val/{PAIR}/{part}/aa"] for part in ("nw", "sw")]
    assert metrics["val/aa"] == metrics[f"val/{PAIR}/aa"] == pytest.approx(np.mean(each))
    (row,) = [row for row in closed.summary["scores"] if row["role"] == closed.summary["registered"][PAIR]]
    assert 0 <= row["target"]["oa"] <= 1
    assert len(closed.summary["floors"][PAIR]) == 3
    assert {row["side"] for row in closed.summary["separation"]} == {"validation nw", "validation sw"}


def test_mlflow_has_its_metrics_tags_and_model(closed, spec) -> None:
    client = TrackingBackend(uri=closed.tracking_uri, artifact_root=closed.directory).connect()
    run = client.get_run(closed.run_id)
    assert "target/nw and sw-se/oa" in run.data.metrics
    assert {
        "split.hash.nw and sw-se",
        "split.hash.nw and sw-se/nw",
        "source.hash.nw and sw-se/sw",
    } <= run.data.tags.keys()
    (model,) = closed.models
    assert model.name == "s2amsnet-indian_pines-nw+indian_pines-sw"
    version = find_version(client, model.name, model.version)
    assert version.tags["pair"] == PAIR
    compared = compare_on_validation(client, [version], data_dir=None)
    assert compared.scores[0].confusion.sum() == sum(
        len(source.split.validation) for source in prepare(spec).data.sources
    )


def test_its_report_can_be_written_again(closed) -> None:
    page = closed.directory / "report" / "index.html"
    page.unlink()
    write_report_or_note(closed.directory)
    assert PAIR in page.read_text(encoding="utf-8")
    facts = json.loads((closed.directory / "report" / "evidence.json").read_text())["pairs"][PAIR]
    assert [scene["scene"] for scene in facts["sources"]] == ["indian_pines/nw", "indian_pines/sw"]
    assert set(facts["splits"]) == {"validation nw", "validation sw"}
    assert len(facts["training pixels"]) == len(facts["classes"]) == 3


def test_its_trials_can_be_chosen_among_again(closed, tmp_path: Path) -> None:
    found = reselect(closed.directory, "source-blocks", out=tmp_path / "again")
    assert found.choice == closed.choice
    assert found.page is not None
    assert PAIR in found.page.read_text(encoding="utf-8")


def test_its_model_predicts_a_scene(closed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (model,) = closed.models
    out = tmp_path / "maps"
    printed = predict_scene(
        PredictArgs(
            model=model.uri,
            scene="indian_pines",
            storage_path=str(closed.directory.parent),
            out=str(out),
            device="cpu",
            format=("npy",),
        )
    )
    assert str(out) in printed
    assert set(np.unique(np.load(out / "class_map.npy"))) <= {1, 2, 3}
    described = json.loads((out / "prediction.json").read_text())
    assert described["source scene"] == "indian_pines/nw+indian_pines/sw"
