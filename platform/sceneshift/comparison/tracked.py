"""Passes a comparison's trainings and scores to MLflow."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from sceneshift.comparison.cells import Cell, CellOutcome
from sceneshift.comparison.comparing import Compared
from sceneshift.comparison.listener import ComparisonListener
from sceneshift.comparison.pools import Cost
from sceneshift.comparison.preparing import PreparedComparison
from sceneshift.tracking.comparison_run import ComparisonRun
from sceneshift.tracking.provenance import code_tags

#: Opens the runs of a comparison with its name, tags and parameters.
OpenRun = Callable[[str, Mapping[str, str], Mapping[str, Any]], ComparisonRun]


class TrackedComparison(ComparisonListener):
    """Writes a comparison to MLflow while it runs.

    Args:
        open_run: Opens its runs, once all is checked.
    """

    def __init__(self, open_run: OpenRun) -> None:
        self._open_run = open_run
        #: The runs; None before all was checked.
        self.run: ComparisonRun | None = None

    def begins(self, prepared: PreparedComparison, cost: Cost) -> None:
        """Open the parent run."""
        spec = prepared.spec
        hashes = {key: value for data in prepared.blocks.values() for key, value in data.hashes().items()}
        self.run = self._open_run(spec.name, {**code_tags(), **hashes}, spec.caption())

    def ended(self, cell: Cell, outcome: CellOutcome | None, failure: str | None) -> None:
        """Write a training that has ended; one that failed has no run until it ends."""
        if self.run is None or outcome is None:
            return
        self.run.write_training(
            cell.key,
            f"{cell.pair} {cell.label} c{cell.configuration} {'final' if cell.is_final else 'tuning'} s{cell.seed}",
            tags={
                "method": cell.spec.method,
                "label": cell.label,
                "pair": cell.pair,
                "kind": "final" if cell.is_final else "tuning",
                "sceneshift.comparison.spec": json.dumps(cell.spec.as_dict()),
                **({} if outcome.diverged is None else {"sceneshift.reason": outcome.diverged}),
                **outcome.code,
            },
            params={**asdict(cell.spec.config), "epochs": cell.spec.epochs, "seed": cell.spec.seed},
            epochs=outcome.epochs,
            diverged=outcome.diverged is not None,
        )

    def close(self, compared: Compared | None) -> None:
        """Write trainings that have no run yet, and scores; end the parent run.

        Args:
            compared: How far the comparison has come; None if it failed.
        """
        if self.run is None:
            return
        if compared is not None:
            cells = [cell for pool in compared.pools for cell in pool.cells]
            cells += [network.cell for network in compared.networks if network.cell is not None]
            for cell in cells:
                if not self.run.has(cell.key) and (outcome := compared.store.outcome(cell.key)) is not None:
                    self.ended(cell, outcome, None)
        if compared is not None and compared.results is not None:
            for network, result in zip(compared.networks, compared.results.cells, strict=True):
                if network.cell is not None and not result.failed:
                    figures = {name: getattr(result, name) for name in ("oa", "aa", "kappa")}
                    self.run.write_scores(
                        network.cell.key,
                        {f"target/{result.strategy}/{name}": value for name, value in figures.items()},
                    )
        self.run.close("FAILED" if compared is None else "FINISHED" if compared.results is not None else "KILLED")
