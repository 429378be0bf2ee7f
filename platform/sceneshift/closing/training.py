"""Closing a training: the network of the last epoch is scored on the target, or on the test side of the scene."""

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sceneshift.catalogue.load import SCENES, load_reference
from sceneshift.catalogue.pair_spec import InScene, Recipe
from sceneshift.catalogue.units import stated_units
from sceneshift.closing.choosing import choice_sentence
from sceneshift.closing.estimates import estimate_sentence, estimates_as_dict
from sceneshift.closing.registering import register
from sceneshift.closing.scoring import Progress, ScoredPair, fit_pair_floors, no_progress, score_pair
from sceneshift.closing.trained import TrainedNetwork
from sceneshift.closing.unmixing_scores import (
    class_means,
    find_endmembers,
    least_squares_abundances,
    render_unmixing,
    score_unmixing,
)
from sceneshift.report.per_class import render_per_class
from sceneshift.report.score_table import render_scores
from sceneshift.report.separation import render_separation, separation_metrics, separation_of, separation_tags
from sceneshift.report.units import unit_lines
from sceneshift.report.verdict import FLOORS_TOLD
from sceneshift.scenes.unmixing_reference import UnmixingReference
from sceneshift.scores import Scores
from sceneshift.selection.accuracy_estimate import AccuracyEstimate
from sceneshift.splits.pair import ScenePair
from sceneshift.tracking.datasets import observed_input, training_input
from sceneshift.tracking.held_back import HeldBack
from sceneshift.tracking.models import LoggedModel
from sceneshift.tracking.training_run import TrainingRun
from sceneshift.training.subpixels import Subpixels

_LOG = logging.getLogger(__name__)

#: The alias of the newest model that a training registered; ``champion`` is for models that were chosen.
TRAINED = "trained"


@dataclass(frozen=True, kw_only=True)
class ClosedTraining:
    """The result of closing a training.

    Args:
        summary: As in ``summary.json``.
        compared: The verdict, and the table of network, floors and majority class, as Markdown.
        per_class: The table of classes, as Markdown.
        unmixing: The table of abundances and endmembers, if a reference is known.
        metrics: Scores on the target, named as in MLflow.
        model: The registered model.
        folder: The folder with pictures and tables.
    """

    summary: Mapping[str, Any]
    compared: str
    per_class: str
    unmixing: str | None
    metrics: Mapping[str, float]
    model: LoggedModel
    folder: Path


def close_training(
    network: TrainedNetwork,
    pair: ScenePair,
    recipe: Recipe,
    run: TrainingRun,
    *,
    name: str,
    folder: Path,
    settings: Mapping[str, Any],
    hashes: Mapping[str, str],
    selection: str,
    choice: Mapping[str, Any] | None = None,
    estimates: Mapping[str, AccuracyEstimate] | None = None,
    held_back: HeldBack | None = None,
    progress: Progress = no_progress,
    device: torch.device | str = "cpu",
) -> ClosedTraining:
    """Map the target, score it, draw, log and register.

    Args:
        network: The trained network.
        pair: The pair, or the scene as one.
        recipe: What it is made from.
        run: The training's MLflow run.
        name: The run's name.
        folder: Folder for pictures and tables.
        settings: The settings of the training.
        hashes: Hashes of data and split, as named by :meth:`sceneshift.training.data.LoadedData.hashes`.
        selection: The criterion that chose the network.
        choice: What was chosen, from :func:`sceneshift.closing.choosing.choice_as_dict`; None where the last
            epoch is kept.
        estimates: Estimated accuracies on the target, by pair, from its unlabelled pixels.
        held_back: Answers on held-back pixels, to be kept with the model.
        progress: Called with the progress of the map.
        device: The device on which the target is mapped.

    Raises:
        StudyError: MLflow can't be written to; the results are on disk and the run can be resumed.
    """
    spec, sources = network.spec, network.sources
    folder.mkdir(parents=True, exist_ok=True)
    _LOG.info("\nFitting spectral floors on the same training pixels.")
    floors = fit_pair_floors(pair, network, seed=spec.seed)
    _LOG.info("\nMapping %d x %d pixels.", *pair.target.shape)
    separation = separation_of(pair, sources)
    leaks = " (leaks)" if any(row["leaks"] for row in separation) else ""
    title = f"{spec.method}, {pair.name}, split {spec.data.split_name}{leaks}, {spec.epochs} epochs"
    reference = _reference(recipe, pair)
    scored = score_pair(
        recipe,
        pair,
        [network],
        registered=network,
        floors=floors,
        folder=folder,
        title=title,
        progress=progress,
        reference=None if reference is None else reference.abundances,
        majority_validation=False,
        device=device,
    )
    ids = np.uint8 if len(pair.class_names) < 256 else np.uint16
    np.save(folder / f"map_{pair.name}.npy", scored.class_map.astype(ids))
    units = stated_units([pair])
    counts = network.training_counts()
    sentences = [] if choice is None else [choice_sentence(choice)]
    sentences += [estimate_sentence(*found) for found in (estimates or {}).items()]
    compared = "\n\n".join([scored.verdict.sentence, *sentences, render_scores(scored.rows, profile="training")])
    per_class = render_per_class(scored.scores, class_names=pair.class_names, num_train=counts)
    below = "\n\n".join(filter(None, (*unit_lines(units), render_separation(separation))))
    (folder / "per_class.md").write_text(f"{title}, last epoch\n\n{per_class}\n{below}")
    note = f"{compared}\n" + "\n".join((FLOORS_TOLD, *unit_lines(units))) + "\n"
    (folder / "scores.md").write_text(note)
    _write_csv(folder / "per_class.csv", pair, counts, scored.scores)
    unmixing = None
    if scored.subpixels is not None and reference is not None:
        unmixing = _unmixing_table(network, scored.subpixels, reference)
        (folder / "unmixing.md").write_text(unmixing)
    summary = {
        "run": name,
        "settings": dict(settings),
        "selection": selection,
        "choice": choice,
        "estimates": estimates_as_dict(estimates or {}),
        "verdict": scored.verdict.as_dict(),
        "scores": list(scored.rows),
        "floors": list(scored.floors),
        "test": scored.scores.as_dict(),
        "validation": network.validation,
        "largest class": scored.largest_class_share,
        "confusion": scored.scores.confusion.tolist(),
        "separation": separation,
        "units": units,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2))
    metrics = _final_metrics(scored) | separation_metrics(separation)
    run.log_results(metrics, str(folder))
    run.describe(note)
    try:
        inputs = [
            *(training_input(source, digest=hashes[f"source.hash.{source.key}"]) for source in sources),
            observed_input(pair, digest=hashes[f"target.hash.{pair.name}"]),
        ]
        run.client.log_inputs(run.run_id, inputs)
        model = register(
            run.client,
            run.run_id,
            scored,
            recipe=recipe,
            sources=sources,
            hashes=hashes,
            alias=TRAINED,
            profile="training",
            made_by=name,
            origin=f"run {name}",
            selection=selection,
            validation=network.validation,
            held_back=held_back,
            tags={
                "run": name,
                "split": spec.data.split_name,
                **separation_tags(separation),
                "epochs": str(spec.epochs),
                "target.oa": f"{scored.scores.oa:.4f}",
                "target.aa": f"{scored.scores.aa:.4f}",
            },
        )
    except Exception as error:  # whatever MLflow or its server raises: the results are on disk
        raise run.unreachable_error(str(folder), error) from error
    return ClosedTraining(
        summary=summary,
        compared=compared,
        per_class=per_class,
        unmixing=unmixing,
        metrics=metrics,
        model=model,
        folder=folder,
    )


def _reference(recipe: Recipe, pair: ScenePair) -> UnmixingReference | None:
    if not isinstance(recipe, InScene) or recipe.scene not in SCENES or not SCENES[recipe.scene].has_reference:
        return None
    reference = load_reference(recipe.scene, recipe.data_dir)
    # Masks may leave a class out, and the abundances of the other classes can't be compared with those of all.
    return reference if reference.materials == pair.class_names else None


def _unmixing_table(network: TrainedNetwork, subpixels: Subpixels, reference: UnmixingReference) -> str:
    (source,) = network.sources  # the scene that is also the target
    scene, train = source.scene, source.split.train
    spectra = scene.cube.reshape(-1, scene.num_bands)
    means = class_means(spectra[train], source.labels_of(train), scene.num_classes)
    found = find_endmembers(spectra, scene.num_classes)
    abundances, undo = subpixels.abundances.reshape(len(spectra), -1), network.normalization.undo
    ways: list[tuple[str, NDArray[Any], NDArray[Any]]] = [
        ("S2VNet, spectra of pure pixels", undo(subpixels.endmembers.T).T, abundances),
        ("S2VNet, endmember matrix alone", undo(subpixels.linear_part.T).T, abundances),
        ("least squares, class means", means, least_squares_abundances(spectra, means)),
        ("least squares, endmembers found without labels", found, least_squares_abundances(spectra, found)),
    ]
    return render_unmixing(
        [
            score_unmixing(
                name,
                endmembers=endmembers,
                abundances=shares,
                reference_endmembers=reference.endmembers,
                reference_abundances=reference.abundances.reshape(len(spectra), -1),
                materials=reference.materials,
            )
            for name, endmembers, shares in ways
        ]
    )


def _final_metrics(scored: ScoredPair) -> dict[str, float]:
    scores, subpixels = scored.scores, scored.subpixels
    metrics = {f"target/{name}": value for name, value in scores.as_dict().items()}
    metrics |= {
        f"target/class/{name}": float(recall)
        for name, recall in zip(scored.pair.class_names, scores.recall, strict=True)
        if not np.isnan(recall)
    }
    if subpixels is not None:
        metrics["target/reconstruction_angle_deg"] = float(np.degrees(np.median(subpixels.error[subpixels.measured])))
    return metrics


def _write_csv(path: Path, pair: ScenePair, counts: Sequence[int], scores: Scores) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "train", "test", "accuracy"])
        rows = zip(pair.class_names, counts, scores.confusion.sum(axis=1), scores.recall, strict=True)
        for name, num_train, num_test, recall in rows:
            writer.writerow([name, num_train, int(num_test), "" if np.isnan(recall) else f"{recall:.6f}"])
