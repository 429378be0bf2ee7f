"""The order in which trainings are timed, so that a few of them say something of all."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_turn(
    trainings: Sequence[T],
    num: int,
    *,
    batch: Callable[[T], Hashable],
    method: Callable[[T], str],
    configuration: Callable[[T], int],
) -> list[T]:
    """Some trainings, one batch after the other in turn and of a different configuration each.

    Args:
        trainings: All of them.
        num: How many, at most.
        batch: The batch of a training, such as its pair and method.
        method: The method of a training.
        configuration: The number of its configuration.
    """
    by_batch: dict[Hashable, list[T]] = {}
    for training in trainings:
        by_batch.setdefault(batch(training), []).append(training)
    chosen: list[T] = []
    while len(chosen) < num and any(by_batch.values()):
        for waiting in by_batch.values():
            if waiting and len(chosen) < num:
                taken = {configuration(each) for each in chosen if method(each) == method(waiting[0])}
                new = next((n for n, each in enumerate(waiting) if configuration(each) not in taken), 0)
                chosen.append(waiting.pop(new))
    return chosen
