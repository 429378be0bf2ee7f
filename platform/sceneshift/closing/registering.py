"""Registering a closed pair's network in MLflow: the model, what it was trained on, and the version's description."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.pair_spec import Recipe
from sceneshift.catalogue.units import describe_units
from sceneshift.closing.scoring import ScoredPair
from sceneshift.splits.source import SourceDomain
from sceneshift.tracking.held_back import HeldBack
from sceneshift.tracking.model_description import ModelDescription
from sceneshift.tracking.models import LoggedModel, log_and_register
from sceneshift.tracking.provenance import code_tags
from sceneshift.tracking.registry import PAIR_TAG, SELECTION_TAG, describe_version, version_description
from sceneshift.tracking.trained_on import TrainedOn

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def register(
    client: "MlflowClient",
    run_id: str,
    scored: ScoredPair,
    *,
    recipe: Recipe,
    sources: Sequence[SourceDomain],
    hashes: Mapping[str, str],
    alias: str,
    profile: str,
    made_by: str,
    origin: str,
    selection: str,
    validation: Mapping[str, float] | None,
    tags: Mapping[str, str],
    predicted: NDArray[np.int64] | None = None,
    held_back: HeldBack | None = None,
) -> LoggedModel:
    """Register the network of a pair and describe its version.

    Args:
        client: The MLflow client.
        run_id: The run the model belongs to.
        scored: The pair.
        recipe: What the pair is made from.
        sources: The sources with the splits that were used for the choice.
        hashes: The run's hashes, as named by :meth:`sceneshift.training.data.LoadedData.hashes`.
        alias: The version's alias.
        profile: The size of the search, or "training".
        made_by: Name of the search or training it comes from.
        origin: A sentence with the same.
        selection: The criterion that chose it.
        validation: Validation scores of the network that was chosen.
        tags: Additional tags of the version.
        predicted: (M,) predictions of the chosen network on its validation pixels, source by source, if another one is
            registered.
        held_back: Answers on held-back pixels, from which ``predict.py`` estimates accuracies.
    """
    network, pair = scored.registered, scored.pair
    model = log_and_register(
        client,
        run_id=run_id,
        alias=alias,
        classifier=network.classifier,
        description=ModelDescription.of(
            method=network.spec.method,
            config=network.spec.config,
            sources=[source.scene for source in network.sources],
            normalization=network.normalization,
            profile=profile,
            study=made_by,
            held_back=held_back,
        ),
        tags={**tags, PAIR_TAG: pair.name, SELECTION_TAG: selection, "verdict": scored.verdict.outcome.value},
        # Named apart from a run's own figures per epoch, which have other steps.
        metrics={
            **({} if validation is None else {"model/val_aa": validation["aa"]}),
            **{f"model/target_{figure}": value for figure, value in scored.scores.as_dict().items()},
        },
    )
    data = {what: hashes[f"{what}.hash.{pair.name}"] for what in ("source", "split", "target")}
    TrainedOn.of(recipe, sources, source_hash=data["source"], registered=network.sources, predicted=predicted).save(
        client, run_id
    )
    text = version_description(
        verdict=scored.verdict.sentence,
        selection=selection,
        profile=profile,
        validation=validation,
        target=scored.scores.as_dict(),
        pair=pair.name,
        data=data,
        origin=origin,
        code=code_tags(),
        units=describe_units(pair),
    )
    describe_version(client, model.name, model.version, text)
    return model
