"""Two slow things at the same time, reported in order."""

import threading

import pytest

from sceneshift.engine.beside import beside
from sceneshift.errors import ResourceError, StudyError


def test_the_block_begins_while_the_work_is_done():
    met = threading.Barrier(2, timeout=20)
    done = []

    def work():
        met.wait()
        done.append("work")

    with beside(work) as ended:
        met.wait()  # breaks unless both are at it
        ended()
        assert done == ["work"]


def test_an_error_of_the_work_is_raised_where_it_is_waited_for():
    def work():
        raise StudyError("known already")

    with beside(work) as ended, pytest.raises(StudyError, match="known already"):
        ended()


def test_of_two_errors_the_work_s_comes_first():
    def work():
        raise StudyError("known already")

    with pytest.raises(StudyError) as found, beside(work):
        raise ResourceError("no Ray")
    assert isinstance(found.value.__cause__, ResourceError)


def test_an_error_of_the_block_alone_is_its_own():
    with pytest.raises(ResourceError), beside(lambda: None):
        raise ResourceError("no Ray")
