import pytest

from sceneshift.errors import ResourceError
from sceneshift.search.cluster import ClusterSize, check_room, ray_cluster, resolved_ray_address


def size(**changes):
    return ClusterSize(
        **{"cpus": 2.0, "gpus": 0.0, "largest_node": None, "num_nodes": 1, "is_own": True, "address": "here", **changes}
    )


@pytest.mark.parametrize(("at_once", "cpus"), [(1, 2), (2, 1), (4, 0.5)])
def test_what_fits_passes(at_once, cpus):
    assert check_room(size(), trials_at_once=at_once, cpus_per_trial=cpus, gpus_per_trial=0) is None


def test_too_many_at_once_names_the_numbers_and_what_fits():
    with pytest.raises(ResourceError, match=r"3 trials at once with 1 CPU each need 3 CPU; there are 2.*trials 2"):
        check_room(size(), trials_at_once=3, cpus_per_trial=1, gpus_per_trial=0)


def test_a_trial_larger_than_the_machine_names_its_size():
    with pytest.raises(
        ResourceError, match=r"a trial with 8 CPU fits on no node; the largest has 2\..*--cpus-per-trial 2"
    ):
        check_room(size(), trials_at_once=1, cpus_per_trial=8, gpus_per_trial=0)


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ResourceError, match=r"a trial with 0.5 GPU fits on no node; the largest has 0"):
        check_room(size(), trials_at_once=2, cpus_per_trial=1, gpus_per_trial=0.5)


def test_fractions_of_a_gpu_fit():
    assert check_room(size(gpus=1.0), trials_at_once=2, cpus_per_trial=1, gpus_per_trial=0.5) is None


def test_a_cluster_that_may_grow_is_refused_only_beyond_its_limits():
    growing = size(is_own=False, cpus=8.0, gpus=2.0)
    assert check_room(growing, trials_at_once=9, cpus_per_trial=4, gpus_per_trial=1) is None
    with pytest.raises(ResourceError, match="a trial with 4 GPU fits on no node; the largest has 2"):
        check_room(growing, trials_at_once=1, cpus_per_trial=1, gpus_per_trial=4)


def test_on_a_cluster_that_stays_as_it_is_a_trial_must_fit_on_a_node():
    fixed = size(is_own=False, cpus=8.0, num_nodes=2, largest_node={"CPU": 4.0, "GPU": 0.0})
    assert check_room(fixed, trials_at_once=9, cpus_per_trial=4, gpus_per_trial=0) is None
    with pytest.raises(ResourceError, match="a trial with 8 CPU fits on no node; the largest has 4"):
        check_room(fixed, trials_at_once=1, cpus_per_trial=8, gpus_per_trial=0)


def test_the_ray_client_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ResourceError, match="not through the Ray client"), ray_cluster():
        pass


def test_the_address_is_told(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert resolved_ray_address() == "10.0.0.1:6379"
    monkeypatch.delenv("RAY_ADDRESS")
    assert "a Ray of its own" in resolved_ray_address()


def test_a_cluster_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ResourceError, match=r"no Ray cluster answers at RAY_ADDRESS=127.0.0.1:9"), ray_cluster():
        pass


def test_a_ray_of_its_own_and_its_dashboard_answer_on_this_machine_alone(monkeypatch):
    import ray

    asked = {}

    class EnoughSeen(Exception):
        pass

    def init(**options):
        asked.update(options)
        raise EnoughSeen

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(EnoughSeen), ray_cluster():
        pass
    assert (asked["dashboard_host"], asked["_node_ip_address"]) == ("127.0.0.1", "127.0.0.1")
