"""The plain training loop: one network per pair, on its source or sources, all of them in step, epoch by epoch.

It runs in any Python process; what happens after an epoch is the caller's ``report``. In the processes of a
torch.distributed group it runs in each, and they train together (:mod:`sceneshift.training.workers`).
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from sceneshift.errors import InvalidInputError, SceneshiftError, StudyError
from sceneshift.splits.source import SourceDomain, by_pair
from sceneshift.training.checkpoint import CheckpointFolder, Keep, weights_hash
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.recording import ScoreEpoch, recording_of, targets_by_pair
from sceneshift.training.target_pixels import TargetPixels
from sceneshift.training.workers import Workers


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """The results of one epoch.

    Args:
        epoch: 1-based.
        metrics: ``val/aa`` (the objective) and ``val/oa``, ``val/kappa``, means over pairs;
            ``val/<pair>/oa|aa|kappa``, of several sources means over them, and ``val/<pair>/<source>/oa|aa|kappa`` then
            (all of them after an epoch that is evaluated, where the split has validation pixels);
            ``train/<pair>/<loss term>``; ``time/epoch_s`` and in it, over all pairs,
            ``time/steps_s`` (training steps and the cutting of their patches), ``time/calibration_s`` and
            ``time/validation_s``, and, where epochs are recorded, ``time/recording_s`` (predicting for the record);
            after it, there too, ``time/writing_s``, and ``time/checkpoint_s`` (hashing and writing), which an epoch
            that is reported again lacks. Where the record is scored for a strategy, ``selection/<name>`` and the
            ``time/scoring_s`` it took. On a GPU, calibration is only queued: the wait for it counts as validation.
            ``time/<pair>/trained_s``: the pair's seconds in all epochs so far, including those before an interruption.
        weights: Hash of each pair's classifier.
    """

    epoch: int
    metrics: dict[str, float]
    weights: dict[str, str]


class TrainingDiverged(SceneshiftError):
    """A loss is no longer a finite number; continuing would waste compute.

    Args:
        epoch: The epoch in which it happened, 1-based.
        terms: The loss terms that are not finite.
    """

    def __init__(self, epoch: int, terms: Sequence[str]) -> None:
        super().__init__(f"training diverged in epoch {epoch}: {', '.join(terms)} not finite")
        self.epoch, self.terms = epoch, tuple(terms)

    def __reduce__(self) -> tuple[type, tuple[int, tuple[str, ...]]]:
        """Pickled by its arguments, so that it crosses a process."""
        return type(self), (self.epoch, self.terms)


def train(
    plan: TrainingPlan,
    sources: Sequence[SourceDomain],
    *,
    report: Callable[[EpochReport], None],
    checkpoints: CheckpointFolder | None = None,
    device: torch.device | str = "cpu",
    keep: Keep | None = None,
    targets: Sequence[TargetPixels] = (),
    score: ScoreEpoch | None = None,
) -> list[PairRun]:
    """Train one network per pair, all pairs through epoch 1, then all through epoch 2, and so on.

    With checkpoints, an interrupted run continues after its last complete epoch as if it had not been interrupted; that
    epoch is reported again. The number of workers may change.

    In a torch.distributed group all workers call this in the same way: together they train the same epochs as one,
    with the same draws, and each reports the same losses and scores. Only the first uses the checkpoints.

    Args:
        plan: What is trained, how long, from which seed.
        sources: The sources of all pairs; of a pair with several, each with its own name within the pair.
        report: Called after every epoch, and with the last complete epoch of a resumed run.
        checkpoints: Where the state is stored after every epoch; None stores nothing.
        device: The device of all tensors.
        keep: Of the metrics of all epochs so far, by epoch, those whose weights are to be kept, such as
            :meth:`sceneshift.selection.strategy.Strategy.keep`; the last two always are.
        targets: Unlabelled target pixels by pair, to be recorded or mapped; only for a plan that is allowed them.
        score: Scores of what an epoch has recorded, reported among its metrics, such as
            :func:`sceneshift.selection.outputs.epoch_scorer`; only for a plan that records.

    Returns:
        The pairs' runs, their classifiers ready for prediction.

    Raises:
        InvalidInputError: There is no source, or one twice, or more workers than patches in a batch; target
            pixels are given to a plan that isn't allowed them; or there is no place for the record.
        StudyError: The checkpoints belong to other pairs or to a longer training.
        TrainingDiverged: A loss became NaN or infinite.
    """
    keys = [source.key for source in sources]
    if not keys or len(set(keys)) != len(keys):
        raise InvalidInputError(f"sources of pairs {keys}; expected at least one, each once.")
    of_pairs = by_pair(sources)
    names = list(of_pairs)
    device = torch.device(device)
    workers = Workers.of_this_process()
    target_of = targets_by_pair(plan, targets, names)
    runs = [PairRun(plan, of_pair, device, workers, target_of.get(name)) for name, of_pair in of_pairs.items()]
    recorders = [run.recorder for run in runs if run.recorder]
    mappers = [run.mapper for run in runs if run.mapper]
    recording = recording_of(plan, checkpoints, recorders, mappers, workers)
    done, history = 0, dict[int, dict[str, float]]()
    trained_s = dict.fromkeys((_trained_s(name) for name in names), 0.0)
    if checkpoints is not None and (latest := workers.from_first(checkpoints.load_latest)) is not None:
        done, state = latest
        if done > plan.epochs or set(state["pairs"]) != set(names):
            raise StudyError(
                f"the checkpoint at {checkpoints.location} is of epoch {done} of pairs {sorted(state['pairs'])}; this "
                f"training has {plan.epochs} epochs of {names}. Give it another location."
            )
        for run in runs:
            run.load_state_dict(state["pairs"][run.pair_name])
        # A checkpoint of an earlier version lacks the seconds per pair, and the epochs before.
        history = state.get("history", {done: state["report"]["metrics"]})
        trained_s |= {key: state["report"]["metrics"].get(key, 0.0) for key in trained_s}
        # Reported again: the run may have been interrupted between writing this checkpoint and reporting.
        report(EpochReport(epoch=done, **state["report"]))
    if recording is not None:
        recording.begin(done)
    for epoch in range(done + 1, plan.epochs + 1):
        started = time.perf_counter()
        outcome = run_epoch(runs, epoch)
        broken = [name for name, value in outcome.items() if not math.isfinite(value)]
        if broken:
            raise TrainingDiverged(epoch, broken)
        trained = time.perf_counter()
        outcome["time/epoch_s"] = trained - started
        for key in trained_s:
            trained_s[key] += outcome[key]
        outcome |= trained_s
        if recording is not None and plan.evaluates(epoch):
            if score is not None and recorders:
                outcome |= recording.scores(score)
                outcome["time/scoring_s"] = time.perf_counter() - trained
            scored = time.perf_counter()
            # Before the checkpoint: of a training that is cut in between, the epoch is trained and written again.
            recording.write(epoch)
            outcome["time/writing_s"] = time.perf_counter() - scored
        history[epoch] = dict(outcome)
        weights = {run.pair_name: weights_hash(run.classifier) for run in runs}
        if checkpoints is not None:
            pairs = {run.pair_name: run.state_dict() for run in runs}
            state = {"pairs": pairs, "report": {"metrics": outcome, "weights": weights}, "history": history}
            # All workers wait for it: an epoch is only reported once it is stored.
            kept = () if keep is None else keep(history)
            workers.from_first(partial(checkpoints.save, epoch, state, keep=kept))
        outcome["time/checkpoint_s"] = time.perf_counter() - trained
        report(EpochReport(epoch=epoch, metrics=outcome, weights=weights))
    if recording is not None:
        recording.end()
    for run in runs:
        run.classifier.eval()
    return runs


def _trained_s(pair_name: str) -> str:
    return f"time/{pair_name}/trained_s"


def run_epoch(runs: Sequence[PairRun], epoch: int) -> dict[str, float]:
    """Train every pair for one epoch, evaluate it, average the scores over pairs, and sum where the seconds went.

    ``time/<pair>/trained_s`` is of this epoch alone.

    Args:
        runs: The pairs' runs.
        epoch: 1-based.
    """
    metrics: dict[str, float] = {}
    scores: list[dict[str, float]] = []
    seconds = dict.fromkeys(("time/steps_s", "time/calibration_s", "time/validation_s"), 0.0)
    for run in runs:
        pair = run.pair_name
        ticks = [time.perf_counter()]
        losses = run.train_epoch(epoch)
        metrics |= {f"train/{pair}/{name}": value for name, value in losses.items()}
        ticks.append(time.perf_counter())
        if run.plan.evaluates(epoch):
            run.prepare_evaluation()
        ticks.append(time.perf_counter())
        aa = None
        if run.plan.evaluates(epoch) and run.validates:
            scored = {key: found.as_dict() for key, found in run.validate().items()}
            scores.append(_means(list(scored.values())))
            aa = scores[-1]["aa"]
            metrics |= {
                f"val/{key}/{name}": value
                for key, found in {**scored, pair: scores[-1]}.items()
                for name, value in found.items()
            }
        ticks.append(time.perf_counter())
        if run.records and run.plan.evaluates(epoch):
            run.record(epoch, aa)
            metrics["time/recording_s"] = metrics.get("time/recording_s", 0.0) + time.perf_counter() - ticks[-1]
        metrics[_trained_s(pair)] = time.perf_counter() - ticks[0]
        for part, (begun, ended) in zip(seconds, itertools.pairwise(ticks), strict=True):
            seconds[part] += ended - begun
    means = {f"val/{name}": value for name, value in _means(scores).items()}
    return means | metrics | seconds


def _means(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([found[name] for found in scores])) for name in (scores[0] if scores else ())}
