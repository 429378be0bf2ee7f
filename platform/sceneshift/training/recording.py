"""Recording what evaluated epochs answer, so that a choice can be made afterwards under any strategy.

What is recorded is decided by the pair alone and never by a training's seed, so that trainings on one pair can be
compared pixel by pixel. Nothing here changes a training: its draws and weights are those of one that isn't recorded.

Shape letters: C bands, K classes, F and G features, N pixels, S shifts, U places that patches hold.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.networks.final_layer import final_layer
from sceneshift.scenes.normalization import Normalization
from sceneshift.seeding import derive_seed
from sceneshift.simulation.shift_bank import SHIFT_NAMES, ShiftBank
from sceneshift.splits.source import SourceDomain, joined_pixels
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.epoch_record import MOST_FEATURES, EpochRecord, Outputs, PairHeader, RecordFolder
from sceneshift.training.outputs import FixedPatches, OutputTaker
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.target_classes import TargetClassesFolder, TargetMapper
from sceneshift.training.target_pixels import TargetPixels
from sceneshift.training.workers import Workers

#: Validation pixels that are recorded, at most: with these, predicting for the record stays below a fifth of a trial of
#: S2AMSnet (docs/speed.md).
VALIDATION_PIXELS = 384

_FLOAT16 = float(np.finfo(np.float16).max)

#: From headers by pair and the records of one epoch to scores by the names of their metrics.
ScoreEpoch = Callable[[Mapping[str, PairHeader], Sequence[EpochRecord]], Mapping[str, float]]


class PairRecorder:
    """Records one pair's candidates.

    Args:
        sources: The pair's scenes and their splits.
        target: The target's unlabelled pixels; None where the training is not allowed any.
        normalization: The one fitted on the sources.
        patch_size: P.
        classifier: One of the shape of all that will be recorded.
        seed: The training's, for the header.
        device: Where classifiers are.
    """

    def __init__(
        self,
        sources: Sequence[SourceDomain],
        target: TargetPixels | None,
        *,
        normalization: Normalization,
        patch_size: int,
        classifier: nn.Module,
        seed: int,
        device: torch.device,
    ) -> None:
        self._target, self._normalization = target, normalization
        self._patch_size, self._device = patch_size, device
        pair, num_classes = sources[0].pair_name, sources[0].scene.num_classes
        labels = np.concatenate([source.labels_of(source.split.validation) for source in sources])
        self._positions = stratified_positions(labels, VALIDATION_PIXELS, pair=pair)
        pixels = joined_pixels(sources, lambda source: source.split.validation)[self._positions]
        # The drawn pixels of each source, which are those of its part of all validation pixels.
        starts = np.cumsum([0, *(len(source.split.validation) for source in sources)])
        bounds = np.searchsorted(self._positions, starts)
        self._validation = [
            (source, source.split.validation[self._positions[low:high] - start])
            for source, start, low, high in zip(sources, starts, bounds, bounds[1:], strict=False)
            if high > low
        ]
        layer = final_layer(classifier)
        projection = None if layer is None else feature_projection(layer.in_features)
        #: What the records have in common.
        self.header = PairHeader(
            pair=pair,
            num_classes=num_classes,
            validation_pixels=pixels,
            validation_labels=labels[self._positions],
            target_pixels=None if target is None else target.pixels,
            shifts=SHIFT_NAMES if len(pixels) else (),
            seed=seed,
            num_features=None if layer is None else min(layer.in_features, MOST_FEATURES),
            projection=projection,
        )
        self._shifted: list[tuple[FixedPatches, list[Tensor]]] | None = None
        self._of_target: tuple[FixedPatches, Tensor] | None = None
        #: What was recorded and not yet written.
        self.pending: list[EpochRecord] = []

    @classmethod
    def of(
        cls,
        plan: TrainingPlan,
        sources: Sequence[SourceDomain],
        target: TargetPixels | None,
        normalization: Normalization,
        classifier: nn.Module,
        device: torch.device,
    ) -> "PairRecorder | None":
        """The recorder of a plan; None where nothing is recorded: a refit without its target has no pixels for it."""
        target = None if plan.target_access == "none" else target  # or it is only mapped
        if not plan.record or (target is None and not any(len(source.split.validation) for source in sources)):
            return None
        return cls(
            sources,
            target,
            normalization=normalization,
            patch_size=plan.config.patch_size,
            classifier=classifier,
            seed=plan.seed,
            device=device,
        )

    def taker(self, classifier: nn.Module) -> OutputTaker:
        """What keeps the outputs of the recorded pixels while all validation pixels are classified."""
        return OutputTaker(classifier, self._positions, num_classes=self.header.num_classes, device=self._device)

    def record(
        self, classifier: nn.Module, epoch: int, *, taken: OutputTaker | None = None, is_average: bool = False
    ) -> None:
        """Record a candidate.

        Args:
            classifier: The candidate, ready for evaluation.
            epoch: 1-based.
            taken: Its outputs on the validation pixels, where they were classified already.
            is_average: Whether it is the running average.
        """
        shifted = None
        validation = Outputs(logits=np.empty((0, self.header.num_classes), np.float16), features=None)
        if self.header.shifts:
            shown = self._shifted_patches()
            if taken is None:
                logits, features = _joined([patches.outputs(classifier, seen[0]) for patches, seen in shown])
            else:
                logits, features = taken.logits, taken.features
            validation = self._outputs(logits, features)
            shifted = np.stack(
                [
                    _float16(torch.cat([patches.outputs(classifier, seen[number])[0] for patches, seen in shown]))
                    for number in range(1, 1 + len(self.header.shifts))
                ]
            )
        target = None
        if self._target is not None:
            of_target, spectra = self._target_patches(self._target)
            target = self._outputs(*of_target.outputs(classifier, spectra))
        self.pending.append(
            EpochRecord(
                pair=self.header.pair,
                epoch=epoch,
                is_average=is_average,
                validation=validation,
                shifted=shifted,
                target=target,
            )
        )

    def _outputs(self, logits: Tensor, features: Tensor | None) -> Outputs:
        if features is not None and self.header.projection is not None:
            features = features.float() @ torch.from_numpy(self.header.projection).to(features.device)
        return Outputs(logits=_float16(logits), features=None if features is None else _float16(features))

    def _shifted_patches(self) -> list[tuple[FixedPatches, list[Tensor]]]:
        """The patches of each source's validation pixels, and the spectra at their places, unchanged and shifted."""
        if self._shifted is None:
            self._shifted = []
            for source, pixels in self._validation:
                scene = source.scene
                patches = FixedPatches(scene.shape, pixels, patch_size=self._patch_size, device=self._device)
                raw = scene.cube.reshape(-1, scene.num_bands)[patches.places]
                bank = ShiftBank.of_scene(scene)
                seen = [raw, *(bank.apply(name, raw) for name in self.header.shifts)]
                self._shifted.append((patches, [self._normalized(spectra) for spectra in seen]))
        return self._shifted

    def _target_patches(self, target: TargetPixels) -> tuple[FixedPatches, Tensor]:
        if self._of_target is None:
            scene = target.scene
            patches = FixedPatches(scene.shape, target.pixels, patch_size=self._patch_size, device=self._device)
            raw = scene.cube.reshape(-1, scene.num_bands)[patches.places]
            self._of_target = patches, self._normalized(raw)
        return self._of_target

    def _normalized(self, spectra: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(self._normalization.apply(spectra)).to(self._device)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Writes what a training's recorders have noted.

    Args:
        folder: Where outputs go.
        recorders: One per pair whose outputs are recorded.
        classes: Where classes predicted for targets go.
        mappers: One per pair whose target is mapped.
        workers: Those that train together; the first of them writes.
    """

    folder: RecordFolder
    recorders: Sequence[PairRecorder]
    classes: TargetClassesFolder
    mappers: Sequence[TargetMapper]
    workers: Workers

    @property
    def _headers(self) -> Mapping[str, PairHeader]:
        return {recorder.header.pair: recorder.header for recorder in self.recorders}

    def begin(self, epochs_done: int) -> None:
        """Drop what a resumed training will train again, and check that the rest is of the same pixels.

        Args:
            epochs_done: The last epoch that it has.

        Raises:
            StudyError: What was recorded before is of other pixels, or damaged.
        """
        self.workers.from_first(partial(self._begin, epochs_done))

    def _begin(self, epochs_done: int) -> None:
        self.classes.forget_after(epochs_done)
        self.folder.forget_after(epochs_done)
        before = self.folder.headers()
        if before is not None and _without_projection(before) != _without_projection(self._headers):
            raise StudyError(
                f"the record at {self.folder.location} is of other pixels, shifts or features than this training's; "
                "move it away, or give the training another location."
            )

    def write(self, epoch: int) -> None:
        """Write what was noted of an epoch.

        Raises:
            StorageError: It can't be written.
        """
        self.workers.from_first(partial(self._write, epoch))

    def scores(self, score: ScoreEpoch) -> dict[str, float]:
        """Score what was noted of an epoch and not yet written; a score that is not finite is left out."""

        def scored() -> dict[str, float]:
            records = [record for recorder in self.recorders for record in recorder.pending]
            return {name: value for name, value in score(self._headers, records).items() if math.isfinite(value)}

        found: dict[str, float] = self.workers.from_first(scored)
        return found

    def _write(self, epoch: int) -> None:
        records = [record for recorder in self.recorders for record in recorder.pending]
        for recorder in self.recorders:
            recorder.pending = []
        maps = [class_map for mapper in self.mappers for class_map in mapper.pending]
        for mapper in self.mappers:
            mapper.pending = []
        assert {record.epoch for record in records} | {each.epoch for each in maps} == {epoch}
        if records:
            self.folder.write(self._headers, records)
        if maps:
            self.classes.write(maps)

    def end(self) -> None:
        """Make one file of all epochs."""
        self.workers.from_first(self.folder.compact)
        self.workers.from_first(self.classes.compact)


def recording_of(
    plan: TrainingPlan,
    checkpoints: CheckpointFolder | None,
    recorders: Sequence[PairRecorder],
    mappers: Sequence[TargetMapper],
    workers: Workers,
) -> Recording | None:
    """What writes a training's record next to its checkpoints; None if nothing is recorded.

    Raises:
        InvalidInputError: There is something to record, and there are no checkpoints.
    """
    if not recorders and not mappers:
        return None
    if checkpoints is None:
        asked = "record" if recorders else "maps_target"
        raise InvalidInputError(
            f"{asked} = True for {plan.method!r} without checkpoints; records are kept next to them, so give their "
            "folder."
        )
    return Recording(
        folder=RecordFolder(checkpoints.location),
        recorders=recorders,
        classes=TargetClassesFolder(checkpoints.location),
        mappers=mappers,
        workers=workers,
    )


def targets_by_pair(
    plan: TrainingPlan, targets: Sequence[TargetPixels], pairs: Sequence[str]
) -> dict[str, TargetPixels]:
    """Target pixels by the name of their pair, of the pairs that are trained.

    Raises:
        InvalidInputError: The plan is not allowed any, or is and lacks a pair's.
    """
    found = {target.pair_name: target for target in targets if target.pair_name in pairs}
    expected = set(pairs) if plan.maps_target or plan.target_access != "none" else set()
    if set(found) != expected:
        raise InvalidInputError(
            f"target_access = {plan.target_access!r}, maps_target = {plan.maps_target}, and target pixels of "
            f"{', '.join(sorted(found)) or 'no pair'} were given; expected those of "
            f"{', '.join(sorted(expected)) or 'none'}."
        )
    return found


def stratified_positions(labels: NDArray[np.int64], most: int, *, pair: str) -> NDArray[np.int64]:
    """Draw rows, as many of each class as possible: classes with fewer are taken whole, and others share the rest.

    Args:
        labels: (N,) class indices.
        most: Rows to draw; all where there are fewer.
        pair: Name of the pair, which alone decides the draw.

    Returns:
        Ascending rows.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(labels) <= most:
        return np.arange(len(labels), dtype=np.int64)
    rng = np.random.default_rng(derive_seed("validation pixels", pair))
    rows: list[NDArray[np.intp]] = []
    left = most
    # From the rarest class on: what it lacks goes to the others.
    for done, place in enumerate(np.argsort(counts, kind="stable")):
        share = min(int(counts[place]), left // (len(classes) - done))
        rows.append(rng.choice(np.flatnonzero(labels == classes[place]), share, replace=False))
        left -= share
    return np.sort(np.concatenate(rows)).astype(np.int64)


def feature_projection(num_features: int) -> NDArray[np.float32] | None:
    """(G, F) orthonormal columns, a fixed random draw; None for features that are few enough to be kept.

    A random orthogonal projection keeps distances up to one factor in expectation (Johnson and Lindenstrauss,
    "Extensions of Lipschitz mappings into a Hilbert space", 1984).

    Args:
        num_features: G.
    """
    if num_features <= MOST_FEATURES:
        return None
    rng = np.random.default_rng(derive_seed("projection of features", num_features))
    columns, triangle = np.linalg.qr(rng.standard_normal((num_features, MOST_FEATURES)))
    # With a positive diagonal the draw is uniform (Mezzadri, Notices of the AMS 54 (5), 2007).
    projection: NDArray[np.float32] = (columns * np.sign(np.diag(triangle))).astype(np.float32)
    return projection


def _joined(outputs: Sequence[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor | None]:
    """Logits, and features where there are some, of several scenes as one."""
    features = [found for _, found in outputs if found is not None]
    return torch.cat([logits for logits, _ in outputs]), torch.cat(features) if features else None


def _float16(values: Tensor) -> NDArray[np.float16]:
    narrow: NDArray[np.float16] = values.clamp(-_FLOAT16, _FLOAT16).to(torch.float16).cpu().numpy()
    return narrow


def _without_projection(headers: Mapping[str, PairHeader]) -> dict[str, object]:
    # Another machine may round the projection's last digit.
    return {pair: {**header.as_dict(), "projection": None} for pair, header in headers.items()}
