"""A trained network restored from its checkpoint, with everything closing needs of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sceneshift.errors import StudyError
from sceneshift.methods.registry import find_method
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.patches import PatchSampler
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.evaluation import predict_pixels
from sceneshift.training.spec import TrainSpec

#: The names of the scores.
FIGURES = ("oa", "aa", "kappa")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedNetwork:
    """One trained network of one pair.

    Args:
        role: Its name in tables.
        spec: What was trained.
        sources: The pair's sources with the pixels it trained on.
        classifier: The classifier, on the CPU.
        normalization: The one fitted on the sources, as in training.
        metrics: Metrics of the epoch that its weights are from.
    """

    role: str
    spec: TrainSpec
    sources: tuple[SourceDomain, ...]
    classifier: torch.nn.Module
    normalization: Normalization
    metrics: Mapping[str, float]

    @classmethod
    def load(
        cls,
        role: str,
        spec: TrainSpec,
        sources: Sequence[SourceDomain],
        location: str,
        *,
        epoch: int | None = None,
        weights: str | None = None,
        averaged: bool = False,
    ) -> "TrainedNetwork":
        """Restore a network from a checkpoint.

        Args:
            role: Its name in tables.
            spec: What was trained.
            sources: The pair's sources with the pixels it trained on.
            location: The folder of its checkpoints.
            epoch: The epoch whose weights are used; by default the spec's last.
            weights: The hash that training reported; checked if given.
            averaged: Use the running average of weights (:mod:`sceneshift.training.flat_average`) where it has begun.

        Raises:
            StudyError: There is no complete checkpoint of that epoch, or it doesn't hold the reported weights.
        """
        epoch = spec.epochs if epoch is None else epoch
        folder = CheckpointFolder(location)
        state = folder.load(epoch)
        if state is None:
            latest = folder.latest_epoch()
            raise StudyError(
                f"{location} holds no whole checkpoint of epoch {epoch}"
                + (f"; its newest is of epoch {latest}" if latest else "")
                + ". On several machines --storage-path must be a directory all of them share, or a URI such as s3://…"
            )
        pair, scene = sources[0].pair_name, sources[0].scene
        classifier = find_method(spec.method).build_classifier(
            spec.config, bands=scene.num_bands, classes=scene.num_classes
        )
        of_pair = state["pairs"][pair]
        average = of_pair.get("flat_average", {}).get("classifier") if averaged else None
        classifier.load_state_dict(of_pair["classifier"] if average is None else average)
        classifier.eval()
        if weights is not None and (got := weights_hash(classifier)) != weights:
            raise StudyError(
                f"the checkpoint of {pair} at {location} has weights {got}, training reported {weights}; "
                "it was changed, and nothing can be closed on it."
            )
        return cls(
            role=role,
            spec=spec,
            sources=tuple(sources),
            classifier=classifier,
            normalization=Normalization.fit(spec.config.normalization, *(source.scene.cube for source in sources)),
            metrics=state["report"]["metrics"],
        )

    @property
    def pair_name(self) -> str:
        """Name of the pair it was trained on."""
        return self.sources[0].pair_name

    @property
    def seconds(self) -> float | None:
        """Seconds of its training, including those before an interruption; None if an earlier version trained it."""
        return self.metrics.get(f"time/{self.pair_name}/trained_s")

    @property
    def validation(self) -> dict[str, float] | None:
        """OA, AA and kappa on validation pixels, means over the sources; None if none were held back."""
        names = {figure: f"val/{self.pair_name}/{figure}" for figure in FIGURES}
        if any(name not in self.metrics for name in names.values()):
            return None
        return {figure: self.metrics[name] for figure, name in names.items()}

    def target_cube(self, pair: ScenePair) -> NDArray[np.float32]:
        """(H, W, C) the target, normalized as the source was."""
        return self.normalization.apply(pair.target.cube)

    def predict_sources(self, pixels: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """(M,) class indices 0..K-1 of pixels of the sources, source by source.

        Args:
            pixels: Flat indices in each source.
        """
        normalized = [self.normalization.apply(source.scene.cube) for source in self.sources]
        sampler = PatchSampler.over(normalized, patch_size=self.spec.config.patch_size, device="cpu")
        places = [sampler.places(number, of_source) for number, of_source in enumerate(pixels)]
        return predict_pixels(self.classifier, sampler, np.concatenate(places))

    def training_counts(self) -> list[int]:
        """Training pixels of each class in all sources, K numbers."""
        labels = np.concatenate([source.labels_of(source.split.train) for source in self.sources])
        return [int(n) for n in np.bincount(labels, minlength=self.sources[0].scene.num_classes)]

    def config(self) -> dict[str, Any]:
        """The method's configuration as plain values."""
        return dict(self.spec.as_dict()["config"])
