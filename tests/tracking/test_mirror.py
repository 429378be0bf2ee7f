import logging

import pytest

from sceneshift.errors import StudyError
from sceneshift.tracking.mirror import StudyMirror, refuse_known_experiment


def open_mirror(backend):
    return StudyMirror(backend, study_name="study", tags={"seed": "0"}, params={"epochs": 3})


def runs(mirror):
    found = mirror.client.search_runs([mirror.experiment_id], max_results=100)
    return {run.info.run_name: run for run in found}


def history(mirror, number, key):
    return [(m.step, m.value) for m in mirror.client.get_metric_history(mirror.child_run_id(number), key)]


def test_the_study_is_the_parent_and_trials_are_its_children(backend, make_record):
    mirror = open_mirror(backend)
    mirror.push(make_record(0, state="complete"))
    mirror.push(make_record(1))
    mirror.catch_up([])
    found = runs(mirror)
    assert set(found) == {"study", "trial-0000-defaults", "trial-0001"}
    parent, child = found["study"], found["trial-0001"]
    assert parent.data.params == {"epochs": "3"}
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params == {"lr": "0.1", "flips": "True"}
    assert child.data.tags["seed"] == parent.data.tags["seed"] == "0"


def test_metrics_are_logged_once_an_epoch(backend, make_record):
    mirror = open_mirror(backend)
    for epochs in (1, 2, 2, 3):
        mirror.push(make_record(0, epochs=epochs))
    mirror.catch_up([make_record(0, epochs=3)])
    assert history(mirror, 0, "val/aa") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert history(mirror, 0, "time/recorded_unix_s") == []


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [("complete", "FINISHED", ""), ("pruned", "FINISHED", "stopped by ASHA"), ("fail", "FAILED", "NaN")],
)
def test_states_are_told_as_they_are(backend, make_record, state, status, reason):
    mirror = open_mirror(backend)
    mirror.catch_up([make_record(1, state=state, reason=reason)])
    run = mirror.client.get_run(mirror.child_run_id(1))
    assert run.info.status == status
    assert run.data.tags["sceneshift.state"] == state
    assert run.data.tags.get("sceneshift.reason", "") == reason
    assert run.data.tags["weights.a"] == "beef"


def test_an_existing_name_is_refused_and_a_resumed_one_found_again(backend, make_record):
    first = open_mirror(backend)
    first.catch_up([make_record(1, epochs=2)])
    first.close("KILLED")
    interrupted = first.client.get_run(first.child_run_id(1))
    assert (interrupted.info.status, interrupted.data.tags["sceneshift.state"]) == ("KILLED", "interrupted")
    with pytest.raises(StudyError, match="knows an experiment 'study', of which there is no study"):
        refuse_known_experiment(backend.connect(), "study")
    refuse_known_experiment(backend.connect(), "another")
    second = open_mirror(backend)
    assert second.run_id == first.run_id
    assert second.client.get_run(second.child_run_id(1)).info.status == "RUNNING"
    second.catch_up([make_record(1, epochs=3, state="complete")])
    assert second.child_run_id(1) == first.child_run_id(1)
    assert history(second, 1, "val/aa") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert len(runs(second)) == 2


def test_a_fault_of_mlflow_is_told_once_and_made_good_at_the_end(backend, make_record, monkeypatch, caplog):
    mirror = open_mirror(backend)
    real = mirror.client.log_batch

    def away(*_, **__):
        raise ConnectionError("server went away")

    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(mirror.client, "log_batch", away)
        for epochs in (1, 2, 3):
            mirror.push(make_record(0, epochs=epochs))
        mirror._queue.put(None)
        mirror._thread.join()
    assert [r.message for r in caplog.records if "server went away" in r.message] == [
        f"MLflow at {backend.uri} failed (server went away); the search goes on and tells MLflow the rest "
        "when it ends or is resumed."
    ]
    monkeypatch.setattr(mirror.client, "log_batch", real)
    mirror.catch_up([make_record(0, epochs=3, state="complete")])
    assert history(mirror, 0, "val/aa") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert mirror.client.get_run(mirror.child_run_id(0)).data.params == {"lr": "0.1", "flips": "True"}


def test_a_trial_mlflow_has_not_heard_of_is_told(backend):
    with pytest.raises(StudyError, match="has no run for trial 5"):
        open_mirror(backend).child_run_id(5)


def test_ending_a_study_while_mlflow_is_away_is_no_error(backend, make_record, monkeypatch, caplog):
    mirror = open_mirror(backend)
    mirror.catch_up([make_record(0)])

    def away(*_, **__):
        raise ConnectionError("server went away")

    monkeypatch.setattr(mirror.client, "set_terminated", away)
    mirror.close("FINISHED")
    assert "server went away" in caplog.text
    monkeypatch.undo()
    mirror.close("FINISHED")
    assert mirror.client.get_run(mirror.run_id).info.status == "FINISHED"
