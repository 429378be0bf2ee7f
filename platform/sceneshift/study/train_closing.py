"""Closing a training: the network of the last epoch is scored on the target, or on the test side of the scene.

``tests/test_layout.py`` lists the modules that may open the door to target labels, :mod:`sceneshift.catalogue.target`.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sceneshift.catalogue.load import SCENES, load_reference
from sceneshift.catalogue.pair_spec import InScene
from sceneshift.catalogue.target import open_target
from sceneshift.catalogue.units import allowed_normalizations
from sceneshift.report.per_class import render_per_class
from sceneshift.report.screen import render_table
from sceneshift.report.separation import (
    render_separation,
    separation_lines,
    separation_metrics,
    separation_tags,
)
from sceneshift.report.study_record import MAJORITY
from sceneshift.report.uncertainty import FieldCounts
from sceneshift.report.units import stated_units, unit_lines
from sceneshift.report.verdict import FLOORS_TOLD, Verdict
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.unmixing_reference import UnmixingReference
from sceneshift.scores import Scores
from sceneshift.study.floor_scores import count_floor, describe_floor, fit_floors, floor_row, score_row
from sceneshift.study.pair_pictures import draw_pair, draw_subpixels
from sceneshift.study.progress import progress_bar
from sceneshift.study.train_preparation import LAST_EPOCH, PreparedTraining, training_counts
from sceneshift.study.unmixing import (
    class_means,
    find_endmembers,
    least_squares_abundances,
    render_unmixing,
    score_unmixing,
)
from sceneshift.tracking.datasets import observed_input, training_input
from sceneshift.tracking.model_description import ModelDescription
from sceneshift.tracking.models import LoggedModel, log_and_register
from sceneshift.tracking.registry import PAIR_TAG, SELECTION_TAG, describe_version, version_description
from sceneshift.tracking.trained_on import TrainedOn
from sceneshift.tracking.training_run import TrainingRun
from sceneshift.training.evaluation import map_scene
from sceneshift.training.loop import PairRun
from sceneshift.training.subpixels import Subpixels

#: The alias of the newest model a training registered; ``champion`` is for one that was chosen.
TRAINED = "trained"


def close_training(training: PreparedTraining, run: PairRun, mlflow_run: TrainingRun, *, seconds: float | None) -> None:
    """Map the target, score it, draw, log, register, and print the last screen.

    Args:
        training: What was trained.
        run: The finished training.
        mlflow_run: Its MLflow run.
        seconds: Of the training, those before a cut among them; None where they are not known.

    Raises:
        StudyError: MLflow can't be told; the results are on disk and the run can be resumed.
    """
    pair, plan = training.pair, training.plan
    folder = training.directory / "report"
    folder.mkdir(parents=True, exist_ok=True)
    validation = run.validate().as_dict() if training.source.split.kind != "all" else None
    # Of a large scene every copy counts.
    run.forget_patches()
    normalized = run.normalization.apply(pair.target.cube)
    print("\nFitting spectral floors on the same training pixels.", flush=True)
    floors = fit_floors(training.source, seed=plan.seed, normalizations=allowed_normalizations(pair))
    print(f"\nMapping {normalized.shape[0]} x {normalized.shape[1]} pixels.", flush=True)
    with progress_bar(total=normalized.shape[0] * normalized.shape[1], unit="pixels") as bar:
        class_map = map_scene(
            run.classifier,
            normalized,
            patch_size=plan.config.patch_size,
            device=training.device,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    np.save(folder / f"map_{pair.name}.npy", class_map.astype(np.uint8 if len(pair.class_names) < 256 else np.uint16))
    separation = training.separation()
    leaks = " (leaks)" if any(row["leaks"] for row in separation) else ""
    title = f"{plan.method}, {pair.name}, split {training.split_name}{leaks}, {plan.epochs} epochs"
    reference = _reference(training)
    subpixels = draw_subpixels(
        folder,
        pair,
        run.classifier,
        normalized,
        normalization=run.normalization,
        title=title,
        reference=None if reference is None else reference.abundances,
    )
    del normalized
    door = open_target(training.recipe)
    scores = door.score(class_map)
    truth = door.ground_truth()
    draw_pair(folder, pair, title=title, scores=scores, class_map=class_map, truth=truth)
    by_field = FieldCounts.of_map(truth, class_map, num_classes=len(pair.class_names))
    floor_counts = {floor.title: count_floor(floor, pair, truth) for floor in floors}
    verdict = Verdict.of(pair.name, by_field, floor_counts)
    trained_on = np.array(training_counts(training))
    rows = [
        score_row(
            pair.name,
            plan.method,
            scores,
            validation=validation,
            normalization=run.normalization.name,
            seconds=seconds,
        ),
        *(floor_row(pair.name, floor, floor_counts[floor.title]) for floor in floors),
        score_row(
            pair.name,
            MAJORITY,
            door.score(np.full(truth.shape, int(trained_on.argmax()) + 1)),
            validation=None,
        ),
    ]
    compared = render_table(rows, profile="training")

    table = render_per_class(scores, class_names=pair.class_names, num_train=training_counts(training))
    units = stated_units([pair])
    below = "\n\n".join(filter(None, (*unit_lines(units), render_separation(separation))))
    (folder / "per_class.md").write_text(f"{title}, last epoch\n\n{table}\n{below}")
    floors_told = "\n".join((FLOORS_TOLD, *unit_lines(units)))
    (folder / "scores.md").write_text(f"{verdict.sentence}\n\n{compared}\n{floors_told}\n")
    _write_csv(folder / "per_class.csv", training, scores)
    unmixing = None
    if subpixels is not None and reference is not None:
        unmixing = _unmixing_table(training, subpixels, reference, run.normalization)
        (folder / "unmixing.md").write_text(unmixing)
    summary = {
        "run": training.name,
        "settings": training.settings(),
        "selection": LAST_EPOCH,
        "verdict": verdict.as_dict(),
        "scores": rows,
        "floors": [describe_floor(floor) for floor in floors],
        "test": scores.as_dict(),
        "validation": validation,
        "largest class": door.largest_class_share(),
        "confusion": scores.confusion.tolist(),
        "separation": separation,
        "units": units,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2))
    metrics = _final_metrics(pair.class_names, scores, subpixels) | separation_metrics(separation)
    mlflow_run.log_results(metrics, str(folder))
    mlflow_run.describe(f"{verdict.sentence}\n\n{compared}\n{floors_told}\n")
    try:
        model = _log_model(training, run, mlflow_run, validation, scores, verdict)
    except Exception as error:  # whatever MLflow or its server raises: the results are on disk
        raise mlflow_run.not_told(str(folder), error) from error
    mlflow_run.close("FINISHED")
    print(_screen(training, f"{verdict.sentence}\n\n{compared}", table, units, unmixing, model, mlflow_run, folder))


def _reference(training: PreparedTraining) -> UnmixingReference | None:
    recipe = training.recipe
    if not isinstance(recipe, InScene) or recipe.scene not in SCENES or not SCENES[recipe.scene].has_reference:
        return None
    reference = load_reference(recipe.scene, recipe.data_dir)
    # Masks may leave a class out; abundances of the others alone can't be held against those of all materials.
    return reference if reference.materials == training.pair.class_names else None


def _unmixing_table(
    training: PreparedTraining, subpixels: Subpixels, reference: UnmixingReference, normalization: Normalization
) -> str:
    source = training.source.scene
    spectra = source.cube.reshape(-1, source.num_bands)
    train = training.source.split.train
    means = class_means(spectra[train], training.source.labels_of(train), source.num_classes)
    found = find_endmembers(spectra, source.num_classes)
    abundances = subpixels.abundances.reshape(len(spectra), -1)
    ways: list[tuple[str, NDArray[Any], NDArray[Any]]] = [
        ("S2VNet, spectra of pure pixels", normalization.undo(subpixels.endmembers.T).T, abundances),
        ("S2VNet, endmember matrix alone", normalization.undo(subpixels.linear_part.T).T, abundances),
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


def _final_metrics(class_names: tuple[str, ...], scores: Scores, subpixels: Subpixels | None) -> dict[str, float]:
    metrics = {f"target/{name}": value for name, value in scores.as_dict().items()}
    metrics |= {
        f"target/class/{name}": float(recall)
        for name, recall in zip(class_names, scores.recall, strict=True)
        if not np.isnan(recall)
    }
    if subpixels is not None:
        metrics["target/reconstruction_angle_deg"] = float(np.degrees(np.median(subpixels.error)))
    return metrics


def _write_csv(path: Path, training: PreparedTraining, scores: Scores) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "train", "test", "accuracy"])
        rows = zip(
            training.pair.class_names,
            training_counts(training),
            scores.confusion.sum(axis=1),
            scores.recall,
            strict=True,
        )
        for name, num_train, num_test, recall in rows:
            writer.writerow([name, num_train, int(num_test), "" if np.isnan(recall) else f"{recall:.6f}"])


def _log_model(
    training: PreparedTraining,
    run: PairRun,
    mlflow_run: TrainingRun,
    validation: dict[str, float] | None,
    scores: Scores,
    verdict: Verdict,
) -> LoggedModel:
    source, plan = training.source.scene, training.plan
    description = ModelDescription.of(
        method=plan.method,
        config=plan.config,
        source=source,
        normalization=run.normalization,
        profile="training",
        study=training.name,
    )
    tags = {
        "run": training.name,
        "split": training.split_name,
        **separation_tags(training.separation()),
        "epochs": str(plan.epochs),
        SELECTION_TAG: LAST_EPOCH,
        PAIR_TAG: training.pair.name,
        "target.oa": f"{scores.oa:.4f}",
        "target.aa": f"{scores.aa:.4f}",
        "verdict": verdict.outcome.value,
    }
    model = log_and_register(
        mlflow_run.client,
        run_id=mlflow_run.run_id,
        alias=TRAINED,
        classifier=run.classifier.to(torch.device("cpu")),
        description=description,
        tags=tags,
    )
    origin = training.tags()
    hashes = {what: origin[f"{what}.hash"] for what in ("source", "split", "target")}
    client, run_id = mlflow_run.client, mlflow_run.run_id
    inputs = [
        training_input(training.source, digest=hashes["source"]),
        observed_input(training.pair, digest=hashes["target"]),
    ]
    client.log_inputs(run_id, inputs)
    TrainedOn.of(training.recipe, training.source, source_hash=hashes["source"]).save(client, run_id)
    text = version_description(
        verdict=verdict.sentence,
        selection=LAST_EPOCH,
        profile="training",
        validation=validation,
        target=scores.as_dict(),
        pair=training.pair.name,
        data=hashes,
        origin=f"run {training.name}",
        code=origin,
        units=origin.get("units"),
    )
    describe_version(client, model.name, model.version, text)
    return model


def _screen(
    training: PreparedTraining,
    compared: str,
    table: str,
    units: dict[str, str],
    unmixing: str | None,
    model: LoggedModel,
    mlflow_run: TrainingRun,
    folder: Path,
) -> str:
    where = "test pixels" if training.pair.test_split is not None else f"target of {training.pair.name}"
    parts = [f"\n{compared}", FLOORS_TOLD]
    parts.append(f"\nRun {training.name}, {where}, last of {training.plan.epochs} epochs:\n\n{table}")
    parts += [*unit_lines(units), *separation_lines(training.separation())]
    if unmixing is not None:
        parts.append(
            "Against the reference abundances (the classes derive from them, so class means are a near-oracle "
            f"baseline):\n\n{unmixing}"
        )
    parts += [
        f"Registered {model.uri} (version {model.version})",
        f"\nPictures, tables   {folder}",
        f"Open the MLflow UI {mlflow_run.backend.ui_command()}",
        f"This run           {mlflow_run.link()}",
    ]
    return "\n".join(parts)
