import os
import tempfile

import pytest

from sceneshift.errors import ResourceError
from sceneshift.execution.cluster import (
    TUNE_VARIABLES,
    ClusterSize,
    _trials_in_waiting_processes,
    check_room,
    ray_cluster,
    resolved_ray_address,
    trials_that_fit,
)


def size(**changes):
    return ClusterSize(
        **{"cpus": 2.0, "gpus": 0.0, "largest_node": None, "num_nodes": 1, "is_own": True, "address": "here", **changes}
    )


@pytest.mark.parametrize(("at_once", "cpus"), [(1, 2), (2, 1), (4, 0.5)])
def test_what_fits_passes(at_once, cpus):
    assert check_room(size(), trials_at_once=at_once, cpus_per_trial=cpus, gpus_per_trial=0) is None


def test_too_many_at_once_names_the_numbers_and_what_fits():
    with pytest.raises(ResourceError, match=r"3 trials.*1 CPU.*3 CPU.*2.*2"):
        check_room(size(), trials_at_once=3, cpus_per_trial=1, gpus_per_trial=0)


def test_a_trial_larger_than_the_machine_names_its_size():
    with pytest.raises(ResourceError, match=r"8 CPU.*2.*--cpus-per-trial 2"):
        check_room(size(), trials_at_once=1, cpus_per_trial=8, gpus_per_trial=0)


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ResourceError, match=r"0.5 GPU.*0"):
        check_room(size(), trials_at_once=2, cpus_per_trial=1, gpus_per_trial=0.5)


def test_fractions_of_a_gpu_fit():
    assert check_room(size(gpus=1.0), trials_at_once=2, cpus_per_trial=1, gpus_per_trial=0.5) is None


def test_a_cluster_that_may_grow_is_refused_only_beyond_its_limits():
    growing = size(is_own=False, cpus=8.0, gpus=2.0)
    assert check_room(growing, trials_at_once=2, cpus_per_trial=4, gpus_per_trial=1) is None
    with pytest.raises(ResourceError, match=r"4 GPU.*2"):
        check_room(growing, trials_at_once=1, cpus_per_trial=1, gpus_per_trial=4)
    with pytest.raises(ResourceError, match=r"12 CPU.*8 once.*2"):
        check_room(growing, trials_at_once=3, cpus_per_trial=4, gpus_per_trial=0)


def nodes(*cpus, gpus=0.0):
    each = tuple({"CPU": float(n), "GPU": float(gpus)} for n in cpus)
    return size(
        is_own=False,
        cpus=float(sum(cpus)),
        gpus=gpus * len(cpus),
        num_nodes=len(cpus),
        nodes=each,
        largest_node={"CPU": float(max(cpus)), "GPU": gpus},
    )


def test_on_a_cluster_that_stays_as_it_is_a_trial_must_fit_on_a_node():
    assert check_room(nodes(4, 4), trials_at_once=2, cpus_per_trial=4, gpus_per_trial=0) is None
    with pytest.raises(ResourceError, match=r"8 CPU.*4"):
        check_room(nodes(4, 4), trials_at_once=1, cpus_per_trial=8, gpus_per_trial=0)


def test_what_is_scattered_over_nodes_is_not_counted_as_a_whole():
    with pytest.raises(ResourceError, match=r"6 CPU.*6.*2 such.*2"):
        check_room(nodes(3, 3), trials_at_once=3, cpus_per_trial=2, gpus_per_trial=0)


def test_workers_are_counted_and_the_nearest_setting_fits():
    cluster = nodes(4, 4, gpus=1.0)
    fits = {"cpus_per_trial": 2, "gpus_per_trial": 0}
    assert check_room(cluster, trials_at_once=2, workers_per_trial=2, **fits) is None
    with pytest.raises(ResourceError, match=r"3 trials.*2 workers.*2 CPU.*12 CPU.*2"):
        check_room(cluster, trials_at_once=3, workers_per_trial=2, **fits)
    with pytest.raises(ResourceError, match=r"1 GPU.*3 GPU.*2.*1.*--workers-per-trial 2"):
        check_room(cluster, trials_at_once=1, workers_per_trial=3, cpus_per_trial=1, gpus_per_trial=1)
    with pytest.raises(ResourceError, match="5 CPU"):
        check_room(cluster, trials_at_once=1, workers_per_trial=2, cpus_per_trial=5, gpus_per_trial=0)


def test_trials_that_fit_are_bound_by_the_scarcer_resource():
    cluster = nodes(4, 2, gpus=2.0)
    assert trials_that_fit(cluster, cpus=1, gpus=0) == 6
    assert trials_that_fit(cluster, cpus=1, gpus=0.5) == 6
    assert trials_that_fit(cluster, cpus=1, gpus=1) == 4
    assert trials_that_fit(cluster, cpus=2, gpus=0, workers=2) == 1


def test_the_ray_client_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ResourceError, match="Ray client"), ray_cluster():
        pass


def test_the_address_is_reported(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert resolved_ray_address() == "10.0.0.1:6379"
    monkeypatch.delenv("RAY_ADDRESS")
    assert "local Ray" in resolved_ray_address()


@pytest.mark.parametrize("given", ["ray://bob:hunter2@head:10001", "bob:hunter2@head:6379", "http://hunter2@head:1"])
def test_a_password_in_the_address_is_refused_unseen(monkeypatch, given):
    monkeypatch.setenv("RAY_ADDRESS", given)
    with pytest.raises(ResourceError, match=r"\*\*\*@head") as error, ray_cluster():
        pass
    assert "hunter2" not in str(error.value) + resolved_ray_address()


def test_a_cluster_that_does_not_answer_is_reported(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ResourceError, match=r"RAY_ADDRESS=127.0.0.1:9"), ray_cluster():
        pass


def test_a_ray_of_its_own_answers_on_this_machine_alone_and_is_reported_where_it_does_not_start(monkeypatch, tmp_path):
    import ray

    asked = {}

    def init(**options):
        asked.update(options, TMPDIR=os.environ["TMPDIR"])
        raise Exception("The current node timed out during startup.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    long = tmp_path / ("jobs" * 20)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr("sceneshift.execution.cluster.allowed_cores", lambda: 3)
    with pytest.raises(ResourceError, match="timed out"), ray_cluster():
        pass
    assert (asked["dashboard_host"], asked["_node_ip_address"]) == ("127.0.0.1", "127.0.0.1")
    assert not asked["include_dashboard"]
    assert asked["num_cpus"] == 3
    assert len(f"{asked['_temp_dir']}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store") <= 107
    # Of Ray's processes, which make sockets there; this one's is as it was.
    assert asked["TMPDIR"] == os.path.dirname(asked["_temp_dir"])
    assert os.environ["TMPDIR"] == str(long)


def test_tune_s_own_variables_are_back_when_the_local_ray_is_gone():
    from ray.tune.execution import class_cache

    before = class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE
    assert before[0] == TUNE_VARIABLES
    with _trials_in_waiting_processes():
        assert not class_cache.DEFAULT_ENV_VARS
        assert not class_cache.ENV_VARS_TO_PROPAGATE
    after = class_cache.DEFAULT_ENV_VARS, class_cache.ENV_VARS_TO_PROPAGATE
    assert after == before
