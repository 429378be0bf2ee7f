"""The plain training loop: one network per source scene, all of them in step, epoch by epoch.

It runs in any Python process; what happens after an epoch is the caller's ``report``. In the processes of a
torch.distributed group it runs in each, and they train together (:mod:`sceneshift.training.workers`).

Shape letters: B batch, C bands, P patch size, K classes, N pixels.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from sceneshift.errors import InvalidInputError, SceneshiftError, StudyError
from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.methods.method import Method
from sceneshift.methods.registry import find_method
from sceneshift.networks.shared_batch import shared_batch
from sceneshift.scenes.normalization import Normalization
from sceneshift.scores import Scores
from sceneshift.seeding import derive_seed
from sceneshift.splits.source import SourceDomain
from sceneshift.training.batches import SourceBatches
from sceneshift.training.checkpoint import CheckpointFolder, Keep, weights_hash
from sceneshift.training.cuda_graph_step import RecordedStep, records_steps
from sceneshift.training.evaluation import predict_pixels
from sceneshift.training.flat_average import FlatAverage
from sceneshift.training.outputs import OutputTaker
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.precision import check_precision, computing_in
from sceneshift.training.recording import PairRecorder, ScoreEpoch, recording_of, targets_by_pair
from sceneshift.training.target_pixels import TargetPixels
from sceneshift.training.workers import Workers


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """The results of one epoch.

    Args:
        epoch: 1-based.
        metrics: ``val/aa`` (the objective) and ``val/oa``, ``val/kappa``, means over pairs;
            ``val/<pair>/oa|aa|kappa`` (all of them after an epoch that is evaluated, where the split has validation
            pixels); ``train/<pair>/<loss term>``; ``time/epoch_s`` and in it, over all pairs,
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


class PairRun:
    """The training of one network on one source scene, normalized as the configuration says.

    ``normalization`` is the one fitted on the source; it is also applied to targets.

    Args:
        plan: What is trained.
        source: The scene and its split.
        device: Where everything lives.
        workers: Those that train together; by default this process alone.
        target: Unlabelled pixels of the target, for a plan that is recorded and allowed them.

    Raises:
        InvalidInputError: The patch is larger than the split was made for, the device lacks the plan's precision, a
            batch has fewer patches than there are workers, or there are several and the method can't share a batch.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        source: SourceDomain,
        device: torch.device,
        workers: Workers | None = None,
        target: TargetPixels | None = None,
    ) -> None:
        config = plan.config
        check_precision(plan.precision, on_gpu=device.type == "cuda")
        if config.patch_size > source.split.patch_size:
            raise InvalidInputError(
                f"patch_size = {config.patch_size} with a split of {source.pair_name!r} made for patches up to "
                f"{source.split.patch_size}: training patches would hold validation pixels. Make the split for the "
                "largest patch."
            )
        seed = derive_seed(plan.seed, source.pair_name)
        self.plan = plan
        self.source = source
        self.config = config
        self._workers = workers or Workers()
        plan.check_workers(self._workers.num)
        self.normalization = Normalization.fit(config.normalization, source.scene.cube)
        self._draws = torch.Generator(device).manual_seed(derive_seed(seed, "batches"))
        method = find_method(plan.method)
        self._batches = SourceBatches(
            source,
            self.normalization.apply(source.scene.cube),
            config=config,
            at_once=method.fitted_at_once,
            draws=self._draws,
            device=device,
            workers=self._workers,
        )
        self.method: Method = method(
            config,
            bands=source.scene.num_bands,
            classes=source.scene.num_classes,
            seed=derive_seed(seed, "method"),
            device=device,
        )
        # Buffers are the last epoch's; batch-norm statistics are re-estimated for the averaged weights.
        averages = config.average_from < 1
        self._average = AveragedModel(self.method.classifier) if averages else None
        if plan.compile:
            self.method.compile()
        self._computing = partial(computing_in, plan.precision, device)
        records = records_steps(method, device, num_workers=self._workers.num)
        self._recorded_step = RecordedStep(self.method, self._computing) if records else None
        self.method.begin(*self._batches.training_spectra())
        self._workers.agree_on(self.method.modules().values())
        self._flat_average = FlatAverage()
        self._taken: OutputTaker | None = None
        #: Keeps what evaluated epochs answer; None where nothing is recorded.
        self.recorder = PairRecorder.of(plan, source, target, self.normalization, self.method.classifier, device)

    @property
    def classifier(self) -> torch.nn.Module:
        """The module kept for prediction: the method's own, or the average of its weights where that has begun."""
        if self._average is None or self._average.n_averaged == 0:
            return self.method.classifier
        averaged: torch.nn.Module = self._average.module
        return averaged

    def hold_back(self, source: SourceDomain) -> None:
        """Train and validate from now on as another split of the same scene says."""
        self.source = source
        self._batches.hold_back(source)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Pass once over the training pixels, for the epoch-th time from 1; returns the mean of each loss term."""
        self.method.begin_epoch(epoch, epochs=self.plan.epochs)
        totals: dict[str, Tensor] = {}
        num_batches = 0
        for patches, labels, share in self._batches.of_an_epoch():
            num_batches += 1
            if self._recorded_step is not None:
                losses = self._recorded_step(patches, labels)
            else:
                with shared_batch(share), self._computing():
                    losses = self.method.training_step(patches, labels)
            for name, value in losses.items():
                totals[name] = totals[name] + value if name in totals else value
        if self._average is not None and epoch > self.config.average_from * self.plan.epochs:
            self._average.update_parameters(self.method.classifier)
        self._flat_average.trained(self.method.classifier)
        # The one place an epoch's losses are read by the host, and summed over workers.
        sums = self._workers.total(torch.stack(list(totals.values()))).tolist()
        return {name: total / num_batches for name, total in zip(totals, sums, strict=True)}

    def prepare_evaluation(self) -> None:
        """Re-estimate batch-norm statistics, where the configuration asks for it."""
        self._calibrate(self.classifier)

    def _calibrate(self, classifier: torch.nn.Module) -> None:
        if self.config.calibrate_bn:
            with computing_in("float32", self._batches.sampler.device):
                calibrate_batch_norm(classifier, self._batches.for_calibration())

    def validate(self) -> Scores:
        """Score the validation pixels of the classes that are scored."""
        pixels, recorder = self.source.split.validation, self.recorder
        self._taken = None if recorder is None else recorder.taker(self.classifier)
        predicted = predict_pixels(
            self.classifier, self._batches.sampler, pixels, workers=self._workers, taker=self._taken
        )
        return Scores.from_labels(self.source.labels_of(pixels), predicted, num_classes=self.source.scene.num_classes)

    def record(self, epoch: int, scores: Scores | None) -> None:
        """Record the epoch that was just evaluated, and the average of its weights with earlier ones.

        Args:
            epoch: 1-based.
            scores: Its scores; None where there are no validation pixels.
        """
        if self.recorder is None:
            return
        if self._workers.rank == 0:
            self.recorder.record(self.classifier, epoch, taken=self._taken)
        if scores is not None:
            self._flat_average.evaluated(scores.aa, self.method.classifier)
        if (average := self._flat_average.candidate) is not None:
            self._calibrate(average)
            if self._workers.rank == 0:
                self.recorder.record(average, epoch, is_average=True)

    def forget_patches(self) -> None:
        """Give back the memory of the normalized cube; nothing can be trained or validated by this run any more."""
        del self._batches
        self._recorded_step = None

    def state_dict(self) -> dict[str, Any]:
        """Everything the next epoch depends on, and the classifier by itself."""
        return {
            "method": self.method.state_dict(),
            "draws": self._draws.get_state(),
            "classifier": self.classifier.state_dict(),
            **({} if self._average is None else {"average": self._average.state_dict()}),
            **({} if self.recorder is None else {"flat_average": self._flat_average.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self.method.load_state_dict(state["method"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if self.recorder is not None:
            if "flat_average" not in state:
                raise StudyError("the checkpoint is of a training that was not recorded; resume it without record.")
            self._flat_average.load_state_dict(state["flat_average"], self.method.classifier)
        if self._recorded_step is not None:
            self._recorded_step.forget()
        self._draws.set_state(state["draws"].cpu())


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
    """Train one network per source scene, all pairs through epoch 1, then all through epoch 2, and so on.

    With checkpoints, an interrupted run continues after its last complete epoch as if it had not been interrupted; that
    epoch is reported again. The number of workers may change.

    In a torch.distributed group all workers call this in the same way: together they train the same epochs as one,
    with the same draws, and each reports the same losses and scores. Only the first uses the checkpoints.

    Args:
        plan: What is trained, how long, from which seed.
        sources: One source per pair.
        report: Called after every epoch, and with the last complete epoch of a resumed run.
        checkpoints: Where the state is stored after every epoch; None stores nothing.
        device: The device of all tensors.
        keep: Of the metrics of all epochs so far, by epoch, those whose weights are to be kept, such as
            :meth:`sceneshift.selection.strategy.Strategy.keep`; the last two always are.
        targets: Unlabelled target pixels by pair, to be recorded; only for a plan that is allowed them.
        score: Scores of what an epoch has recorded, reported among its metrics, such as
            :func:`sceneshift.selection.outputs.epoch_scorer`; only for a plan that records.

    Returns:
        The pairs' runs, their classifiers ready for prediction.

    Raises:
        InvalidInputError: There is no source, or two of one pair, or more workers than patches in a batch; target
            pixels are handed to a plan that isn't allowed them; or what is to be recorded has no place.
        StudyError: The checkpoints belong to other pairs or to a longer training.
        TrainingDiverged: A loss became NaN or infinite.
    """
    names = [source.pair_name for source in sources]
    if not names or len(set(names)) != len(names):
        raise InvalidInputError(f"sources of pairs {names}; expected at least one, each pair once.")
    device = torch.device(device)
    workers = Workers.of_this_process()
    target_of = targets_by_pair(plan, targets, names)
    runs = [PairRun(plan, source, device, workers, target_of.get(source.pair_name)) for source in sources]
    recording = recording_of(plan, checkpoints, [run.recorder for run in runs if run.recorder], workers)
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
            run.load_state_dict(state["pairs"][run.source.pair_name])
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
            if score is not None:
                outcome |= recording.scores(score)
                outcome["time/scoring_s"] = time.perf_counter() - trained
            scored = time.perf_counter()
            # Before the checkpoint: of a training that is cut in between, the epoch is trained and written again.
            recording.write(epoch)
            outcome["time/writing_s"] = time.perf_counter() - scored
        history[epoch] = dict(outcome)
        weights = {run.source.pair_name: weights_hash(run.classifier) for run in runs}
        if checkpoints is not None:
            pairs = {run.source.pair_name: run.state_dict() for run in runs}
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
        pair = run.source.pair_name
        ticks = [time.perf_counter()]
        losses = run.train_epoch(epoch)
        metrics |= {f"train/{pair}/{name}": value for name, value in losses.items()}
        ticks.append(time.perf_counter())
        if run.plan.evaluates(epoch):
            run.prepare_evaluation()
        ticks.append(time.perf_counter())
        scored = None
        if run.plan.evaluates(epoch) and len(run.source.split.validation) > 0:
            scored = run.validate()
            scores.append(scored.as_dict())
            metrics |= {f"val/{pair}/{name}": value for name, value in scores[-1].items()}
        ticks.append(time.perf_counter())
        if run.recorder is not None and run.plan.evaluates(epoch):
            run.record(epoch, scored)
            metrics["time/recording_s"] = metrics.get("time/recording_s", 0.0) + time.perf_counter() - ticks[-1]
        metrics[_trained_s(pair)] = time.perf_counter() - ticks[0]
        for part, (begun, ended) in zip(seconds, itertools.pairwise(ticks), strict=True):
            seconds[part] += ended - begun
    means = {f"val/{name}": float(np.mean([s[name] for s in scores])) for name in (scores[0] if scores else ())}
    return means | metrics | seconds
