"""Trainings in processes of their own, one thread each, a few at a time."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import Any, TypeVar

from sceneshift.errors import InvalidInputError, StudyError

T = TypeVar("T")
R = TypeVar("R")

#: Seconds between a worker's looks at whether its parent is still there.
_WATCH_S = 2.0


def run_in_processes(train: Callable[[T], R], tasks: Sequence[T], *, jobs: int) -> Iterator[tuple[T, R]]:
    """Train; each training is yielded as soon as it is done.

    Args:
        train: Trains one task; a function that can be pickled.
        tasks: What to train, in this order.
        jobs: Trainings at a time; with 1, in this process.

    Raises:
        InvalidInputError: There is no job.
        StudyError: A process was killed.
        SceneshiftError: A training failed.
    """
    if jobs < 1:
        raise InvalidInputError(f"jobs = {jobs}; expected at least 1.")
    if jobs == 1:
        for task in tasks:
            yield task, train(task)
        return
    # One thread each: more are slower for networks this small, and the cores are taken by the other trainings.
    os.environ["OMP_NUM_THREADS"] = "1"
    executor = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_end_with_parent, initargs=(os.getpid(),)
    )
    try:
        waiting = list(reversed(tasks))
        running: dict[Any, T] = {}
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop()
                running[executor.submit(train, task)] = task
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BaseException as error:
        for process in active_children():  # else they would train on, and the exit would wait for them
            process.terminate()
        if not isinstance(error, BrokenProcessPool):
            raise
        raise StudyError(
            "a training's process was killed, perhaps for lack of memory; start the command again, with fewer --jobs "
            "if it recurs. What is done is kept."
        ) from error
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _end_with_parent(parent: int) -> None:
    """Let a worker end when the process that started it is gone: it would waste a core."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
