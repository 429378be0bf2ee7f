"""What every executor must do alike: local, Ray, and Ray Train with one worker and with two."""

import os
import sys
import time

import pytest

from sceneshift.execution.cluster import ray_cluster
from sceneshift.execution.executor import FailureKind, Placement, StopReason, StopRequest
from sceneshift.execution.local import LocalExecutor
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import train

EXECUTORS = ("local", "ray", "ray-train")

#: A run that hangs fails its test instead of all of them.
STALL_S = 180.0


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster(num_cpus=2, dashboard=True):  # Ray Train's
        yield


@pytest.fixture
def executor(request, tmp_path):
    if request.param == "local":
        return LocalExecutor(Placement())
    request.getfixturevalue("cluster")
    from sceneshift.execution.ray_tune import RayExecutor

    return RayExecutor(Placement(), tmp_path / "ray", in_ray_train=request.param == "ray-train")


def alone(job, source):
    """What the plain loop comes to."""
    reports = []
    train(job.spec, [source], report=reports.append)
    return reports


def without_times(report):
    return {key: value for key, value in report.metrics.items() if not key.startswith("time/")}


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS, indirect=True)
def test_jobs_run_are_stopped_diverge_and_break_as_the_queue_is_reported(
    executor, make_job, recording_queue, tiny_source, tmp_path
):
    (tmp_path / "file").touch()
    jobs = [
        make_job(0),
        make_job(1),
        make_job(2, lr=1e30),
        make_job(3, patch_size=9),  # the split was made for 5
        make_job(4, location=tmp_path / "file" / "below"),
    ]
    queue, stop = recording_queue(jobs, last={1: 1}), StopRequest()
    executor.run(queue, [tiny_source], stop=stop, stall_timeout_s=STALL_S)
    whole, expected = queue.of("epoch", 0), alone(jobs[0], tiny_source)
    assert [report.epoch for report in whole] == [1, 2]
    assert [without_times(report) for report in whole] == [without_times(report) for report in expected]
    assert [report.weights for report in whole] == [report.weights for report in expected]
    assert [report.epoch for report in queue.of("epoch", 1)] == [1]
    (message,) = queue.of("diverged", 2)
    assert "diverged" in message
    (failure,) = queue.of("failed", 3)
    assert failure.kind is FailureKind.ERROR
    assert "patch_size = 9" in failure.message
    assert {failure.kind for failure in queue.of("failed", 4)} == {FailureKind.STORAGE}
    assert {entry[1] for entry in queue.received if entry[0] == "started"} == {0, 1, 2, 3, 4}
    assert stop.reason is None


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS, indirect=True)
def test_a_run_that_is_asked_to_stop_leaves_its_job_which_continues_as_if_uncut(
    executor, make_job, recording_queue, tiny_source
):
    job, stop = make_job(7, epochs=30), StopRequest()
    first = recording_queue([job, make_job(8)], last={7: 30})
    decide = first.epoch

    def epoch(number, report):
        stop.request(StopReason.INTERRUPTED)
        return decide(number, report)

    first.epoch = epoch
    executor.run(first, [tiny_source], stop=stop, stall_timeout_s=STALL_S)
    assert first.of("epoch", 7)[-1].epoch < 30
    assert not first.of("epoch", 8)
    done = CheckpointFolder(job.checkpoint_location).latest_epoch()
    assert done >= 1
    again = recording_queue([job], last={7: 30})
    executor.run(again, [tiny_source], stop=StopRequest(), stall_timeout_s=STALL_S)
    received = [report.epoch for report in again.of("epoch", 7)]
    # The last complete epoch is reported again; Ray Train's workers may have trained some more before they were ended.
    assert received[0] >= done
    assert received == list(range(received[0], 31))
    assert again.of("epoch", 7)[-1].weights == alone(job, tiny_source)[-1].weights


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS, indirect=True)
def test_time_that_is_up_ends_a_run_and_no_job(executor, make_job, recording_queue, tiny_source):
    queue = recording_queue([make_job(0, epochs=10_000)], last={0: 10_000})
    executor.run(queue, [tiny_source], stop=StopRequest(), time_budget_s=6.0, stall_timeout_s=STALL_S)
    assert len(queue.of("epoch", 0)) < 10_000
    assert {entry[0] for entry in queue.received} <= {"started", "epoch"}
    if executor.name == "ray":
        import ray
        from ray.util import placement_group_table

        # Trials ended while their workers start would otherwise leave their placement groups.
        deadline = time.monotonic() + 20.0
        while ray.available_resources().get("CPU") != 2.0:
            assert time.monotonic() < deadline, placement_group_table()
            time.sleep(0.1)


@pytest.mark.slow
def test_only_the_placement_groups_of_the_run_are_released(cluster):
    from ray.util import placement_group, placement_group_table, remove_placement_group

    from sceneshift.execution.ray_train import released_afterwards

    kept = placement_group([{"CPU": 1}])
    with released_afterwards():
        requested = [placement_group([{"CPU": 1}]), placement_group([{"CPU": 64}])]
    states = {name: group["state"] for name, group in placement_group_table().items()}
    assert states[kept.id.hex()] == "CREATED"
    assert {states[group.id.hex()] for group in requested} == {"REMOVED"}
    remove_placement_group(kept)


@pytest.mark.slow
def test_a_trial_of_a_local_ray_takes_a_process_that_waits_with_everything_imported(cluster):
    import ray
    from ray.tune.execution.class_cache import _ActorClassCache

    from sceneshift.execution.cluster import ALLOCATOR, PRELOADED, TUNE_VARIABLES

    class Trial:
        def look(self):
            return set(sys.modules), dict(os.environ), ray.get_runtime_context().get_runtime_env_string()

    modules, environment, own = ray.get(_ActorClassCache().get(Trial).options(num_cpus=1).remote().look.remote())
    assert {*PRELOADED.split(","), "torch"} <= modules
    assert own == "{}"  # else Ray starts a process for it
    assert (ALLOCATOR | TUNE_VARIABLES | {"OMP_NUM_THREADS": "1"}).items() <= environment.items()
    assert environment["RAY_ADDRESS"].split(":")[1] == ray.get_runtime_context().gcs_address.split(":")[1]
    assert {"RAY_GCS_SERVER_PORT", "RAY_preload_python_modules"}.isdisjoint(os.environ)


@pytest.mark.slow
def test_two_workers_train_a_job_together(cluster, make_job, recording_queue, tiny_source, tmp_path):
    from sceneshift.execution.ray_tune import RayExecutor

    job, queue = make_job(0), recording_queue([make_job(0)])
    stop = StopRequest()
    RayExecutor(Placement(workers=2), tmp_path / "ray", in_ray_train=True).run(
        queue, [tiny_source], stop=stop, stall_timeout_s=STALL_S
    )
    assert stop.reason is None, stop.message
    assert not queue.of("failed", 0)
    together = queue.of("epoch", 0)
    expected = alone(job, tiny_source)
    assert [report.epoch for report in together] == [1, 2]
    for report, single in zip(together, expected, strict=True):
        assert report.metrics["train/tiny-pair/ce"] == pytest.approx(single.metrics["train/tiny-pair/ce"], rel=1e-3)
    assert together[0].weights != expected[0].weights  # sums were added in another order


def test_the_local_executor_refuses_several_workers():
    with pytest.raises(ValueError, match="ray-train"):
        LocalExecutor(Placement(workers=2))
