"""The chosen configuration, trained once more on pixels of every labelled field: the model that is registered.

A search holds fields back to choose by, and fields are what generalization lives on: a class of which one of two fields
validates is learnt from the other alone. When the choice is made nothing needs to be held back. The configuration is
trained from the trial's own seed, for a trial's number of epochs, where trials are trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import ray
import torch

from sceneshift.errors import StudyError
from sceneshift.methods.registry import find_method
from sceneshift.search.trial import TrialOrder, train_alone, train_in_ray
from sceneshift.search.trial_store import TrialRecord
from sceneshift.search.tuner import SearchPlan, put_sources
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import everything_split
from sceneshift.study.prepared_study import PreparedStudy
from sceneshift.study.progress import progress_bar
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.ray_train import MAX_WORKER_FAILURES


@dataclass(frozen=True, kw_only=True)
class Refitted:
    """A network trained on every field.

    Args:
        classifier: On the CPU.
        seconds: Of its training.
    """

    classifier: torch.nn.Module
    seconds: float


def source_on_every_field(source: SourceDomain, *, pixels_per_class: int | None) -> SourceDomain:
    """The same source with training pixels drawn over all its labelled pixels, and none to validate on.

    Args:
        source: With the split trials are trained by; its seed draws the pixels.
        pixels_per_class: The most pixels per class; None for all.
    """
    split = everything_split(source.scene, source.split.patch_size, seed=source.split.seed)
    if pixels_per_class is not None:
        split = split.thinned(source.scene, pixels_per_class=pixels_per_class)
    return replace(source, split=split)


def refit_winner(study: PreparedStudy, plan: SearchPlan, winner: TrialRecord) -> dict[str, Refitted]:
    """Train the chosen configuration on every field, each pair's network by itself, or go on with it.

    Ray must be connected.

    Args:
        study: The study.
        plan: Its search.
        winner: The trial that was chosen.

    Returns:
        By the pair's name. A pair is missing where the training diverged; a line says so.

    Raises:
        StudyError: The training ended before its last epoch, or its checkpoint can't be read.
    """
    sources = [source_on_every_field(s, pixels_per_class=study.refit_pixels_per_class) for s in study.sources]
    orders = {source.pair_name: _order(plan, winner, source) for source in sources}
    missing = [source for source in sources if _epochs_done(orders[source.pair_name]) < plan.profile.epochs]
    if missing:
        counts = ", ".join(f"{source.pair_name} {len(source.split.train)}" for source in missing)
        print(f"\nTraining the chosen configuration on pixels of every labelled field ({counts}).", flush=True)
    faults: dict[str, str] = {}
    if plan.in_ray_train:
        for source in missing:
            references = put_sources([source], by_path=plan.scenes_by_path)
            train_in_ray(orders[source.pair_name], references, report_to_tune=False)
    elif missing:
        faults = _train_where_trials_do(plan, orders, missing)
    for pair, fault in faults.items():
        print(f"NOTE: {pair}: {fault}; the network that was chosen is registered instead.", flush=True)
    return {s.pair_name: _load(orders[s.pair_name], s) for s in sources if s.pair_name not in faults}


def _train_where_trials_do(
    plan: SearchPlan, orders: Mapping[str, TrialOrder], sources: list[SourceDomain]
) -> dict[str, str]:
    """Train in Ray tasks that take what a trial takes; returns why a pair's training diverged, by its name."""
    task = ray.remote(train_alone).options(
        num_cpus=plan.cpus_per_trial, num_gpus=plan.gpus_per_trial, max_retries=MAX_WORKER_FAILURES
    )
    running = {
        task.remote(orders[s.pair_name].as_config(), put_sources([s], by_path=plan.scenes_by_path)): s.pair_name
        for s in sources
    }
    faults: dict[str, str] = {}
    pairs = list(running.values())
    before = sum(_epochs_done(orders[pair]) for pair in pairs)
    with progress_bar(total=plan.profile.epochs * len(pairs), unit="epochs", initial=before) as bar:
        while running:
            ready, _ = ray.wait(list(running), timeout=1.0)
            for reference in ready:
                pair = running.pop(reference)
                if fault := _result(reference, pair):
                    faults[pair] = fault
            done = {pair: _epochs_done(orders[pair]) for pair in pairs}
            bar.set_postfix(done, refresh=False)
            bar.update(sum(done.values()) - bar.n)
    return faults


def _result(reference: ray.ObjectRef, pair: str) -> str:
    try:
        return str(ray.get(reference))
    except ray.exceptions.RayError as error:
        cause = str(getattr(error, "cause", None) or error).strip().split("\n")[-1]
        raise StudyError(
            f"training {pair} on every field failed ({cause}); --resume goes on from its last epoch."
        ) from error


def _order(plan: SearchPlan, winner: TrialRecord, source: SourceDomain) -> TrialOrder:
    # By its pixels, so that a closing with another --refit does not take this training for its own.
    place = f"refit_{winner.number:04d}/{source.pair_name}-{source.split.content_hash}"
    return replace(plan.order(winner), checkpoint_location=f"{plan.checkpoint_location}/{place}")


def _epochs_done(order: TrialOrder) -> int:
    return CheckpointFolder(order.checkpoint_location).latest_epoch()


def _load(order: TrialOrder, source: SourceDomain) -> Refitted:
    found = CheckpointFolder(order.checkpoint_location).load_latest()
    if found is None or found[0] < order.epochs:
        raise StudyError(
            f"{order.checkpoint_location} holds no whole checkpoint of epoch {order.epochs}; --resume trains it again."
        )
    method, state = find_method(order.method), found[1]
    classifier = method.build_classifier(
        method.config_type.from_mapping(order.config), bands=source.scene.num_bands, classes=source.scene.num_classes
    )
    classifier.load_state_dict(state["pairs"][source.pair_name]["classifier"])
    return Refitted(classifier=classifier, seconds=state["report"]["metrics"][f"time/{source.pair_name}/trained_s"])
