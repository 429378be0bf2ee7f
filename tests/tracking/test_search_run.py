import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from sceneshift.errors import StudyError
from sceneshift.splits.pair import ScenePair
from sceneshift.tracking import host_metrics, run_writer
from sceneshift.tracking import search_run as mirror_module
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.datasets import observed_input, training_input
from sceneshift.tracking.ranking import trial_name
from sceneshift.tracking.search_run import SearchRun, refuse_known_experiment


def open_mirror(backend):
    return SearchRun(backend, study_name="study", metric="val/aa", tags={"seed": "0"}, params={"epochs": 3})


def runs(mirror):
    found = mirror.client.search_runs([mirror.experiment_id], max_results=100)
    return {run.info.run_name: run for run in found}


def history(mirror, number, key):
    return [(m.step, m.value) for m in mirror.client.get_metric_history(mirror.child_run_id(number), key)]


def test_the_study_is_the_parent_and_trials_are_its_children(backend, make_record):
    mirror = open_mirror(backend)
    mirror.changed(make_record(0, state="complete"))
    mirror.changed(make_record(1))
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
        mirror.changed(make_record(0, epochs=epochs))
    mirror.catch_up([make_record(0, epochs=3)])
    assert history(mirror, 0, "val/aa") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert history(mirror, 0, "time/recorded_unix_s") == []


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [("complete", "FINISHED", ""), ("pruned", "FINISHED", "stopped by ASHA"), ("fail", "FAILED", "NaN")],
)
def test_states_are_reported_as_they_are(backend, make_record, state, status, reason):
    mirror = open_mirror(backend)
    mirror.catch_up([make_record(1, state=state, reason=reason)])
    run = mirror.client.get_run(mirror.child_run_id(1))
    assert run.info.status == status
    assert run.data.tags["sceneshift.state"] == state
    assert run.data.tags.get("sceneshift.reason", "") == reason
    assert run.data.tags["weights.a"] == "beef"
    assert (run.info.start_time, run.info.end_time) == (1000, 1_002_000)  # when it ran, not when MLflow recorded it


@pytest.mark.parametrize(
    ("number", "state", "rank", "name"),
    [
        (0, "running", None, "trial-0000-defaults"),
        (0, "complete", 1, "trial-0000-best-defaults"),
        (2, "complete", None, "trial-0002"),
        (2, "complete", 3, "trial-0002-rank3"),
        (3, "pruned", 4, "trial-0003-stopped-e2"),
        (4, "fail", 5, "trial-0004-failed-e2"),
    ],
)
def test_a_run_s_name_says_state_and_rank(make_record, number, state, rank, name):
    assert trial_name(make_record(number, state=state, epochs=2), rank=rank) == name


def test_trials_of_a_closed_study_are_ranked_and_the_winner_stands_first(backend, make_record):
    mirror = open_mirror(backend)
    records = [
        make_record(0, state="complete", epochs=3),
        make_record(1, state="pruned", epochs=1),
        make_record(2, state="complete", epochs=3),
        make_record(3, state="fail", epochs=2),
        make_record(4, state="pruned", epochs=2),
    ]
    records[2] = dataclasses.replace(records[2], value=records[0].value + 0.1)
    records[1] = dataclasses.replace(records[1], value=0.99)
    mirror.catch_up(records)
    ended = {name: run.info.end_time for name, run in runs(mirror).items()}

    mirror.rank_trials(records, best=0)

    found = runs(mirror)
    ranks = {name: run.data.metrics["rank"] for name, run in found.items() if name != "study"}
    assert ranks == {
        "trial-0000-best-defaults": 1,
        "trial-0002-rank2": 2,
        "trial-0004-stopped-e2": 3,
        "trial-0001-stopped-e1": 4,
        "trial-0003-failed-e2": 5,
    }
    assert {name for name, run in found.items() if run.data.tags.get("sceneshift.best") == "yes"} == {
        "trial-0000-best-defaults"
    }
    assert found["trial-0000-best-defaults"].info.end_time == ended["trial-0000-defaults"]
    assert found["trial-0000-best-defaults"].info.status == "FINISHED"

    mirror.rank_trials(records, best=2)
    assert {"trial-0002-best", "trial-0000-defaults-rank2"} < set(runs(mirror))


def test_an_existing_name_is_refused_and_a_resumed_one_found_again(backend, make_record):
    first = open_mirror(backend)
    first.catch_up([make_record(1, epochs=2)])
    first.close("KILLED")
    interrupted = first.client.get_run(first.child_run_id(1))
    assert (interrupted.info.status, interrupted.data.tags["sceneshift.state"]) == ("KILLED", "interrupted")
    with pytest.raises(StudyError, match="'study'"):
        refuse_known_experiment(backend.connect(), "study")
    refuse_known_experiment(backend.connect(), "another")
    second = open_mirror(backend)
    assert second.run_id == first.run_id
    assert second.client.get_run(second.child_run_id(1)).info.status == "RUNNING"
    second.catch_up([make_record(1, epochs=3, state="complete")])
    assert second.child_run_id(1) == first.child_run_id(1)
    assert history(second, 1, "val/aa") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert len(runs(second)) == 2


def test_a_fault_of_mlflow_is_reported_once_and_made_good_at_the_end(backend, make_record, monkeypatch, caplog):
    mirror = open_mirror(backend)
    real = mirror.client.log_batch

    def away(*_, **__):
        raise ConnectionError("server went away")

    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(mirror.client, "log_batch", away)
        for epochs in (1, 2, 3):
            mirror.changed(make_record(0, epochs=epochs))
            mirror._write_waiting()
    (warning,) = [r.message for r in caplog.records if "server went away" in r.message]
    assert backend.uri in warning
    monkeypatch.setattr(mirror.client, "log_batch", real)
    mirror.catch_up([make_record(0, epochs=3, state="complete")])
    assert history(mirror, 0, "val/aa") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert mirror.client.get_run(mirror.child_run_id(0)).data.params == {"lr": "0.1", "flips": "True"}


def test_a_trial_mlflow_has_not_heard_of_is_reported(backend):
    with pytest.raises(StudyError, match="trial 5"):
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


@pytest.fixture
def tiny_pair(tiny_scene, make_scene):
    target = make_scene(1, name="elsewhere").without_labels()
    return ScenePair(name="tiny-pair", sources=(tiny_scene,), target=target)


def test_scenes_are_datasets_and_trials_have_the_sources_alone(backend, make_record, tiny_pair, tiny_source):
    import mlflow

    mirror = SearchRun(
        backend,
        study_name="study",
        metric="val/aa",
        tags={},
        params={},
        training=[training_input(tiny_source, digest="5ce4e")],
        observed=[observed_input(tiny_pair, digest="7a49e7")],
    )
    mirror.catch_up([make_record(0), make_record(1)])
    mirror.close("KILLED")
    found = {}
    for name, run in runs(mirror).items():
        datasets = [
            (i.dataset.name, i.dataset.digest, {t.key: t.value for t in i.tags}) for i in run.inputs.dataset_inputs
        ]
        found[name] = sorted((name, digest, tags["mlflow.data.context"]) for name, digest, tags in datasets)
    trained = (tiny_source.scene.name, "5ce4e", "training")
    assert found["trial-0000-defaults"] == found["trial-0001"] == [trained]
    assert found["study"] == sorted([trained, (tiny_pair.target.name, "7a49e7", "observed")])
    (source,) = runs(mirror)["trial-0001"].inputs.dataset_inputs
    profile = json.loads(source.dataset.profile)
    assert profile["bands"] == tiny_source.scene.num_bands
    assert profile["training pixels"] == len(tiny_source.split.train)
    assert len(source.dataset.profile) + len(source.dataset.schema) < 500  # sizes, no pixels
    assert mlflow.data.get_source(source.dataset).to_dict()["tags"]["scene"] == tiny_source.scene.name


def test_a_target_s_dataset_shows_nothing_of_labels(tiny_pair):
    dataset = observed_input(tiny_pair, digest="7a49e7").dataset
    assert set(json.loads(dataset.profile)) == {"rows", "columns", "bands"}


def test_a_dataset_shows_the_unit_its_scene_states(tiny_pair):
    pair = dataclasses.replace(tiny_pair, target=dataclasses.replace(tiny_pair.target, unit="reflectance"))
    assert json.loads(observed_input(pair, digest="7a49e7").dataset.profile)["unit"] == "reflectance"


def test_the_machine_s_load_is_on_the_study_s_run(backend, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    monkeypatch.setattr(mirror_module, "WRITE_EVERY_S", 0.05)
    mirror = open_mirror(backend)
    until = time.monotonic() + 60
    while not (history := mirror.client.get_metric_history(mirror.run_id, "system/cpu_utilization_percentage")):
        assert time.monotonic() < until, "nothing was read in a minute"
        time.sleep(0.1)
    mirror.catch_up([])
    assert 0 <= history[0].value <= 100
    metrics = mirror.client.get_run(mirror.run_id).data.metrics
    assert 0 < metrics["system/system_memory_usage_percentage"] <= 100
    found = len(mirror.client.get_metric_history(mirror.run_id, "system/cpu_utilization_percentage"))
    mirror.close("FINISHED")
    assert len(mirror.client.get_metric_history(mirror.run_id, "system/cpu_utilization_percentage")) == found


def test_the_machine_s_load_can_be_left_out(monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1e-9")
    host = host_metrics.HostMetrics(0)
    host.read_if_due()
    assert host.waiting == []


def test_readings_wait_for_a_server_that_is_away_but_not_without_end(monkeypatch):
    monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1e-9")
    monkeypatch.setattr(host_metrics, "_MOST_WAITING", 10)
    host = host_metrics.HostMetrics(0)
    for _ in range(5):
        host.read_if_due()
    assert len(host.waiting) == 10
    assert host.waiting[-1].timestamp >= host.waiting[0].timestamp


def test_many_epochs_come_in_few_calls_and_all_of_them(backend, make_record, monkeypatch):
    monkeypatch.setattr(run_writer, "MOST_METRICS", 7)  # an epoch has three
    mirror = open_mirror(backend)
    calls = []
    real = mirror.client.log_batch

    def count(*arguments, **named):
        calls.append(len(named.get("metrics", ())))
        real(*arguments, **named)

    monkeypatch.setattr(mirror.client, "log_batch", count)
    mirror.catch_up([make_record(0, epochs=5)])
    assert [n for n in calls if n] == [6, 6, 3]
    assert [step for step, _ in history(mirror, 0, "val/aa")] == [1, 2, 3, 4, 5]


def test_a_long_description_is_cut_at_a_line(backend):
    mirror = open_mirror(backend)
    mirror.describe("\n".join(["| a table |"] * 2000))
    note = mirror.client.get_run(mirror.run_id).data.tags["mlflow.note.content"]
    assert len(note) <= 8000
    assert set(note.splitlines()) == {"| a table |"}


def test_the_table_of_trials_is_sorted_by_what_selects(backend):
    mirror = open_mirror(backend)
    mirror.arrange_trials(["metrics.`val/aa`", "params.`lr`"])
    tags = mirror.client.get_experiment(mirror.experiment_id).tags
    view = json.loads(tags["mlflow.sharedViewState.trials"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`val/aa`", False)
    assert view["selectedColumns"] == ["metrics.`val/aa`", "params.`lr`"]
    found = mirror.client.search_runs([mirror.experiment_id], view["searchFilter"], order_by=["metrics.`val/aa` DESC"])
    assert found == []  # the filter is one MLflow understands; the study's own run is not a trial


class Server:
    """An MLflow server on a port, to be killed and brought back."""

    def __init__(self, directory, port):
        self.directory, self.port, self.process = directory, port, None

    def start(self):
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.directory}/mlflow.db"]
        with (self.directory / "server.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise AssertionError((self.directory / "server.log").read_text())

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.mark.slow
def test_a_server_killed_and_brought_back_is_reported_everything_before_the_search_ends(
    tmp_path, empty_database, make_record, free_port, monkeypatch, caplog, capsys
):
    monkeypatch.setattr(mirror_module, "WRITE_EVERY_S", 0.1)
    monkeypatch.setattr(mirror_module, "RETRY_EVERY_S", 0.2)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    server = Server(tmp_path, free_port)
    server.start()
    try:
        mirror = open_mirror(TrackingBackend(uri=f"http://127.0.0.1:{free_port}", artifact_root=None))
        mirror.changed(make_record(0, epochs=1))
        wait_for(lambda: mirror.child_run_id(0) and history(mirror, 0, "val/aa"))
        server.kill()
        mirror.changed(make_record(0, epochs=2))
        mirror.changed(make_record(1, epochs=1))
        wait_for(lambda: "the search continues" in caplog.text)
        mirror.changed(make_record(0, epochs=3))
        server.start()
        # The background thread records the rest by itself: the search has not ended.
        wait_for(lambda: len(history(mirror, 0, "val/aa")) == 3 and len(history(mirror, 1, "val/aa")) == 1)
        mirror.catch_up([make_record(0, epochs=3, state="complete"), make_record(1, epochs=1, state="complete")])
        mirror.close("FINISHED")
        assert history(mirror, 0, "val/aa") == [(1, 0.1), (2, 0.2), (3, 0.3)]
        assert {run.info.status for run in runs(mirror).values()} == {"FINISHED"}
        assert caplog.text.count("the search continues") == 1
        assert capsys.readouterr().out == ""  # MLflow would print two lines for every run that ends
    finally:
        server.kill()


def wait_for(condition):
    until = time.monotonic() + 120
    while True:
        try:
            if condition():
                return
        except StudyError:  # no run for the trial yet
            pass
        assert time.monotonic() < until, "did not come about in two minutes"
        time.sleep(0.1)
