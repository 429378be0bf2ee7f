"""Scoring the networks and spectral floors of one pair on its target, whose labels are read for it.

``tests/test_layout.py`` lists the modules that may use the door to target labels, :mod:`sceneshift.catalogue.target`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sceneshift.catalogue.pair_spec import Recipe
from sceneshift.catalogue.target import open_target
from sceneshift.catalogue.units import allowed_normalizations
from sceneshift.closing.floor_scores import count_floor, describe_floor, fit_floors, floor_row, score_row
from sceneshift.closing.pair_pictures import draw_pair, draw_subpixels
from sceneshift.closing.trained import TrainedNetwork
from sceneshift.methods.floors import FittedFloor
from sceneshift.report.study_record import MAJORITY
from sceneshift.report.uncertainty import FieldCounts
from sceneshift.report.verdict import Verdict
from sceneshift.scores import Scores
from sceneshift.splits.pair import ScenePair
from sceneshift.training.evaluation import map_scene
from sceneshift.training.subpixels import Subpixels

#: Receives progress: what is done and its unit, the amount done, and the total.
Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredPair:
    """The scores of one pair.

    Args:
        pair: The pair.
        registered: The registered network.
        rows: The rows of the pair in the table of scores.
        counts: Predicted classes per field of the target, by role.
        verdict: The registered network compared with the best floor.
        floors: A description of each floor.
        scores: Scores of the registered network.
        class_map: (H, W) class ids that the registered network assigns to every measured pixel; 0 elsewhere.
        largest_class_share: Share of the target's own largest class.
        subpixels: Unmixing results for the target, for a network that unmixes.
    """

    pair: ScenePair
    registered: TrainedNetwork
    rows: Sequence[Mapping[str, Any]]
    counts: Mapping[str, FieldCounts]
    verdict: Verdict
    floors: Sequence[Mapping[str, Any]]
    scores: Scores
    class_map: NDArray[np.int64]
    largest_class_share: float
    subpixels: Subpixels | None


def fit_pair_floors(pair: ScenePair, registered: TrainedNetwork, *, seed: int) -> list[FittedFloor]:
    """Fit the spectral floors on the pixels the registered network trained on; the target is not read."""
    return fit_floors(registered.sources, seed=seed, normalizations=allowed_normalizations(pair))


def score_pair(
    recipe: Recipe,
    pair: ScenePair,
    networks: Sequence[TrainedNetwork],
    *,
    registered: TrainedNetwork,
    floors: Sequence[FittedFloor],
    folder: Path,
    title: str,
    progress: Progress = no_progress,
    reference: NDArray[np.float64] | None = None,
    majority_validation: bool = True,
    device: torch.device | str = "cpu",
) -> ScoredPair:
    """Read the target, map it with every network, score, compare with the floors, and draw the registered one's maps.

    Args:
        recipe: What the pair is made from.
        pair: The pair.
        networks: The networks in the order of the table.
        registered: The one of them that is registered.
        floors: The floors, fitted on the pixels it trained on.
        folder: Folder for the pictures.
        title: What was trained and how.
        progress: Called with the number of mapped pixels.
        reference: (H, W, K) abundances of the target, if they are known.
        majority_validation: Also score the majority class on validation pixels.
        device: The device on which targets are mapped.
    """
    door = open_target(recipe)
    truth = door.ground_truth()
    counts: dict[str, FieldCounts] = {}
    rows: list[dict[str, Any]] = []
    kept: tuple[Scores, NDArray[np.int64], Subpixels | None] | None = None
    for network in networks:
        cube = network.target_cube(pair)
        class_map = map_scene(
            network.classifier.to(device),
            cube,
            patch_size=network.spec.config.patch_size,
            device=device,
            measured=pair.target.measured,
            progress=partial(progress, f"mapping {pair.name} ({network.role}), pixels"),
        )
        scores = door.score(class_map)
        counts[network.role] = FieldCounts.of_map(truth, class_map, num_classes=len(pair.class_names))
        rows.append(
            score_row(
                pair.name,
                network.role,
                scores,
                validation=network.validation,
                normalization=network.normalization.name,
                seconds=network.seconds,
            )
        )
        if network is registered:
            draw_pair(folder, pair, title=title, scores=scores, class_map=class_map, truth=truth)
            subpixels = draw_subpixels(
                folder,
                pair,
                network.classifier,
                cube,
                normalization=network.normalization,
                title=title,
                reference=reference,
            )
            network.classifier.to("cpu")
            kept = scores, class_map, subpixels
    assert kept is not None
    for floor in floors:
        counts[floor.title] = count_floor(floor, pair, truth)
        rows.append(floor_row(pair.name, floor, counts[floor.title]))
    rows.append(_majority_row(pair, networks[0], door.score, with_validation=majority_validation))
    scores, class_map, subpixels = kept
    return ScoredPair(
        pair=pair,
        registered=registered,
        rows=rows,
        counts=counts,
        verdict=Verdict.of(pair.name, counts[registered.role], {f.title: counts[f.title] for f in floors}),
        floors=[describe_floor(floor) for floor in floors],
        scores=scores,
        class_map=class_map,
        largest_class_share=door.largest_class_share(),
        subpixels=subpixels,
    )


def _majority_row(
    pair: ScenePair,
    network: TrainedNetwork,
    score: Callable[[NDArray[np.int64]], Scores],
    *,
    with_validation: bool,
) -> dict[str, Any]:
    """The scores of always predicting the sources' largest class, counted on training pixels if none validate."""
    validation = None
    sources = [source for source in network.sources if len(source.split.validation) > 0]
    if with_validation and sources:
        largest = int(np.argmax(sum(source.scene.class_counts for source in sources)))
        truths = [source.labels_of(source.split.validation) for source in sources]
        validated = [
            Scores.from_labels(truth, np.full_like(truth, largest), num_classes=len(pair.class_names)).as_dict()
            for truth in truths
        ]
        # As of networks, means over the sources.
        validation = {name: float(np.mean([found[name] for found in validated])) for name in validated[0]}
    else:
        largest = int(np.argmax(network.training_counts()))
    return score_row(pair.name, MAJORITY, score(np.full(pair.target.shape, largest + 1)), validation=validation)
