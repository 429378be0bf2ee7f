"""`cluster.yaml` brought up by `ray up`, searched on, harmed and taken down: a head and three workers.

Only what a cloud would do is done by this machine instead (launcher.py).
"""

import importlib
import time

import psutil
import pytest

pytestmark = pytest.mark.cluster

EPOCHS = 9
#: In the title of the process a trial trains in.
TRIAL = "ray::ImplicitFunc"
#: In the command line of a node's own process.
RAYLET = "raylet/raylet"
SEARCH_WITHIN_S = 400.0
#: Ray gives a node up after several health checks without an answer; a worker the head, after a minute.
GIVEN_UP_WITHIN_S = 150.0

MLFLOW_VERSION = """
import urllib.request
print("version", urllib.request.urlopen("http://127.0.0.1:5000/version", timeout=10).read().decode())
"""
WHERE_THE_PACKAGE_LIES = "import sceneshift; print('package', sceneshift.__file__)"
JOIN = "import ray; ray.init(address='auto', log_to_driver=False); print('joined')"


@pytest.fixture(scope="module")
def records(brought_up):
    return importlib.import_module("records")


@pytest.fixture(scope="module")
def begin(brought_up):
    """Begin a search of that name on the cluster."""
    searches = []

    def begin(name):
        searches.append(importlib.import_module("launcher").ClusterSearch(brought_up, name))
        searches[-1].start()
        return searches[-1]

    yield begin
    for search in searches:
        search.process.kill()
        search.process.wait()


@pytest.fixture(scope="module")
def check(brought_up, records):
    """What a search left behind: its trials, and what is not as it should be."""
    mlflow_db = brought_up.head.home / "mlflow" / "mlflow.db"

    def check(search):
        return records.check_study(
            search.storage, search.name, mlflow_db=mlflow_db, num_trials=importlib.import_module("launcher").TRIALS
        )

    return check


@pytest.fixture(scope="module")
def unharmed(begin, check):
    """The trials of a search that nothing happens to."""
    search = begin("unharmed")
    assert search.wait(SEARCH_WITHIN_S) == 0, search.printed()
    trials, faults = check(search)
    assert not faults, vars(faults)
    return trials


@pytest.fixture
def ends_whole(check, records, unharmed):
    """Wait for a search's end: nothing is lost, doubled, wrong or left running, and all is as in the unharmed one."""

    def ends_whole(search):
        assert search.wait(SEARCH_WITHIN_S) == 0, search.printed()
        trials, faults = check(search)
        faults.add(records.check_against(trials, unharmed))
        assert not faults, f"{vars(faults)}\n{search.printed()}"

    return ends_whole


@pytest.fixture
def cluster(brought_up):
    """The cluster as the tests before have left it; what is lost does not come back while they run."""
    alive = [worker for worker in brought_up.workers if worker.processes(RAYLET)]
    assert len(alive) >= 2, "too few workers to lose one"
    return brought_up


def hosts_at_work(cluster):
    return [worker for worker in cluster.workers if worker.processes(TRIAL)]


def kept(search):
    """When each checkpoint of the first trial was written, by epoch."""
    files = (search.checkpoints / "trial_0000").glob("epoch_*.ckpt")
    return {int(path.stem.removeprefix("epoch_")): path.stat().st_mtime_ns for path in files}


def goes_on(search, before):
    """Wait for the first trial's next epoch; whether the one before it was not trained again."""
    last = max(before)
    assert search.wait_until(lambda: max(kept(search)) > last), search.printed()
    return kept(search).get(last) == before[last]


def test_ray_up_brings_head_and_workers_together(cluster):
    nodes = cluster.wait_for_nodes(4)
    cpus = {address: resources.get("CPU", 0) for address, resources in nodes.items()}
    assert cpus == {cluster.head.address: 0, **{worker.address: 1 for worker in cluster.workers}}


def test_all_nodes_have_the_head_s_token_and_another_is_refused(cluster):
    token = (cluster.head.home / ".ray" / "auth_token").read_text()
    assert [(worker.home / ".ray" / "auth_token").read_text() for worker in cluster.workers] == [token] * 3
    assert "joined" in cluster.on_head(JOIN)
    with pytest.raises(RuntimeError, match=r"(?i)auth|token"):
        cluster.on_head(JOIN, RAY_AUTH_TOKEN="0" * 64)


def test_mlflow_answers_on_the_head_alone(cluster):
    assert "version 3." in cluster.on_head(MLFLOW_VERSION)
    assert not cluster.network.user.reaches(cluster.head, 5000)


def test_programs_import_the_copy_that_travelled(cluster):
    assert f"package {cluster.network.home}/sceneshift/platform/" in cluster.on_head(WHERE_THE_PACKAGE_LIES)


def test_a_search_runs_on_the_workers(unharmed):
    assert max(unharmed[0].epochs) == EPOCHS


def test_a_trial_whose_host_is_killed_continues_from_its_checkpoint_on_another(cluster, begin, ends_whole):
    search = begin("killed")
    assert search.wait_for_epochs(4)
    (victim,) = hosts_at_work(cluster)
    victim.kill()
    before = kept(search)
    assert 4 <= max(before) < EPOCHS
    assert goes_on(search, before)
    (elsewhere,) = hosts_at_work(cluster)
    assert elsewhere is not victim
    ends_whole(search)


def test_a_link_that_is_down_for_seconds_delays_and_for_longer_sends_the_trial_elsewhere(cluster, begin, ends_whole):
    search = begin("cut")
    assert search.wait_for_epochs(2)
    (victim,) = hosts_at_work(cluster)
    (process,) = victim.processes(TRIAL)
    victim.cut()
    time.sleep(5)
    victim.mend()
    assert goes_on(search, kept(search))
    assert victim.processes(TRIAL) == [process]

    of_old = [*victim.processes(RAYLET), process]
    victim.cut()
    others = [worker for worker in cluster.workers if worker is not victim]
    assert search.wait_until(lambda: any(other.processes(TRIAL) for other in others), within_s=GIVEN_UP_WITHIN_S)
    assert goes_on(search, kept(search))
    assert all(one.is_running() for one in of_old), "it had not been cut off, it was dead"
    victim.mend()
    ends_whole(search)
    # Ray on the host that was given up hears of that, and ends.
    assert psutil.wait_procs(of_old, timeout=GIVEN_UP_WITHIN_S)[1] == []


def test_ray_down_ends_ray_on_every_host(brought_up):
    """A cloud ends the machines. The user's hosts continue: the head's Ray is stopped, workers end without a head."""
    brought_up.run("down", "--yes")
    assert wait_until_empty(lambda: other_than_sshd_and_mlflow(brought_up.head), within_s=20) == []
    nodes = [process for worker in brought_up.workers for process in worker.processes(RAYLET)]
    assert len(nodes) >= 1
    assert wait_until_empty(lambda: [one for one in nodes if one.is_running()], within_s=GIVEN_UP_WITHIN_S) == []
    assert not hosts_at_work(brought_up)


def wait_until_empty(left, *, within_s):
    given_up_at = time.monotonic() + within_s
    while (found := left()) and time.monotonic() < given_up_at:
        time.sleep(0.5)
    return found


def other_than_sshd_and_mlflow(host):
    theirs = [process for process in host.processes() if process.name() == "sshd"]
    for server in host.processes("mlflow", "server"):
        theirs += [server, *server.children(recursive=True)]
    return [process for process in host.processes() if process not in theirs]
