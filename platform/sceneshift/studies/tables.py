"""The study's tables: what every strategy chose, what that reached, and what it cost against the oracle."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sceneshift.errors import StudyError
from sceneshift.selection.accuracy_estimate import LEVEL
from sceneshift.selection.registry import STRATEGIES
from sceneshift.selection.regret import (
    Pool,
    chosen_accuracy,
    configuration_correlation,
    epoch_correlation,
    last_epoch_regret,
    oracle_accuracy,
    random_regret,
    regret,
    worst_regret,
)
from sceneshift.selection.resampling import NUM_POOLS, Interval, bootstrap, resampled_regrets
from sceneshift.selection.strategy import SourceBlocks
from sceneshift.selection.views import Reads
from sceneshift.studies.choices import Candidates, with_other_pairs
from sceneshift.studies.published_rows import TARGET_FIGURES
from sceneshift.studies.reported import REGIMES, Reported, calibration_for, report_for

#: Draws of a bootstrap; the interval's ends move by tenths of a point with a thousand.
NUM_DRAWS = 300

#: What every strategy is compared with: a random choice and a random configuration's last epoch, on average; the worst.
BASELINES: Mapping[str, Callable[[Pool], float]] = {
    "random choice": random_regret,
    "random configuration, last epoch": last_epoch_regret,
    "worst of the pool": worst_regret,
}

#: What a reported strategy is compared with.
REFERENCE = SourceBlocks.name


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyTables:
    """The tables.

    Args:
        choices: A row per pair, method, strategy and seed: what was chosen, what it reaches, and after refits.
        batches: A row per pair, method and strategy: regrets and correlations, and of baselines the regret alone.
        strategies: A row per strategy: means over batches, with intervals.
        reported: A row per pair and regime: the strategy that was best on the other groups.
        summary: A row per regime: how the reported strategies do.
        estimates: A row per pair, method, strategy and seed: accuracy as estimated, with its interval, and as it is.
    """

    choices: pd.DataFrame
    batches: pd.DataFrame
    strategies: pd.DataFrame
    reported: pd.DataFrame
    summary: pd.DataFrame
    estimates: pd.DataFrame


def make_tables(
    shown: Sequence[Candidates], judged: Sequence[Candidates], refits: Mapping[tuple[str, str], pd.DataFrame]
) -> StudyTables:
    """Make the tables.

    Args:
        shown: The batches that figures are of.
        judged: The batches on which strategies are judged to be reported; for confirmation pairs those of the study.
        refits: Rows of refits by pair and method.

    Raises:
        StudyError: There is no batch.
    """
    scores = _checked_scores(shown, judged)
    reported = {
        (group, reads): report_for(group, reads, judged)
        for group in dict.fromkeys(batch.group for batch in shown)
        for reads in REGIMES
    }
    choices = pd.DataFrame(_choices(shown, scores, refits))
    batches = pd.DataFrame(_batches(shown, scores))
    return StudyTables(
        choices=choices,
        batches=batches,
        strategies=pd.DataFrame(_strategies(shown, scores, batches)),
        reported=pd.DataFrame(_reported(shown, scores, reported)),
        summary=pd.DataFrame(_summary(shown, scores, reported)),
        estimates=pd.DataFrame(_estimates(shown, judged, scores, reported)),
    )


def make_choices(shown: Sequence[Candidates], judged: Sequence[Candidates]) -> pd.DataFrame:
    """The table of choices alone, without refits.

    Args:
        shown: As for :func:`make_tables`.
        judged: As for :func:`make_tables`.

    Raises:
        StudyError: There is no batch.
    """
    return pd.DataFrame(_choices(shown, _checked_scores(shown, judged), {}))


def _checked_scores(shown: Sequence[Candidates], judged: Sequence[Candidates]) -> "_Scores":
    if not shown:
        raise StudyError("no batch is published; run `selection_study.py pool` or `publish` first.")
    return {batch_key(batch): with_other_pairs(batch, judged) for batch in shown}


def batch_key(batch: Candidates) -> tuple[str, str]:
    """Pair and method."""
    return batch.pair, batch.method


#: Scores (C, R, E) by batch and strategy.
_Scores = Mapping[tuple[str, str], Mapping[str, NDArray[np.float64]]]


def _choices(
    shown: Sequence[Candidates], scores: _Scores, refits: Mapping[tuple[str, str], pd.DataFrame]
) -> list[dict[str, Any]]:
    rows = []
    for batch in shown:
        by_strategy = {**scores[batch_key(batch)], "oracle": batch.target["target_oa"]}
        for name, values in by_strategy.items():
            for seed in range(values.shape[1]):
                if (choice := batch.choice(values, seed)) is None:
                    continue
                chosen = batch.row(choice[0], seed, choice[1])
                refit = _refit(refits.get(batch_key(batch)), chosen)
                rows.append(
                    {
                        "pair": batch.pair,
                        "method": batch.method,
                        "strategy": name,
                        "reads": str(STRATEGIES[name].reads),
                        "seed": seed,
                        **{key: chosen[key] for key in ("configuration", "epoch", "is_average", *TARGET_FIGURES)},
                        **refit,
                    }
                )
    return rows


def _refit(rows: pd.DataFrame | None, chosen: Mapping[str, Any]) -> dict[str, float]:
    """Means over the seeds of the refits of a choice; NaN where there are none."""
    found = {f"refit_{name}": math.nan for name in TARGET_FIGURES} | {"num_refits": 0.0}
    if rows is None:
        return found
    same = rows[(rows["configuration"] == chosen["configuration"]) & (rows["epoch"] == chosen["epoch"])]
    if same.empty:
        return found
    return {f"refit_{name}": float(same[name].mean()) for name in TARGET_FIGURES} | {"num_refits": float(len(same))}


def _batches(shown: Sequence[Candidates], scores: _Scores) -> list[dict[str, Any]]:
    rows = []
    for batch in shown:
        for name, values in scores[batch_key(batch)].items():
            oa, aa = batch.pool(values), batch.pool(values, "target_aa")
            if oa is None or aa is None:
                continue
            resampled = resampled_regrets(oa)
            rows.append(
                {
                    **_names(batch, name),
                    "oa": float(chosen_accuracy(oa).mean()),
                    "oracle_oa": float(oracle_accuracy(oa).mean()),
                    "regret_oa": regret(oa),
                    "regret_aa": regret(aa),
                    "spearman_configurations": configuration_correlation(oa),
                    "spearman_epochs": epoch_correlation(oa),
                    "worst_resampled_regret": float(resampled.max()),
                }
            )
        # Any scores do: a baseline is of the candidates, not of a strategy.
        pools = {figure: batch.pool(batch.target[figure], figure) for figure in ("target_oa", "target_aa")}
        for name, figure_of in BASELINES.items():
            found = {figure: math.nan if pool is None else figure_of(pool) for figure, pool in pools.items()}
            rows.append({**_names(batch, name), "regret_oa": found["target_oa"], "regret_aa": found["target_aa"]})
    return rows


def _names(batch: Candidates, strategy: str) -> dict[str, Any]:
    reads = str(STRATEGIES[strategy].reads) if strategy in STRATEGIES else ""
    return {"pair": batch.pair, "method": batch.method, "group": batch.group, "strategy": strategy, "reads": reads}


def _strategies(shown: Sequence[Candidates], scores: _Scores, batches: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for name in (*STRATEGIES, *BASELINES):
        own = batches[batches["strategy"] == name]
        if own.empty:
            continue
        row = {
            "strategy": name,
            "reads": own["reads"].iloc[0],
            "num_batches": len(own),
            **{figure: float(own[figure].mean()) for figure in ("regret_oa", "regret_aa")},
            "worst_regret_oa": float(own["regret_oa"].max()),
        }
        if name in STRATEGIES:
            pools, references = _pools_beside_reference(shown, scores, {batch_key(b): name for b in shown})
            row |= _interval("regret_oa", bootstrap(pools, regret, num_draws=NUM_DRAWS))
            if references is not None and name != REFERENCE:
                difference = bootstrap(pools, regret, baseline=references, num_draws=NUM_DRAWS)
                row |= {"minus_source_blocks": difference.value, **_interval("minus_source_blocks", difference)}
            over = bootstrap(pools, configuration_correlation, num_draws=NUM_DRAWS)
            row |= {"spearman_configurations": over.value, **_interval("spearman_configurations", over)}
            row["spearman_epochs"] = _mean(own["spearman_epochs"])
            row["worst_resampled_regret"] = float(own["worst_resampled_regret"].max())
        rows.append(row)
    return rows


def _interval(name: str, interval: Interval) -> dict[str, float]:
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}


def _mean(values: "pd.Series[float]") -> float:
    known = values.to_numpy(dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else math.nan


def _pools_beside_reference(
    shown: Sequence[Candidates], scores: _Scores, strategy_of: Mapping[tuple[str, str], str | None]
) -> tuple[list[Pool], list[Pool] | None]:
    """The pools of strategies, and those of source-blocks on the same batches; None if one of them lacks it."""
    pools: list[Pool] = []
    references: list[Pool | None] = []
    for batch in shown:
        own = scores[batch_key(batch)]
        name = strategy_of[batch_key(batch)]
        if name is None or name not in own or (pool := batch.pool(own[name])) is None:
            continue
        pools.append(pool)
        references.append(batch.pool(own[REFERENCE]) if REFERENCE in own else None)
    known = [reference for reference in references if reference is not None]
    return pools, known if len(known) == len(pools) else None


def _reported(
    shown: Sequence[Candidates], scores: _Scores, reported: Mapping[tuple[str, Reads], Reported]
) -> list[dict[str, Any]]:
    rows = []
    for batch in shown:
        for reads in REGIMES:
            found = reported[batch.group, reads]
            own = scores[batch_key(batch)]
            values = None if found.strategy is None else own.get(found.strategy)
            pool = None if values is None else batch.pool(values)
            reference = batch.pool(own[REFERENCE]) if REFERENCE in own else None
            rows.append(
                {
                    "pair": batch.pair,
                    "method": batch.method,
                    "group": batch.group,
                    "reads": str(reads),
                    "strategy": found.strategy or "none: no other group has rows",
                    "regret_on_others": math.nan if found.strategy is None else found.regrets[found.strategy],
                    "regret_oa": math.nan if pool is None else regret(pool),
                    "source_blocks_regret_oa": math.nan if reference is None else regret(reference),
                }
            )
    return rows


def _summary(
    shown: Sequence[Candidates], scores: _Scores, reported: Mapping[tuple[str, Reads], Reported]
) -> list[dict[str, Any]]:
    rows = []
    for reads in REGIMES:
        strategy_of = {batch_key(batch): reported[batch.group, reads].strategy for batch in shown}
        pools, references = _pools_beside_reference(shown, scores, strategy_of)
        if not pools:
            continue
        mean, over = (bootstrap(pools, f, num_draws=NUM_DRAWS) for f in (regret, configuration_correlation))
        row = {
            "reads": str(reads),
            "num_batches": len(pools),
            "regret_oa": mean.value,
            **_interval("regret_oa", mean),
            "worst_regret_oa": max(regret(pool) for pool in pools),
            "worst_resampled_regret": max(float(resampled_regrets(pool).max()) for pool in pools),
            "num_resampled_pools": NUM_POOLS,
            "spearman_configurations": over.value,
            **_interval("spearman_configurations", over),
        }
        if references is not None:
            difference = bootstrap(pools, regret, baseline=references, num_draws=NUM_DRAWS)
            row["source_blocks_regret_oa"] = float(np.mean([regret(pool) for pool in references]))
            row |= {"minus_source_blocks": difference.value, **_interval("minus_source_blocks", difference)}
        rows.append(row)
    return rows


def _estimates(
    shown: Sequence[Candidates],
    judged: Sequence[Candidates],
    scores: _Scores,
    reported: Mapping[tuple[str, Reads], Reported],
) -> list[dict[str, Any]]:
    rows = []
    calibrations = {}
    for batch in shown:
        names = dict.fromkeys((REFERENCE, *(reported[batch.group, reads].strategy for reads in REGIMES)))
        for name in names:
            if name is None or name not in scores[batch_key(batch)]:
                continue
            if (batch.group, name) not in calibrations:
                calibrations[batch.group, name] = calibration_for(batch.group, name, judged)
            values = scores[batch_key(batch)][name]
            for seed in range(values.shape[1]):
                if (choice := batch.choice(values, seed)) is None:
                    continue
                row = batch.row(choice[0], seed, choice[1])
                if not math.isfinite(row["estimate"]):
                    continue
                calibration = calibrations[batch.group, name]
                value, low, high = calibration.interval(
                    row["estimate"], sampling_deviation=row["estimate_deviation"], level=LEVEL
                )
                rows.append(
                    {
                        "pair": batch.pair,
                        "method": batch.method,
                        "strategy": name,
                        "seed": seed,
                        "target_oa": row["target_oa"],
                        "uncorrected": row["estimate"],
                        "estimate": value,
                        "low": low,
                        "high": high,
                        "num_groups": calibration.num_groups,
                        "is_within": low <= row["target_oa"] <= high,
                    }
                )
    return rows
