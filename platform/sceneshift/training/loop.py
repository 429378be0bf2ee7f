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
from sceneshift.methods.method import Method, MethodConfig
from sceneshift.methods.registry import find_method
from sceneshift.networks.shared_batch import shared_batch
from sceneshift.scenes.normalization import Normalization
from sceneshift.scores import Scores
from sceneshift.seeding import derive_seed
from sceneshift.splits.source import SourceDomain
from sceneshift.training.batches import SourceBatches
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.cuda_graph_step import RecordedStep
from sceneshift.training.evaluation import predict_pixels
from sceneshift.training.precision import check_precision, computing_in
from sceneshift.training.workers import Workers


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """One configuration of one method, and how long it trains.

    Args:
        method: Name of the method.
        config: Its configuration.
        epochs: Passes over each source's training pixels.
        seed: The run's seed; each pair's seed is derived from it and the pair's name.
        precision: Precision of training steps, one of :data:`sceneshift.training.precision.PRECISIONS`. Weights,
            losses and evaluation are always float32.
        compile: Compile the modules with `torch.compile`: minutes at the start, for GPUs and long trainings.
        evaluate_every: Epochs between two evaluations; 0 evaluates only after the last epoch. The interval
            doesn't affect training.

    Raises:
        InvalidInputError: No epoch, or several of a method that is fitted in one; a negative interval; an unknown
            method or precision; a configuration of another method; a method that can't be compiled and shall be.
    """

    method: str
    config: MethodConfig
    epochs: int
    seed: int
    precision: str = "float32"
    compile: bool = False
    evaluate_every: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InvalidInputError(f"epochs = {self.epochs}; expected at least 1.")
        if self.evaluate_every < 0:
            raise InvalidInputError(f"evaluate_every = {self.evaluate_every}; expected 0 or more epochs.")
        check_precision(self.precision, on_gpu=True)
        method = find_method(self.method)
        expected = method.config_type
        if type(self.config) is not expected:
            raise InvalidInputError(
                f"method {self.method!r} takes a {expected.__name__}, got {type(self.config).__name__}."
            )
        if method.fitted_at_once and self.epochs != 1:
            raise InvalidInputError(
                f"epochs = {self.epochs}; method {self.method!r} is fitted at once, in 1 epoch. Leave epochs out."
            )
        if self.compile and not method.compilable:
            raise InvalidInputError(
                f"method {self.method!r} can't be compiled, and compile = True was asked for; leave it out."
            )

    def check_workers(self, num: int) -> None:
        """Reject several workers for a method that trains in one process only.

        Raises:
            InvalidInputError: Naming the method and the number.
        """
        if num > 1 and not find_method(self.method).shardable:
            raise InvalidInputError(
                f"method {self.method!r} trains in one process, and {num} workers were asked for; use one."
            )

    def evaluates(self, epoch: int) -> bool:
        """Whether there is an evaluation after an epoch (1-based)."""
        return epoch == self.epochs or (self.evaluate_every > 0 and epoch % self.evaluate_every == 0)


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """The results of one epoch.

    Args:
        epoch: 1-based.
        metrics: ``val/aa`` (the objective) and ``val/oa``, ``val/kappa``, means over pairs;
            ``val/<pair>/oa|aa|kappa`` (all of them after an epoch that is evaluated, where the split has validation
            pixels); ``train/<pair>/<loss term>``; ``time/epoch_s`` and in it, over all pairs,
            ``time/steps_s`` (training steps and the cutting of their patches), ``time/calibration_s`` and
            ``time/validation_s``; after it ``time/checkpoint_s`` (hashing and writing), which an epoch that is reported
            again lacks. On a GPU, calibration is only queued: the wait for it counts as validation.
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

    Raises:
        InvalidInputError: The patch is larger than the split was made for, the device lacks the plan's precision, a
            batch has fewer patches than there are workers, or there are several and the method can't share a batch.
    """

    def __init__(
        self, plan: TrainingPlan, source: SourceDomain, device: torch.device, workers: Workers | None = None
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
        # The one place an epoch's losses are read by the host, and summed over workers.
        sums = self._workers.total(torch.stack(list(totals.values()))).tolist()
        return {name: total / num_batches for name, total in zip(totals, sums, strict=True)}

    def prepare_evaluation(self) -> None:
        """Re-estimate batch-norm statistics, where the configuration asks for it."""
        if self.config.calibrate_bn:
            with computing_in("float32", self._batches.sampler.device):
                calibrate_batch_norm(self.classifier, self._batches.for_calibration())

    def validate(self) -> Scores:
        """Score the validation pixels of the classes that are scored."""
        pixels = self.source.split.validation
        predicted = predict_pixels(self.classifier, self._batches.sampler, pixels, workers=self._workers)
        return Scores.from_labels(self.source.labels_of(pixels), predicted, num_classes=self.source.scene.num_classes)

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
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self.method.load_state_dict(state["method"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if self._recorded_step is not None:
            self._recorded_step.forget()
        self._draws.set_state(state["draws"].cpu())


def records_steps(method: type[Method], device: torch.device, *, num_workers: int) -> bool:
    """Whether training steps are recorded as CUDA graphs: by a worker alone on a GPU, of a method that allows it."""
    return method.graph_safe and device.type == "cuda" and num_workers == 1


def train(
    plan: TrainingPlan,
    sources: Sequence[SourceDomain],
    *,
    report: Callable[[EpochReport], None],
    checkpoints: CheckpointFolder | None = None,
    device: torch.device | str = "cpu",
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

    Returns:
        The pairs' runs, their classifiers ready for prediction.

    Raises:
        InvalidInputError: There is no source, or two of one pair, or more workers than patches in a batch.
        StudyError: The checkpoints belong to other pairs or to a longer training.
        TrainingDiverged: A loss became NaN or infinite.
    """
    names = [source.pair_name for source in sources]
    if not names or len(set(names)) != len(names):
        raise InvalidInputError(f"sources of pairs {names}; expected at least one, each pair once.")
    device = torch.device(device)
    workers = Workers.of_this_process()
    runs = [PairRun(plan, source, device, workers) for source in sources]
    done = 0
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
        # A checkpoint of an earlier version lacks the seconds per pair.
        trained_s |= {key: state["report"]["metrics"].get(key, 0.0) for key in trained_s}
        # Reported again: the run may have been interrupted between writing this checkpoint and reporting.
        report(EpochReport(epoch=done, **state["report"]))
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
        weights = {run.source.pair_name: weights_hash(run.classifier) for run in runs}
        if checkpoints is not None:
            pairs = {run.source.pair_name: run.state_dict() for run in runs}
            state = {"pairs": pairs, "report": {"metrics": outcome, "weights": weights}}
            # All workers wait for it: an epoch is only reported once it is stored.
            workers.from_first(partial(checkpoints.save, epoch, state))
        outcome["time/checkpoint_s"] = time.perf_counter() - trained
        report(EpochReport(epoch=epoch, metrics=outcome, weights=weights))
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
        if run.plan.evaluates(epoch) and len(run.source.split.validation) > 0:
            scores.append(run.validate().as_dict())
            metrics |= {f"val/{pair}/{name}": value for name, value in scores[-1].items()}
        ticks.append(time.perf_counter())
        metrics[_trained_s(pair)] = ticks[-1] - ticks[0]
        for part, (begun, ended) in zip(seconds, itertools.pairwise(ticks), strict=True):
            seconds[part] += ended - begun
    means = {f"val/{name}": float(np.mean([s[name] for s in scores])) for name in (scores[0] if scores else ())}
    return means | metrics | seconds
