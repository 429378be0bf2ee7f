"""What the comparison script prints while it works, and its last lines."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sceneshift.commands.console import SECONDS_BETWEEN_LINES
from sceneshift.commands.durations import duration_text
from sceneshift.comparison.cells import Cell, CellOutcome
from sceneshift.comparison.listener import ComparisonListener
from sceneshift.comparison.pools import Cost
from sceneshift.comparison.preparing import PreparedComparison
from sceneshift.comparison.results import ComparisonResults
from sceneshift.comparison.score_grid import DECISIVE, FIGURES


class CompareScreen(ComparisonListener):
    """Prints the cost, a line per training with the time that is left, and what failed."""

    def __init__(self) -> None:
        self._cost: Cost | None = None
        self._left: dict[str, float] = {}
        self._expected_s, self._taken_s = 0.0, 0.0
        self._num, self._num_done, self._at_once = 0, 0, 1
        self._best: dict[tuple[str, str], float] = {}
        self._shown_at = -SECONDS_BETWEEN_LINES

    def begins(self, prepared: PreparedComparison, cost: Cost) -> None:
        """Say what is compared, and what that is expected to take."""
        self._cost = cost
        spec, num_groups = prepared.spec, len(set(prepared.groups.values()))
        groups = f"{num_groups} independent {'group' if num_groups == 1 else 'groups'} of scenes"
        print(
            f"{spec.name}: {', '.join(entry.label for entry in spec.methods)}\n"
            f"on {', '.join(spec.pairs)}, in {groups};\n"
            f"{spec.protocol}, {spec.num_configurations} configurations, chosen by {', '.join(spec.strategies)}, "
            f"{_seeds(spec.seeds)}; {' and '.join(map(str, spec.budgets))}.\n"
            "Target labels are joined once, after the last choice.\n" + self.render_cost(),
            flush=True,
        )

    def render_cost(self) -> str:
        """What is expected to be left, by timed steps, or by what trainings of this run took."""
        if self._cost is None:
            return ""
        cost, ratio = self._cost, self._ratio()
        by = "timed steps" if self._taken_s == 0 else "the trainings of this run"
        tuning_s = 3600 * cost.tuning_hours - self._expected_s / cost.at_once
        return (
            f"{cost.tuning} trainings to choose from, {cost.tuning_left - self._num_done} left: about "
            f"{duration_text(max(0.0, tuning_s) * ratio)} with {cost.at_once} at a time, by {by}. Then at most "
            f"{cost.final} final networks: at most about {duration_text(3600 * cost.final_hours * ratio)}."
        )

    def progress(self, what: str, done: int, total: int) -> None:
        """Print a line every few seconds."""
        now = time.monotonic()
        if now - self._shown_at >= SECONDS_BETWEEN_LINES:
            self._shown_at = now
            print(f"{what} {done}/{total}", flush=True)

    def batch_begins(self, cells: Sequence[Cell], seconds: Mapping[str, float], *, at_once: int) -> None:
        """Begin to count."""
        self._left = {cell.key: seconds[cell.key] for cell in cells}
        self._num, self._num_done, self._at_once = len(cells), 0, at_once

    def ended(self, cell: Cell, outcome: CellOutcome | None, failure: str | None) -> None:
        """Print a training, the best validation so far, and the time that is left."""
        expected = self._left.pop(cell.key, 0.0)
        self._num_done += 1
        words = []
        if outcome is None:
            words.append(f"FAILED: {failure}")
        else:
            self._expected_s += expected
            self._taken_s += outcome.wall_seconds
            if outcome.diverged is not None:
                words.append(f"DIVERGED: {outcome.diverged}")
            elif outcome.epochs and (aa := outcome.epochs[max(outcome.epochs)].get("val/aa")) is not None:
                place = cell.pair, cell.label
                self._best[place] = max(aa, self._best.get(place, 0.0))
                words.append(f"validation AA {100 * aa:.1f}, best so far {100 * self._best[place]:.1f}")
            words.append(f"{outcome.wall_seconds:.0f} s")
        left = sum(self._left.values()) / self._at_once * self._ratio()
        print(
            f"{self._num_done}/{self._num} {cell.name}: {', '.join(words)}; about {duration_text(left)} left",
            flush=True,
        )

    def _ratio(self) -> float:
        """Seconds that trainings took, by those that were expected."""
        return self._taken_s / self._expected_s if self._expected_s > 0 else 1.0


def render_results(results: ComparisonResults) -> str:
    """Short tables: mean AA, then OA, per method and pair over seeds, for each budget and strategy.

    Args:
        results: The comparison.
    """
    frame = results.as_frame()
    lines = []
    for (budget, strategy), rows in frame.groupby(["budget", "strategy"], sort=False):
        for figure in (DECISIVE, "oa"):
            lines.append(f"\n{FIGURES[figure]} on the target, %, mean over networks; {budget}, chosen by {strategy}")
            table = rows.pivot_table(index="label", columns="pair", values=figure, aggfunc="mean", sort=False)
            lines.append((100 * table).to_string(float_format=lambda value: f"{value:.1f}", na_rep="-"))
        if (rows["trained_on"] == "blocks").any():
            lines.append("Some networks are the chosen ones themselves, trained on the training blocks alone.")
    for cell in results.cells:
        if cell.failed:
            lines.append(
                f"NO SCORES: {cell.label} on {cell.pair}, seed {cell.seed}, chosen by {cell.strategy}: {cell.failed}"
            )
    joins = ", ".join(f"{strategy} {count}" for strategy, count in results.joins.items())
    lines.append(f"Target labels were joined so often, by strategy: {joins}.")
    if note := results.caption.get("note"):
        lines.append(note)
    return "\n".join(lines)


def render_written(paths: Sequence[Path], folder: Path) -> str:
    """How many files were written, and which of them to open.

    Args:
        paths: The files; the page is the last.
        folder: The folder that all of them are in.
    """
    return f"wrote {len(paths)} files to {folder}; the page is {paths[-1]}"


def _seeds(seeds: Sequence[int]) -> str:
    *others, last = map(str, seeds)
    return f"seeds {', '.join(others)} and {last}" if others else f"seed {last}"
