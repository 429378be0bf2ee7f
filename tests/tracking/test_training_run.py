"""The MLflow run of one training: what is written when, and what happens while MLflow is away."""

import logging

import pytest

from sceneshift.errors import StudyError
from sceneshift.tracking import run_writer, training_run
from sceneshift.tracking.training_run import TrainingRun

pytestmark = pytest.mark.slow


@pytest.fixture
def open_run(backend, tmp_path):
    def build(name="r", **changes):
        return TrainingRun(
            backend,
            **{
                "experiment": "e",
                "name": name,
                "tags": {"seed": "0"},
                "params": {"lr": 0.1, "trained on": "a"},
                "journal": tmp_path / f"{name}.jsonl",
                **changes,
            },
        )

    return build


def steps_of(run, key="train/a/loss"):
    return [metric.step for metric in run.client.get_metric_history(run.run_id, key)]


def epochs(run, *numbers):
    for number in numbers:
        run.log_epoch(number, {"train/a/loss": 1 / number, "time/epoch_s": 2.0})


def away(monkeypatch, run, method="log_batch"):
    def fail(*args, **kwargs):
        raise ConnectionError("server is away\nsecond line")

    monkeypatch.setattr(run.client, method, fail)


def test_a_run_has_its_settings_and_is_running(open_run):
    run = open_run()
    recorded = run.client.get_run(run.run_id)
    assert (recorded.info.run_name, recorded.info.status) == ("r", "RUNNING")
    assert recorded.data.params == {"lr": "0.1", "trained on": "a"}
    assert recorded.data.tags["seed"] == "0"
    assert f"/#/experiments/{run.experiment_id}/runs/{run.run_id}?" in run.link()


def test_epochs_are_written_together_and_at_the_latest_at_the_end(open_run, monkeypatch):
    monkeypatch.setattr(training_run, "_PATIENCE_S", 1e9)
    run = open_run()
    epochs(run, 1, 2, 3)
    assert steps_of(run) == []
    run.close("FINISHED")
    assert steps_of(run) == steps_of(run, "epoch") == [1, 2, 3]
    values = [metric.value for metric in run.client.get_metric_history(run.run_id, "train/a/loss")]
    assert values == pytest.approx([1, 1 / 2, 1 / 3])
    assert run.client.get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.parametrize(("name", "value"), [("_PATIENCE_S", -1.0), ("MOST_METRICS", 4)])
def test_epochs_are_written_after_a_while_or_when_there_are_many(open_run, monkeypatch, name, value):
    monkeypatch.setattr(training_run, "_PATIENCE_S", 1e9)
    monkeypatch.setattr(training_run, name, value)
    run = open_run()
    epochs(run, 1, 2)
    assert steps_of(run) == [1, 2]


def test_an_epoch_is_written_once(open_run):
    run = open_run()
    epochs(run, 1, 2, 2, 1)
    run.close("KILLED")
    assert steps_of(run) == [1, 2]


def test_a_resumed_run_is_the_same_and_adds_only_new_epochs(open_run):
    first = open_run()
    epochs(first, 1, 2)
    first.close("KILLED")
    again = open_run(tags={"seed": "7"}, params={"lr": 0.2})
    assert (again.run_id, again.experiment_id) == (first.run_id, first.experiment_id)
    recorded = again.client.get_run(again.run_id)
    assert recorded.info.status == "RUNNING"
    assert (recorded.data.params["lr"], recorded.data.tags["seed"]) == ("0.1", "0")
    epochs(again, 2, 3)  # the last epoch of a resumed run is reported again
    again.close("FINISHED")
    assert steps_of(again) == [1, 2, 3]
    assert again.client.get_run(again.run_id).info.status == "FINISHED"


def test_another_name_is_another_run(open_run):
    one, other = open_run("r"), open_run("r2")
    assert one.run_id != other.run_id
    epochs(one, 1)
    one.close("FINISHED")
    assert steps_of(other) == []


def test_while_mlflow_is_away_the_training_continues_and_is_reported_once(open_run, monkeypatch, caplog):
    monkeypatch.setattr(training_run, "_PATIENCE_S", -1.0)
    run = open_run()
    epochs(run, 1)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        away(patch, run)
        epochs(run, 2, 3, 4)
    lines = [record.getMessage() for record in caplog.records if record.name == training_run.__name__]
    assert len(lines) == 1
    assert "(server is away" in lines[0]
    assert "second line" not in lines[0]
    assert "the training continues" in lines[0]
    assert steps_of(run) == [1]
    run.close("FINISHED")
    assert steps_of(run) == [1, 2, 3, 4]


def test_a_chunk_that_was_written_is_not_written_again(open_run, monkeypatch):
    monkeypatch.setattr(training_run, "_PATIENCE_S", 1e9)
    run = open_run()
    epochs(run, *range(1, 8))  # 21 metrics
    for module in (run_writer, training_run):
        monkeypatch.setattr(module, "MOST_METRICS", 6)
    real, calls = run.client.log_batch, []

    def second_fails(*args, **kwargs):
        calls.append(len(kwargs["metrics"]))
        if len(calls) == 2:
            raise ConnectionError("server is away")
        return real(*args, **kwargs)

    monkeypatch.setattr(run.client, "log_batch", second_fails)
    epochs(run, 8)
    run.close("FINISHED")
    assert max(calls) == 6
    assert steps_of(run) == steps_of(run, "epoch") == list(range(1, 9))


def test_results_are_metrics_and_a_folder_and_bring_what_is_missing(open_run, monkeypatch, tmp_path):
    monkeypatch.setattr(training_run, "_PATIENCE_S", 1e9)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "table.md").write_text("t")
    run = open_run()
    epochs(run, 1)
    run.log_results({"target/oa": 0.5}, str(tmp_path / "report"))
    assert steps_of(run) == [1]
    assert run.client.get_run(run.run_id).data.metrics["target/oa"] == 0.5
    assert [artifact.path for artifact in run.client.list_artifacts(run.run_id, "report")] == ["report/table.md"]


@pytest.mark.parametrize("method", ["log_batch", "log_metric", "log_artifacts"])
def test_results_that_cannot_be_reported_say_where_they_are(open_run, monkeypatch, tmp_path, method):
    run = open_run()
    epochs(run, 1)
    away(monkeypatch, run, method)
    with pytest.raises(StudyError, match=r"server is away.*--resume"):
        run.log_results({"target/oa": 0.5}, str(tmp_path))


def test_closing_while_mlflow_is_away_is_reported_and_not_raised(open_run, monkeypatch, caplog):
    run = open_run()
    away(monkeypatch, run, "set_terminated")
    with caplog.at_level(logging.WARNING):
        run.close("FAILED")
    assert "failed (server is away" in caplog.text


def test_a_deleted_experiment_is_reported(open_run):
    run = open_run()
    run.client.delete_experiment(run.experiment_id)
    with pytest.raises(StudyError, match="'e'"):
        open_run()


def test_an_mlflow_that_fails_at_once_is_reported_before_anything_is_trained(open_run, monkeypatch):
    from mlflow.tracking import MlflowClient

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(MlflowClient, "create_run", fail)
    with pytest.raises(StudyError, match="gone"):
        open_run()


def test_epochs_mlflow_did_not_hear_of_before_a_kill_reach_it_when_the_training_continues(open_run, monkeypatch):
    monkeypatch.setattr(training_run, "_PATIENCE_S", 1e9)
    killed = open_run()
    epochs(killed, 1, 2, 3)  # waiting when the process is gone: nothing is closed
    assert steps_of(killed) == []
    again = open_run()
    epochs(again, 3, 4)
    again.close("FINISHED")
    assert steps_of(again) == steps_of(again, "epoch") == [1, 2, 3, 4]


def test_an_mlflow_that_was_away_at_the_end_is_reported_all_when_it_is_back(open_run, monkeypatch):
    run = open_run()
    with monkeypatch.context() as patch:
        away(patch, run)
        epochs(run, 1, 2)
        run.close("FINISHED")
    assert steps_of(run) == []
    again = open_run()
    again.close("FINISHED")
    assert steps_of(again) == [1, 2]


def test_an_mlflow_that_does_not_know_a_resumed_run_is_refused(open_run, backend):
    with pytest.raises(StudyError, match=r"'r'.*sqlite:///elsewhere.db"):
        open_run(began_at="sqlite:///elsewhere.db")
    assert open_run(began_at=backend.uri).run_id == open_run(began_at="sqlite:///elsewhere.db").run_id
