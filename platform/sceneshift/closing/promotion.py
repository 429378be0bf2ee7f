"""Comparing versions of a registered model on the same pixels, for promotion.

By default those are the source's validation pixels. Comparing on the target reads its labels and counts this.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import Recipe
from sceneshift.catalogue.target import open_target
from sceneshift.catalogue.user_entries import OwnCatalogue
from sceneshift.errors import InvalidInputError
from sceneshift.scores import Scores
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import joined_hash
from sceneshift.tracking.models import load_scene_model
from sceneshift.tracking.registry import PAIR_TAG, Version, count_target_opening
from sceneshift.tracking.trained_on import TrainedOn

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from sceneshift.tracking.scene_model import SceneModel

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Scores of competing versions on the same pixels.

    Args:
        where: A description of the pixels.
        scores: One per version.
        on_target: The pair whose target labels were read, or empty.
        times: How often they were read to choose a version of this model.
    """

    where: str
    scores: Sequence[Scores]
    on_target: str = ""
    times: int = 0


def compare_on_validation(
    client: "MlflowClient",
    rivals: Sequence[Version],
    *,
    data_dir: str | None,
    catalogue: OwnCatalogue | None = None,
) -> Comparison:
    """Score versions on the newest one's validation pixels, without those that another of them trained on.

    For a model that was trained once more on every field, the network that was chosen is scored instead: those pixels
    were held back from it, and its predictions were stored.
    """
    version = rivals[-1]
    trained_on = _trained_on(client, version, catalogue)
    pair = _load(trained_on, version, data_dir=data_dir)
    pixels = trained_on.validation
    if len(pixels) == 0:
        raise InvalidInputError(
            f"{version.name} version {version.number} was trained on every labelled pixel of its source: none is left "
            "to compare on. --on target compares on the target's labels, and says so."
        )
    records = [
        TrainedOn.load(client, rival.run_id, rival.tags.get(PAIR_TAG, trained_on.recipe.name), catalogue=catalogue)
        for rival in rivals[:-1]
    ]
    for rival, older in zip(rivals, records, strict=False):
        pixels = _held_back_from(rival, older, trained_on, pixels)
    # Of several sources, pixels are numbered through.
    labels = np.concatenate([source.labels.ravel() for source in pair.sources])[pixels] - 1
    scores = []
    for rival, record in zip(rivals, [*records, trained_on], strict=True):
        if record is not None and record.predicted is not None:
            predicted = record.predicted[np.searchsorted(record.validation, pixels)]
            _LOG.info(
                f"NOTE: version {rival.number} was trained on every field after it was chosen; what is compared is the "
                "network that was chosen, from which these pixels were held back."
            )
        else:
            model = _model(rival, pair)
            predicted = np.concatenate([model.map_scene(source).ravel() for source in pair.sources])[pixels] - 1
        scores.append(Scores.from_labels(labels, predicted, num_classes=len(pair.class_names)))
    _LOG.info("Both were chosen by figures on such pixels, so these flatter both; no target label is read.")
    where = " and ".join(source.name for source in pair.sources)
    return Comparison(where=f"{len(pixels)} validation pixels of {where}", scores=scores)


def _held_back_from(
    rival: Version, older: TrainedOn | None, newer: TrainedOn, pixels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The pixels on which a version, or the network that was chosen for it, was not trained."""
    name = f"version {rival.number}"
    if older is None:
        _LOG.info(
            f"NOTE: what {name} trained on was not recorded; if these pixels are among it, its figures are too good."
        )
        return pixels
    if older.split_hash == newer.split_hash:
        return pixels
    if older.predicted is not None:
        left = np.intersect1d(pixels, older.validation)
    else:
        left = np.setdiff1d(pixels, older.train)
    if len(left) == 0:
        raise InvalidInputError(f"{name} trained on every pixel that could be compared on; use --on target.")
    _LOG.info(
        f"NOTE: {name} was trained by another split. {len(pixels) - len(left)} of {len(pixels)} validation pixels, on "
        f"which it trained, are left out; the patches of others may hold pixels it trained on, which flatters it."
    )
    return left


def compare_on_target(
    client: "MlflowClient",
    rivals: Sequence[Version],
    *,
    data_dir: str | None,
    catalogue: OwnCatalogue | None = None,
) -> Comparison:
    """Score versions on the target of the newest one's pair. Its labels are read, and this is counted."""
    version = rivals[-1]
    trained_on = _trained_on(client, version, catalogue)
    pair = _load(trained_on, version, data_dir=data_dir)
    # All maps are computed before the labels are read.
    maps = [_model(rival, pair).map_scene(pair.target) for rival in rivals]
    times = count_target_opening(client, version.name, pair.name)
    _LOG.info(
        f"READING THE TARGET LABELS OF {pair.name}, use no. {times} for choosing a version of {version.name}.\n"
        "A decision by these figures selects on target labels: they no longer show how the model does on an unlabelled "
        "scene. The version will say so.",
    )
    door = open_target(_recipe(trained_on, data_dir=data_dir))
    return Comparison(
        where=f"labelled pixels of {pair.target.name}, the target of {pair.name}",
        scores=[door.score(class_map) for class_map in maps],
        on_target=pair.name,
        times=times,
    )


def _trained_on(client: "MlflowClient", version: Version, catalogue: OwnCatalogue | None) -> TrainedOn:
    pair = version.tags.get(PAIR_TAG)
    found = None if pair is None else TrainedOn.load(client, version.run_id, pair, catalogue=catalogue)
    if found is None:
        raise InvalidInputError(
            f"{version.name} version {version.number} does not record what it was trained on (it is older than that, "
            "or was registered by hand), so it can't be compared. Its alias can be set in the UI."
        )
    return found


def _recipe(trained_on: TrainedOn, *, data_dir: str | None) -> Recipe:
    recipe = trained_on.recipe
    return recipe if data_dir is None else replace(recipe, data_dir=data_dir)


def _load(trained_on: TrainedOn, version: Version, *, data_dir: str | None) -> ScenePair:
    pair = load_pair(_recipe(trained_on, data_dir=data_dir))
    found = joined_hash([source.content_hash for source in pair.sources])
    if found != trained_on.source_hash:
        raise InvalidInputError(
            f"{' and '.join(source.name for source in pair.sources)} is not what version {version.number} was trained "
            f"on: its hash is {found}, expected {trained_on.source_hash}. Give the files of then by --data-dir."
        )
    return pair


def _model(version: Version, pair: ScenePair) -> "SceneModel":
    model = load_scene_model(version.uri)
    description = model.description
    if tuple(description.class_names) != pair.class_names or description.bands != pair.target.num_bands:
        raise InvalidInputError(
            f"version {version.number} knows {len(description.class_names)} classes "
            f"({', '.join(description.class_names)}) in {description.bands} bands; "
            f"{pair.name} has {len(pair.class_names)} ({', '.join(pair.class_names)}) in "
            f"{pair.target.num_bands}. They can't be compared on the same data; its alias can be set in the UI."
        )
    return model
