"""The trainings of a comparison as pools to choose from, and what all are expected to take."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sceneshift.comparison.cells import Cell, CellStore
from sceneshift.comparison.choosing import Pool
from sceneshift.comparison.preparing import PreparedComparison
from sceneshift.comparison.timing import Timings


def make_pools(prepared: PreparedComparison, timings: Timings) -> tuple[Pool, ...]:
    """The pools of a comparison: pair by pair, method by method, budget by budget, repeat by repeat.

    Args:
        prepared: The comparison.
        timings: Timed steps, by which budgets in seconds become epochs.
    """
    return tuple(_pools(prepared, timings))


def _pools(prepared: PreparedComparison, timings: Timings) -> Iterator[Pool]:
    spec = prepared.spec
    for pair in spec.pairs:
        for entry in (entry for entry in spec.methods if entry.is_on(pair)):
            for budget in spec.budgets:
                for repeat in spec.repeats:
                    cells = tuple(
                        prepared.tuning_cell(
                            pair=pair,
                            label=entry.label,
                            budget=budget,
                            repeat=repeat,
                            configuration=number,
                            epochs=timings.epochs(pair, entry.label, budget, config),
                        )
                        for number, config in enumerate(prepared.configurations[pair, entry.label, repeat])
                    )
                    yield Pool(pair=pair, label=entry.label, budget=budget, repeat=repeat, cells=cells)


def distinct(cells: Iterable[Cell]) -> list[Cell]:
    """The trainings with each key once, in order."""
    return list({cell.key: cell for cell in reversed(list(cells))}.values())[::-1]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a comparison is expected to take.

    Args:
        tuning: Trainings to choose from.
        tuning_left: Those of them that have not ended.
        tuning_hours: Hours of those that are left, with so many at a time.
        final: Final trainings, at most: there are fewer where strategies choose the same configuration.
        final_hours: Hours of all final trainings, at most, likewise.
        at_once: Trainings at a time.
    """

    tuning: int
    tuning_left: int
    tuning_hours: float
    final: int
    final_hours: float
    at_once: int


def expected_seconds(pools: Sequence[Pool], timings: Timings) -> dict[str, float]:
    """Seconds that each training is expected to take, by key."""
    return {
        cell.key: timings.training_seconds(pool.pair, pool.label, pool.budget, pool.repeat, cell.configuration)
        for pool in pools
        for cell in pool.cells
    }


def expected_cost(
    prepared: PreparedComparison,
    pools: Sequence[Pool],
    seconds: Mapping[str, float],
    store: CellStore,
    *,
    at_once: int,
) -> Cost:
    """What a comparison is expected to take; a final training counts as the mean of its pool.

    Args:
        prepared: The comparison.
        pools: Its pools.
        seconds: Expected seconds by training.
        store: What has ended already.
        at_once: Trainings at a time.
    """
    spec = prepared.spec
    cells = distinct(cell for pool in pools for cell in pool.cells)
    left = [cell for cell in cells if store.outcome(cell.key) is None]
    final, final_s = 0, 0.0
    if spec.final_networks == "fields":
        for pool in pools:
            num = len(spec.seeds_of(pool.repeat)) * min(len(spec.strategies), len(pool.cells))
            final += num
            final_s += num * sum(seconds[cell.key] for cell in pool.cells) / len(pool.cells)
    return Cost(
        tuning=len(cells),
        tuning_left=len(left),
        tuning_hours=sum(seconds[cell.key] for cell in left) / 3600 / at_once,
        final=final,
        final_hours=final_s / 3600 / at_once,
        at_once=at_once,
    )
