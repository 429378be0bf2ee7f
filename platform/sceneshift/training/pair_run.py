"""The training of one network on the source or sources of one pair, an epoch at a time.

Shape letters: B batch, C bands, P patch size, K classes, N pixels.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.methods.method import Method
from sceneshift.methods.registry import find_method
from sceneshift.networks.shared_batch import shared_batch
from sceneshift.scenes.normalization import Normalization
from sceneshift.scores import Scores
from sceneshift.seeding import derive_seed
from sceneshift.splits.source import SourceDomain
from sceneshift.training.batches import SourceBatches
from sceneshift.training.cuda_graph_step import RecordedStep, records_steps
from sceneshift.training.evaluation import predict_pixels
from sceneshift.training.flat_average import FlatAverage
from sceneshift.training.outputs import OutputTaker
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.precision import check_precision, computing_in
from sceneshift.training.recording import PairRecorder
from sceneshift.training.target_classes import TargetMapper
from sceneshift.training.target_pixels import TargetPixels
from sceneshift.training.workers import Workers


class PairRun:
    """The training of one network on the sources of one pair, normalized as the configuration says.

    ``normalization`` is the one fitted on the sources together; it is also applied to targets.

    Args:
        plan: What is trained.
        sources: The pair's scenes and their splits, one in most pairs.
        device: Where everything lives.
        workers: Those that train together; by default this process alone.
        target: Unlabelled pixels of the target, for a plan that is recorded and allowed them, or that maps it.

    Raises:
        InvalidInputError: The patch is larger than the split was made for, the device lacks the plan's precision, a
            batch has fewer patches than there are workers, there are several and the method can't share a batch, or
            the pair has fewer sources than the method needs.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        sources: Sequence[SourceDomain],
        device: torch.device,
        workers: Workers | None = None,
        target: TargetPixels | None = None,
    ) -> None:
        config = plan.config
        check_precision(plan.precision, on_gpu=device.type == "cuda")
        for source in sources:
            if config.patch_size > source.split.patch_size:
                raise InvalidInputError(
                    f"patch_size = {config.patch_size} with a split of {source.key!r} made for patches up to "
                    f"{source.split.patch_size}: training patches would hold validation pixels. Make the split for the "
                    "largest patch."
                )
        first = sources[0].scene
        self.pair_name = sources[0].pair_name
        seed = derive_seed(plan.seed, self.pair_name)
        self.plan = plan
        self.sources = tuple(sources)
        self.config = config
        self._workers = workers or Workers()
        plan.check_workers(self._workers.num)
        plan.check_sources(self.pair_name, len(sources))
        self.normalization = Normalization.fit(config.normalization, *(source.scene.cube for source in sources))
        self._draws = torch.Generator(device).manual_seed(derive_seed(seed, "batches"))
        method = find_method(plan.method)
        self._batches = SourceBatches(
            sources,
            [self.normalization.apply(source.scene.cube) for source in sources],
            config=config,
            at_once=method.fitted_at_once,
            apart=method.takes_domains,
            draws=self._draws,
            device=device,
            workers=self._workers,
        )
        self.method: Method = method(
            config,
            bands=first.num_bands,
            classes=first.num_classes,
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
        self.recorder = PairRecorder.of(plan, sources, target, self.normalization, self.method.classifier, device)
        #: Keeps what evaluated epochs predict for the whole target; None where it is not mapped.
        self.mapper: TargetMapper | None = None
        if plan.maps_target and target is not None:
            self.mapper = TargetMapper(target, self.normalization, patch_size=config.patch_size, device=device)

    @property
    def classifier(self) -> torch.nn.Module:
        """The module kept for prediction: the method's own, or the average of its weights where that has begun."""
        if self._average is None or self._average.n_averaged == 0:
            return self.method.classifier
        averaged: torch.nn.Module = self._average.module
        return averaged

    def hold_back(self, sources: Sequence[SourceDomain]) -> None:
        """Train and validate from now on as other splits of the same scenes say."""
        self.sources = tuple(sources)
        self._batches.hold_back(sources)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Pass once over the training pixels, for the epoch-th time from 1; returns the mean of each loss term."""
        self.method.begin_epoch(epoch, epochs=self.plan.epochs)
        totals: dict[str, Tensor] = {}
        num_batches = 0
        for losses in self._steps():
            num_batches += 1
            for name, value in losses.items():
                totals[name] = totals[name] + value if name in totals else value
        if self._average is not None and epoch > self.config.average_from * self.plan.epochs:
            self._average.update_parameters(self.method.classifier)
        self._flat_average.trained(self.method.classifier)
        # The one place an epoch's losses are read by the host, and summed over workers.
        sums = self._workers.total(torch.stack(list(totals.values()))).tolist()
        return {name: total / num_batches for name, total in zip(totals, sums, strict=True)}

    def _steps(self) -> Iterator[dict[str, Tensor]]:
        """Take the steps of an epoch; gives the loss terms of each."""
        if self.method.takes_domains:
            for domains in self._batches.domains_of_an_epoch():
                self.method.draw_on_host()
                with self._computing():
                    losses = self.method.step_on_domains(domains)
                yield losses
            return
        for patches, labels, share in self._batches.of_an_epoch():
            if self._recorded_step is not None:
                losses = self._recorded_step(patches, labels)
            else:
                with shared_batch(share), self._computing():
                    losses = self.method.training_step(patches, labels)
            yield losses

    def prepare_evaluation(self) -> None:
        """Re-estimate batch-norm statistics, where the configuration asks for it."""
        self._calibrate(self.classifier)

    def _calibrate(self, classifier: torch.nn.Module) -> None:
        if self.config.calibrate_bn:
            with computing_in("float32", self._batches.sampler.device):
                calibrate_batch_norm(classifier, self._batches.for_calibration())

    @property
    def validates(self) -> bool:
        """Whether pixels were held back."""
        return any(len(source.split.validation) > 0 for source in self.sources)

    def validate(self) -> dict[str, Scores]:
        """Score the validation pixels of the classes that are scored, by the key of their source."""
        pixels, recorder = [source.split.validation for source in self.sources], self.recorder
        self._taken = None if recorder is None else recorder.taker(self.classifier)
        predicted = predict_pixels(
            self.classifier,
            self._batches.sampler,
            self._batches.places(pixels),
            workers=self._workers,
            taker=self._taken,
        )
        answers = np.split(predicted, np.cumsum([len(of_source) for of_source in pixels])[:-1])
        return {
            source.key: Scores.from_labels(source.labels_of(seen), answer, num_classes=source.scene.num_classes)
            for source, seen, answer in zip(self.sources, pixels, answers, strict=True)
            if len(seen)
        }

    @property
    def records(self) -> bool:
        """Whether anything of evaluated epochs is kept: their outputs, or the target as they map it."""
        return self.recorder is not None or self.mapper is not None

    def record(self, epoch: int, aa: float | None) -> None:
        """Record the epoch that was just evaluated, and the average of its weights with earlier ones.

        Args:
            epoch: 1-based.
            aa: Its average accuracy on validation pixels, of several sources the mean; None where there are none.
        """
        self._record(self.classifier, epoch, taken=self._taken)
        if self.recorder is None:  # an average is a candidate for strategies, which read recorded outputs
            return
        if aa is not None:
            self._flat_average.evaluated(aa, self.method.classifier)
        if (average := self._flat_average.candidate) is not None:
            self._calibrate(average)
            self._record(average, epoch, is_average=True)

    def _record(
        self, classifier: torch.nn.Module, epoch: int, *, taken: OutputTaker | None = None, is_average: bool = False
    ) -> None:
        if self._workers.rank != 0:
            return
        if self.recorder is not None:
            self.recorder.record(classifier, epoch, taken=taken, is_average=is_average)
        if self.mapper is not None:
            self.mapper.record(classifier, epoch, is_average=is_average)

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
