"""Scores on the target after every epoch: for research on selection, never for a choice.

This opens the door to target labels while a training runs. The results go to the study's own files, which say
so; the training itself, its checkpoints and its record are those of any other.

Shape letters: N target pixels, M source pixels, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sceneshift.catalogue.target import open_target
from sceneshift.errors import InvalidInputError
from sceneshift.methods.registry import find_method
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scores import Scores
from sceneshift.seeding import derive_seed
from sceneshift.splits.source import SourceDomain
from sceneshift.training.data import LoadedData
from sceneshift.training.evaluation import predict_pixels
from sceneshift.training.outputs import OutputTaker
from sceneshift.training.recording import VALIDATION_PIXELS, stratified_positions
from sceneshift.training.spec import TrainSpec

#: Target pixels that are scored, at most: drawn at random from all labelled ones, the same for every training.
SCORED_PIXELS = 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyPixels:
    """The pixels that a study looks at in addition to those of the record.

    Args:
        pair: The pair's name.
        target: (N,) flat indices of labelled target pixels, ascending.
        target_labels: (N,) class indices 0..K-1.
        largest_class_share: Share of the target's labelled pixels that are of its largest class, 0..1.
        nearby: (M,) flat indices of labelled source pixels of the blocks that train, which neither train nor validate,
            ascending: those that a random split would validate on. A class whose pixels all train has none.
        nearby_labels: (M,) class indices.
    """

    pair: str
    target: NDArray[np.int64]
    target_labels: NDArray[np.int64]
    largest_class_share: float
    nearby: NDArray[np.int64]
    nearby_labels: NDArray[np.int64]

    @classmethod
    def draw(cls, data: LoadedData, *, most: int = SCORED_PIXELS) -> "StudyPixels":
        """Draw them, the same for every training on the pair; the target's labels are read.

        Args:
            data: One pair.
            most: N, at most.
        """
        (source,), (recipe,), (pair,) = data.sources, data.recipes, data.pairs
        door = open_target(recipe)
        labels = door.ground_truth().ravel()
        known = np.flatnonzero(labels)
        if len(known) > most:
            rng = np.random.default_rng(derive_seed("scored target pixels", pair.name))
            known = np.sort(rng.choice(known, most, replace=False))
        nearby = _nearby(data, source)
        return cls(
            pair=pair.name,
            target=known.astype(np.int64),
            target_labels=(labels[known] - 1).astype(np.int64),
            largest_class_share=door.largest_class_share(),
            nearby=nearby,
            nearby_labels=source.labels_of(nearby),
        )


def _nearby(data: LoadedData, source: SourceDomain) -> NDArray[np.int64]:
    (pair,) = data.pairs
    # The training side before it is thinned to a number of pixels per class.
    (whole,) = replace(data.spec, pixels_per_class=None).divide(pair)
    others = np.setdiff1d(whole.split.train, source.split.train)
    if len(others) == 0:
        raise InvalidInputError(
            f"pair {source.pair_name!r}: every pixel of the blocks that train trains; expected some to be left for a "
            "random validation. Train on fewer pixels per class."
        )
    rows = stratified_positions(source.labels_of(others), VALIDATION_PIXELS, pair=source.pair_name)
    nearby: NDArray[np.int64] = others[rows]
    return nearby


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What one candidate says of a study's pixels.

    Args:
        target: (N,) uint8 predicted class indices of the target pixels.
        nearby_logits: (M, K) float16, of the source pixels next to those that train.
        validation: OA, AA and kappa on all of the source's validation pixels, 0..1; None where nothing validates.
    """

    target: NDArray[np.uint8]
    nearby_logits: NDArray[np.float16]
    validation: Scores | None


class Looker:
    """Looks at the study's pixels with the weights of a checkpoint.

    Args:
        spec: What is trained.
        data: Its pair.
        pixels: The study's pixels.
    """

    def __init__(self, spec: TrainSpec, data: LoadedData, pixels: StudyPixels) -> None:
        (self._source,), (pair,) = data.sources, data.pairs
        self._spec, self._pixels = spec, pixels
        normalization = Normalization.fit(spec.config.normalization, self._source.scene.cube)
        self._samplers = {
            side: PatchSampler(normalization.apply(cube), patch_size=spec.config.patch_size, device="cpu")
            for side, cube in (("source", self._source.scene.cube), ("target", pair.target.cube))
        }

    def candidates(self, state: Mapping[str, Any]) -> dict[bool, Look]:
        """Look with the candidates of one epoch.

        Args:
            state: The checkpoint after it, as :class:`sceneshift.training.checkpoint.CheckpointFolder` reads it.

        Returns:
            By whether it is the running average of weights, which is a candidate once it has begun.
        """
        own = state["pairs"][self._source.pair_name]
        found = {False: self._look(own["classifier"])}
        average = own.get("flat_average", {})
        if average.get("num_averaged", 0) >= 2:
            found[True] = self._look(average["classifier"])
        return found

    def _look(self, weights: Mapping[str, Tensor]) -> Look:
        scene, split = self._source.scene, self._source.split
        classifier = find_method(self._spec.method).build_classifier(
            self._spec.config, bands=scene.num_bands, classes=scene.num_classes
        )
        classifier.load_state_dict(dict(weights))
        nearby = self._pixels.nearby
        taker = OutputTaker(
            classifier, np.arange(len(nearby)), num_classes=scene.num_classes, device=torch.device("cpu")
        )
        predict_pixels(classifier, self._samplers["source"], nearby, taker=taker)
        validation = None
        if len(split.validation):
            predicted = predict_pixels(classifier, self._samplers["source"], split.validation)
            truth = self._source.labels_of(split.validation)
            validation = Scores.from_labels(truth, predicted, num_classes=scene.num_classes)
        return Look(
            target=predict_pixels(classifier, self._samplers["target"], self._pixels.target).astype(np.uint8),
            nearby_logits=taker.logits.numpy().astype(np.float16),
            validation=validation,
        )
