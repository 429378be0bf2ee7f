"""A comparison in MLflow: one parent, a child per training, each once; and MLflow's failure, which ends nothing."""

import logging

import pytest

from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.comparison_run import KEY_TAG, PLACE_TAG, ComparisonRun

EPOCHS = {1: {"val/aa": 0.5, "time/epoch_s": 1.0}, 2: {"val/aa": 0.6, "time/epoch_s": 1.0}}


@pytest.fixture
def backend(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow has set the last test's
    return TrackingBackend.resolve(tmp_path)


def opened(backend):
    return ComparisonRun(backend, name="toy", tags={"source.hash.a+b-c": "x"}, params={"protocol": "tune-once"})


def write(run, key, **changes):
    values = {"tags": {"method": "rbf_svm"}, "params": {"C": 1.0}, "epochs": EPOCHS, "diverged": False}
    run.write_training(key, f"training {key}", **(values | changes))


@pytest.mark.slow
def test_a_comparison_has_one_parent_and_each_training_once(backend):
    run = opened(backend)
    write(run, "one")
    write(run, "two", diverged=True, epochs={})
    write(run, "one")
    run.write_scores("one", {"target/infomax/oa": 0.7})
    run.write_scores("unknown", {"target/infomax/oa": 0.7})
    run.close("KILLED")
    again = opened(backend)
    assert again.run_id == run.run_id
    assert again.has("one")
    assert not again.has("three")
    write(again, "one")
    write(again, "three")
    again.close("FINISHED")
    client = backend.connect()
    runs = client.search_runs([run.experiment_id])
    children = {r.data.tags[KEY_TAG]: r for r in runs if r.data.tags[PLACE_TAG] == "training"}
    assert len(runs) == 4
    assert set(children) == {"one", "two", "three"}
    assert {child.data.tags["mlflow.parentRunId"] for child in children.values()} == {run.run_id}
    assert children["one"].data.metrics["val/aa"] == 0.6
    assert children["one"].data.metrics["target/infomax/oa"] == 0.7
    assert (children["one"].info.status, children["two"].info.status) == ("FINISHED", "FAILED")
    parent = client.get_run(run.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"protocol": "tune-once"}


@pytest.mark.slow
def test_mlflow_that_fails_is_reported_once(backend, monkeypatch, package_log):
    run = opened(backend)

    def broken(*arguments, **named):
        raise ConnectionError("the line is down")

    monkeypatch.setattr(run._client, "create_run", broken)
    write(run, "one")
    write(run, "two")
    assert not run.has("one")
    assert [record.levelno for record in package_log.records] == [logging.WARNING]
