"""Ctrl-C, as the signal it is, in processes of their own where it ends them."""

import signal
import subprocess
import sys

import pytest

from sceneshift.commands.console import how_to_resume
from sceneshift.commands.interrupts import Interrupts

#: Interrupts itself; what it was interrupted in never ends by itself.
TWICE = """
import os, signal, time
from sceneshift.commands.interrupts import Interrupts
with Interrupts(lambda: " To resume:\\n  the command"):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("ending cleanly", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
    print("never", flush=True)
"""


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_once_raises_and_twice_ends_the_process_at_once_with_how_to_continue():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 130
    assert done.stdout == "ending cleanly\n"
    assert "Stopping" in done.stderr
    assert done.stderr.endswith(" To resume:\n  the command\n")


def test_for_a_while_the_first_is_taken_by_someone_else(capfd):
    taken = []
    with Interrupts(lambda: "") as interrupts:
        with interrupts.diverted(lambda: taken.append(1) or True):
            interrupt()
        assert taken == [1]


def test_after_the_diversion_it_raises_again(capfd):
    with Interrupts(lambda: "") as interrupts:
        with interrupts.diverted(lambda: True):
            pass
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_what_was_there_before_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with Interrupts(lambda: ""):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_how_to_resume_is_empty_where_nothing_had_begun():
    assert how_to_resume("") == ""
    assert how_to_resume("x --resume") == " To resume:\n  x --resume"
