"""The winner of a search, trained anew on all labelled pixels of its sources: the model that is kept.

A search holds pixels back to choose by. When it has chosen they can train too: the winner's configuration, from the
winner's seed, for a trial's whole number of epochs. Nothing is chosen any more, so nothing is left to validate on.
"""

from dataclasses import replace

import torch

from sceneshift.errors import StudyError
from sceneshift.methods.registry import find_method
from sceneshift.scenes.source import SourceDomain
from sceneshift.scenes.split import everything_split
from sceneshift.search.ledger import TrialRecord
from sceneshift.search.trial import train_in_ray
from sceneshift.search.tuner import SearchPlan, put_sources
from sceneshift.study.preparation import PreparedStudy
from sceneshift.training.checkpoint import CheckpointFolder


def whole_source(source: SourceDomain) -> SourceDomain:
    """The same source with all its labelled pixels to train on and none to validate on."""
    split = everything_split(source.scene, patch_size=source.split.patch_size)
    return SourceDomain(pair_name=source.pair_name, scene=source.scene, split=split)


def refit_winner(study: PreparedStudy, plan: SearchPlan, winner: TrialRecord) -> dict[str, torch.nn.Module]:
    """Train the winner's configuration on all labelled source pixels in Ray Train, or go on with it.

    Ray must be connected.

    Args:
        study: The study.
        plan: Its search.
        winner: The trial that was chosen.

    Returns:
        The trained classifier of each pair, by its name, on the CPU.

    Raises:
        StudyError: Ray Train ended it before the last epoch, or its checkpoint can't be read.
    """
    location = f"{plan.checkpoint_location}/refit_{winner.number:04d}"
    order = replace(plan.order(winner), checkpoint_location=location, in_ray_train=True)
    sources = [whole_source(source) for source in study.sources]
    checkpoints = CheckpointFolder(location)
    if checkpoints.latest_epoch() < order.epochs:
        told = ", ".join(f"{source.pair_name} {len(source.split.train)}" for source in sources)
        print(f"\nTraining the best configuration on all labelled source pixels ({told}).", flush=True)
        train_in_ray(order, put_sources(sources, by_path=plan.scenes_by_path), report_to_tune=False)
    found = checkpoints.load_latest()
    if found is None or found[0] < order.epochs:
        raise StudyError(
            f"{location} holds no whole checkpoint of epoch {order.epochs}; --resume trains on all pixels again."
        )
    method, states = find_method(order.method), found[1]["pairs"]
    classifiers: dict[str, torch.nn.Module] = {}
    for source in sources:
        classifier = method.build_classifier(
            method.config_type.from_mapping(order.config),
            bands=source.scene.num_bands,
            classes=source.scene.num_classes,
        )
        classifier.load_state_dict(states[source.pair_name]["classifier"])
        classifiers[source.pair_name] = classifier
    return classifiers
