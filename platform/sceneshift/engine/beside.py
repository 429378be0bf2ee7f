"""Doing two slow things at the same time that are reported one after the other."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


@contextlib.contextmanager
def beside(work: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Run something in a thread while the block begins.

    Args:
        work: What is run.

    Yields:
        Waits until it is done, and raises its error. An error of the block is replaced by one of the work, which would
        have come first.
    """
    tempfile.gettempdir()  # found once per process, and not while the block has changed the environment
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(work)
        try:
            yield begun.result
        except Exception as error:
            if (first := begun.exception()) is not None and first is not error:
                raise first from error
            raise
