"""The hosts themselves: what is on them is theirs alone, a link can be cut, and nothing of them is left behind."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.cluster

ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

#: A test run that is killed itself, after it has printed the outer ids of what it started.
KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from hosts import Network
network = Network(Path(sys.argv[2]), ["a"], ssh_user="ubuntu", furnish=lambda name, home: None).__enter__()
print(*[process.pid for host in (network.user, *network.hosts.values()) for process in host.processes()], flush=True)
time.sleep(600)
"""


def run(host, *words):
    return subprocess.run(host.enter(*words), env=ENV, capture_output=True, text=True, check=False)


def outside():
    """What could be left of a network: interfaces and named namespaces of this machine."""
    return [subprocess.run(["ip", *words], capture_output=True, check=True).stdout for words in (["link"], ["netns"])]


def gone(pids, *, within_s):
    given_up_at = time.monotonic() + within_s
    while (alive := [pid for pid in pids if psutil.pid_exists(pid)]) and time.monotonic() < given_up_at:
        time.sleep(0.05)
    return not alive


def test_a_host_has_a_name_files_processes_and_shared_memory_of_its_own(make_network):
    network = make_network("a", "b")
    a, b = network.hosts["a"], network.hosts["b"]
    marks = [f"{place}/mark" for place in (network.home, "/dev/shm", "/tmp")]
    assert run(a, "touch", *marks).returncode == 0
    assert run(a, "ls", *marks).stdout.split() == sorted(marks)
    assert run(b, "ls", *marks).stdout == ""
    assert (a.home / "mark").exists()
    assert run(b, "bash", "-c", "hostname; cat /proc/1/comm").stdout.split() == ["b", "sshd"]
    run(a, "bash", "-c", "setsid nohup sleep 600 > /dev/null 2>&1 &")
    assert len(a.processes("sleep", "600")) == 1
    assert "sleep" not in run(b, "ps", "ax").stdout


def test_one_logs_in_by_the_key_alone(make_network):
    network = make_network("a")
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
    target = f"ubuntu@{network.hosts['a'].address}"
    done = run(network.user, "ssh", *options, "-i", network.key, target, "hostname; echo $HOME")
    assert done.stdout.split() == ["a", str(network.home)], done.stderr
    refused = run(network.user, "ssh", *options, "-o", "IdentityFile=none", target, "hostname")
    assert refused.returncode != 0
    assert "Permission denied" in refused.stderr


def test_a_link_that_is_cut_carries_nothing_until_it_is_mended(make_network):
    network = make_network("a", "b")
    host = network.hosts["a"]
    assert network.user.reaches(host)
    host.cut()
    assert not network.user.reaches(host)
    assert network.user.reaches(network.hosts["b"])
    host.mend()
    assert network.user.reaches(host)


def test_a_killed_host_takes_all_its_processes_along_and_boots_again_with_its_disk(make_network):
    network = make_network("a", "b")
    a, b = network.hosts["a"], network.hosts["b"]
    home, memory = f"{network.home}/mark", "/dev/shm/mark"
    run(a, "bash", "-c", f"setsid nohup sleep 600 > /dev/null 2>&1 & touch {home} {memory}")
    (sleeper,) = a.processes("sleep", "600")
    a.kill()
    assert not sleeper.is_running()
    assert not network.user.reaches(a)
    assert network.user.reaches(b)
    a.boot()
    assert network.user.reaches(a)
    assert run(a, "ls", home, memory).stdout.split() == [home]


def test_a_test_that_fails_leaves_nothing(hosts_module, tmp_path):
    before = outside()
    processes = []
    network = hosts_module.Network(tmp_path, ["a"], ssh_user="ubuntu", furnish=lambda name, home: None)
    with contextlib.suppress(ZeroDivisionError), network:
        processes = [process.pid for host in (network.user, network.hosts["a"]) for process in host.processes()]
        assert outside() == before
        raise ZeroDivisionError
    assert len(processes) >= 2
    assert gone(processes, within_s=0)
    assert outside() == before


def test_a_test_run_that_is_killed_leaves_nothing(hosts_module, tmp_path):
    words = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        process.send_signal(signal.SIGKILL)
    assert len(pids) >= 2
    assert gone(pids, within_s=10)
