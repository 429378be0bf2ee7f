"""Choosing a configuration and an epoch for every table row, without a target label."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sceneshift.comparison.cells import Cell, CellStore
from sceneshift.comparison.spec import Budget
from sceneshift.selection.outputs import pooled_trial
from sceneshift.selection.registry import find_strategy


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The trainings that are chosen from together: of one method on one pair, under one budget, in one repeat.

    Args:
        pair: The pair.
        label: The method's label.
        budget: The budget.
        repeat: The repeat.
        cells: The trainings, in the order of their configurations.
    """

    pair: str
    label: str
    budget: Budget
    repeat: int
    cells: tuple[Cell, ...]

    @property
    def place(self) -> tuple[str, str, str, int]:
        """What distinguishes it from other pools."""
        return self.pair, self.label, str(self.budget), self.repeat


@dataclass(frozen=True, kw_only=True)
class ChosenCell:
    """What a strategy chose from a pool.

    Args:
        strategy: The strategy.
        cell: The training that was chosen; None if none ran to its end with a finite score.
        epoch: The epoch; 0 where nothing was chosen.
        is_average: Whether the running average of weights was chosen.
        score: The strategy's score; NaN where nothing was chosen.
    """

    strategy: str
    cell: Cell | None
    epoch: int
    is_average: bool
    score: float


def choose(pool: Pool, strategy_name: str, store: CellStore) -> ChosenCell:
    """Let a strategy choose from a pool. Trainings that failed or diverged are not chosen.

    Args:
        pool: The trainings.
        strategy_name: The strategy.
        store: What they have left.

    Raises:
        StudyError: A record is missing or damaged.
    """
    strategy = find_strategy(strategy_name)
    trials = []
    for number, cell in enumerate(pool.cells):
        outcome = store.outcome(cell.key)
        if outcome is None or outcome.diverged is not None:
            continue
        trials.append(
            pooled_trial(
                strategy,
                number=number,
                configuration=json.dumps(asdict(cell.spec.config), sort_keys=True),
                is_complete=True,
                epochs=outcome.epochs,
                location=store.location(cell.key),
            )
        )
    choice = strategy.choose(trials) if trials else None
    if choice is None:
        return ChosenCell(strategy=strategy_name, cell=None, epoch=0, is_average=False, score=float("nan"))
    return ChosenCell(
        strategy=strategy_name,
        cell=pool.cells[choice.trial],
        epoch=choice.epoch,
        is_average=choice.is_average,
        score=choice.score,
    )


def choices_as_rows(choices: Sequence[tuple[Pool, ChosenCell]]) -> list[dict[str, Any]]:
    """All choices as plain values, to be kept beside the results."""
    return [
        {
            "pair": pool.pair,
            "label": pool.label,
            "budget": str(pool.budget),
            "repeat": pool.repeat,
            "strategy": chosen.strategy,
            "configuration": None if chosen.cell is None else chosen.cell.configuration,
            "epoch": chosen.epoch,
            "averaged weights": chosen.is_average,
            "score": None if chosen.cell is None else chosen.score,
            "training": None if chosen.cell is None else chosen.cell.key,
        }
        for pool, chosen in choices
    ]
