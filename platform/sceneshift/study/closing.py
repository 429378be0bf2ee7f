"""Closing a study: winner and defaults are scored on the targets, whose labels are opened for it and counted.

``tests/test_layout.py`` lists the modules that may open the door to target labels, :mod:`sceneshift.catalogue.target`.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sceneshift.catalogue.pair_spec import Recipe
from sceneshift.catalogue.target import TargetScorer, open_target
from sceneshift.catalogue.units import allowed_normalizations
from sceneshift.errors import StudyError, first_line
from sceneshift.methods.registry import find_method
from sceneshift.report.pictures import draw_optimization_history, draw_parameter_importances
from sceneshift.report.screen import render_screen, render_table
from sceneshift.report.separation import render_separation, separation_metrics
from sceneshift.report.study_record import BEST, DEFAULTS, MAJORITY, REFITTED
from sceneshift.report.uncertainty import FieldCounts
from sceneshift.report.units import stated_units, unit_lines
from sceneshift.report.verdict import Verdict
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scores import Scores
from sceneshift.search.trial_store import REFERENCE_TRIAL, TrialRecord, TrialStore
from sceneshift.search.tuner import SearchPlan
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.study.evidence import write_evidence
from sceneshift.study.floor_scores import count_floor, describe_floor, fit_floors, floor_row, score_row
from sceneshift.study.pair_pictures import draw_pair, draw_subpixels
from sceneshift.study.prepared_study import SMOKE_TEST, PreparedStudy
from sceneshift.study.refit import Refitted, refit_winner, source_on_every_field
from sceneshift.study.report import write_report_or_tell
from sceneshift.tracking.model_description import ModelDescription
from sceneshift.tracking.models import LoggedModel, log_and_register, registered_name
from sceneshift.tracking.registry import (
    PAIR_TAG,
    SELECTION_TAG,
    alias_of_new,
    describe_version,
    version_description,
)
from sceneshift.tracking.results import FIGURES, log_results
from sceneshift.tracking.search_run import SearchRun
from sceneshift.tracking.trained_on import TrainedOn
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.evaluation import map_scene, predict_pixels

SELECTION = "highest mean validation AA on the sources, last epoch; no target label used"


def close_study(
    study: PreparedStudy,
    plan: SearchPlan,
    store: TrialStore,
    mirror: SearchRun,
    *,
    winner: TrialRecord,
    out_of_time: bool,
    started: float,
) -> None:
    """Score winner and defaults on every target, draw, log, register, and print the last screen.

    Args:
        study: The study.
        plan: Its search.
        store: Its trials.
        mirror: Its MLflow runs, caught up.
        winner: The trial chosen on source validation.
        out_of_time: Whether the time budget ended the search.
        started: When the command began (``time.monotonic``).

    Raises:
        StudyError: A checkpoint is missing or damaged, or MLflow can't be told; the study can be resumed.
    """
    records = store.records()
    reference = records[REFERENCE_TRIAL]
    shown = {BEST: winner} | ({DEFAULTS: reference} if reference.state == "complete" else {})
    # Rebuilt and verified before any target is opened.
    trained = {
        (pair.name, role): trained_classifier(plan, record, source)
        for pair, source in zip(study.pairs, study.sources, strict=True)
        for role, record in shown.items()
    }
    refitted = refit_winner(study, plan, winner) if study.refits else {}
    registered = [
        _registered(study, winner, source, refitted, trained[source.pair_name, BEST]) for source in study.sources
    ]
    print("\nFitting spectral floors on the same training pixels.", flush=True)
    floors = {
        pair.name: fit_floors(model.source, seed=study.arguments.seed, normalizations=allowed_normalizations(pair))
        for pair, model in zip(study.pairs, registered, strict=True)
    }
    times = store.count_opening()
    again = "" if times == 1 else f" They have been before: this is closing number {times}."
    print(f"\nClosing the study: target scenes are scored now.{again}", flush=True)

    folder = study.directory / "report"
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    largest: dict[str, float] = {}
    counts: dict[str, dict[str, FieldCounts]] = {pair.name: {} for pair in study.pairs}
    verdicts: list[Verdict] = []
    for recipe, pair, source, model in zip(study.recipes, study.pairs, study.sources, registered, strict=True):
        door = open_target(recipe)
        largest[pair.name] = door.largest_class_share()
        truth, found = door.ground_truth(), counts[pair.name]
        networks = [Network(role, record, trained[pair.name, role]) for role, record in shown.items()]
        if pair.name in refitted:
            networks.insert(1, Network(REFITTED, winner, refitted[pair.name].classifier))
        for network in networks:
            record, normalization = network.record, fitted_normalization(study.method, network.record, source)
            cube = normalization.apply(pair.target.cube)
            class_map = map_scene(network.classifier, cube, patch_size=record.config["patch_size"], device="cpu")
            scores = door.score(class_map)
            found[network.role] = FieldCounts.of_map(truth, class_map, num_classes=len(pair.class_names))
            is_refit = network.role == REFITTED
            rows.append(
                score_row(
                    pair.name,
                    network.role,
                    scores,
                    validation=None if is_refit else _validation(record, pair.name),
                    normalization=normalization.name,
                    seconds=refitted[pair.name].seconds if is_refit else _trained_s(record, pair.name),
                )
            )
            if network.role == model.role:
                title = f"{study.method}, {pair.name}, {_unseen(pair)}, profile {study.profile.name}"
                draw_pair(folder, pair, title=title, scores=scores, class_map=class_map, truth=truth)
                draw_subpixels(folder, pair, network.classifier, cube, normalization=normalization, title=title)
        for floor in floors[pair.name]:
            found[floor.title] = count_floor(floor, pair, truth)
            rows.append(floor_row(pair.name, floor, found[floor.title]))
        rows.append(_majority_row(pair, source, door))
        verdicts.append(Verdict.of(pair.name, found[model.role], {f.title: found[f.title] for f in floors[pair.name]}))
    draw_optimization_history(folder / "optimization_history.png", store.study)
    if not draw_parameter_importances(
        folder / "parameter_importances.png",
        store.study,
        epoch=min(study.profile.grace_epochs, study.profile.epochs),
    ):
        print("Too few trials for a picture of parameter importances (at least 4).")

    states = {state: sum(record.state == state for record in records) for state in ("complete", "pruned", "fail")}
    separation = study.separation()
    units = stated_units(study.pairs)
    summary = {
        "study": study.name,
        "method": study.method,
        "profile": study.profile.name,
        "epochs": study.profile.epochs,
        "selection": SELECTION,
        "trials": {**states, "asked for": study.profile.num_samples, "ended by time budget": out_of_time},
        "best": {"trial": winner.number, "config": dict(winner.config), "weights": dict(winner.weights)},
        "verdicts": [verdict.as_dict() for verdict in verdicts],
        "registered": {model.source.pair_name: model.role for model in registered},
        "registered weights": {model.source.pair_name: weights_hash(model.classifier) for model in registered},
        "floors": {pair: [describe_floor(floor) for floor in fitted] for pair, fitted in floors.items()},
        "defaults": {
            "trial": reference.number,
            "state": reference.state,
            "reason": reference.reason,
            "config": dict(reference.config),
        },
        "largest target class": largest,
        "times the target was opened": times,
        "scores": rows,
        "separation": separation,
        "units": units,
        "tags": study.tags(),
        "changes of code or data": store.changes,
        "wall_s": round(time.monotonic() - started, 1),
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2))
    words = "\n".join(verdict.sentence for verdict in verdicts) + "\n"
    units_told = [f"{line}\n" for line in unit_lines(units)]
    tables = (words, render_table(rows, profile=study.profile.name), *units_told, render_separation(separation))
    table = "\n".join(filter(None, tables))
    (folder / "scores.md").write_text(table)
    write_evidence(folder, study, plan, winner=winner, counts=counts)
    write_report_or_tell(study.directory)
    try:
        models = [
            _log_model(study, mirror, winner, model, recipe, source, rows, verdict)
            for recipe, model, source, verdict in zip(study.recipes, registered, study.sources, verdicts, strict=True)
        ]
        log_results(
            mirror,
            shown=shown,
            best=BEST,
            summary=summary,
            table=table,
            records=records,
            models=models,
            separation=separation_metrics(separation),
            folder=folder,
        )
    except Exception as error:  # whatever MLflow or its server raises: the results are on disk
        raise StudyError(
            f"the study's results lie in {folder}, but MLflow at {mirror.backend.uri} could not be told "
            f"({first_line(error)}). When it is back, --resume tells it."
        ) from error
    mirror.close("FINISHED")
    store.mark_closed()
    print(render_screen(summary, models=models, mirror=mirror, folder=folder))


def trained_classifier(plan: SearchPlan, record: TrialRecord, source: SourceDomain) -> torch.nn.Module:
    """Rebuild one trained classifier of a finished trial from its last checkpoint, on the CPU.

    Raises:
        StudyError: The checkpoint is missing, or does not hold the weights the trial reported.
    """
    location = plan.checkpoint_of(record.number)
    found = CheckpointFolder(location).load_latest()
    if found is None or found[0] != record.last_epoch:
        raise StudyError(
            f"trial {record.number} ended at epoch {record.last_epoch}, but {location} holds "
            + ("no checkpoint" if found is None else f"epoch {found[0]}")
            + ". On several machines --storage-path must be a directory all of them share, or a URI such as s3://…"
        )
    method = find_method(plan.method)
    classifier = method.build_classifier(
        method.config_type.from_mapping(record.config),
        bands=source.scene.num_bands,
        classes=source.scene.num_classes,
    )
    classifier.load_state_dict(found[1]["pairs"][source.pair_name]["classifier"])
    if (got := weights_hash(classifier)) != record.weights[source.pair_name]:
        raise StudyError(
            f"the checkpoint of trial {record.number} for {source.pair_name} has weights {got}, "
            f"the trial reported {record.weights[source.pair_name]}; the study can't be closed on it."
        )
    return classifier


def fitted_normalization(method: str, record: TrialRecord, source: SourceDomain) -> Normalization:
    """What a trial's configuration names, fitted on the source as in training."""
    config = find_method(method).config_type.from_mapping(record.config)
    return Normalization.fit(config.normalization, source.scene.cube)


@dataclass(frozen=True)
class Network:
    """One network that is scored on a target."""

    role: str
    record: TrialRecord
    classifier: torch.nn.Module


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The network that is registered for a pair.

    Args:
        role: What tables call it.
        source: The pair's source with the pixels it trained on.
        classifier: The network, on the CPU.
        predicted: (M,) what the network that was chosen answers on its validation pixels, where that is another.
    """

    role: str
    source: SourceDomain
    classifier: torch.nn.Module
    predicted: NDArray[np.int64] | None


def _registered(
    study: PreparedStudy,
    winner: TrialRecord,
    source: SourceDomain,
    refitted: Mapping[str, Refitted],
    chosen: torch.nn.Module,
) -> Registered:
    if source.pair_name not in refitted:
        return Registered(role=BEST, source=source, classifier=chosen, predicted=None)
    normalized = fitted_normalization(study.method, winner, source).apply(source.scene.cube)
    sampler = PatchSampler(normalized, patch_size=winner.config["patch_size"], device="cpu")
    return Registered(
        role=REFITTED,
        source=source_on_every_field(source, pixels_per_class=study.refit_pixels_per_class),
        classifier=refitted[source.pair_name].classifier,
        predicted=predict_pixels(chosen, sampler, source.split.validation),
    )


def _validation(record: TrialRecord, pair_name: str) -> dict[str, float]:
    metrics = record.epochs[record.last_epoch]
    return {figure: metrics[f"val/{pair_name}/{figure}"] for figure in FIGURES}


def _majority_row(pair: ScenePair, source: SourceDomain, door: TargetScorer) -> dict[str, Any]:
    """What always answering the source's largest class would score."""
    largest = int(np.argmax(source.scene.class_counts))
    truth = source.labels_of(source.split.validation)
    validation = Scores.from_labels(truth, np.full_like(truth, largest), num_classes=source.scene.num_classes)
    target = door.score(np.full(pair.target.shape, largest + 1))
    return score_row(pair.name, MAJORITY, target, validation=validation.as_dict())


def _trained_s(record: TrialRecord, pair_name: str) -> float | None:
    # A trial of an earlier version has none.
    return record.epochs[record.last_epoch].get(f"time/{pair_name}/trained_s")


def _unseen(pair: ScenePair) -> str:
    if pair.test_split is None:
        return "target never seen"
    return "test pixels never trained on" + (", by a split that leaks" if pair.test_split.leaks else "")


def _log_model(
    study: PreparedStudy,
    mirror: SearchRun,
    record: TrialRecord,
    registered: Registered,
    recipe: Recipe,
    source: SourceDomain,
    rows: Sequence[Mapping[str, Any]],
    verdict: Verdict,
) -> LoggedModel:
    classifier, is_refit = registered.classifier, registered.role == REFITTED
    description = ModelDescription.of(
        method=study.method,
        config=find_method(study.method).config_type.from_mapping(record.config),
        source=source.scene,
        normalization=fitted_normalization(study.method, record, source),
        profile=study.profile.name,
        study=study.name,
    )
    tags = {
        "study": study.name,
        "profile": study.profile.name,
        SELECTION_TAG: "source validation, no target label used",
        PAIR_TAG: source.pair_name,
        "val.aa": f"{_validation(record, source.pair_name)['aa']:.4f}",
        # The validation above is that of the trial which was chosen.
        "trained_on": "pixels of every labelled field" if is_refit else "the trial's training pixels",
        "verdict": verdict.outcome.value,
    }
    client, run_id = mirror.client, mirror.child_run_id(record.number)
    name = registered_name(study.method, source.scene.name)
    # A smoke test's model means nothing and takes nobody's place.
    is_smoke_test = study.profile.name == SMOKE_TEST
    alias = SMOKE_TEST if is_smoke_test else alias_of_new(client, name, weights_hash(classifier))
    model = log_and_register(
        client, run_id=run_id, alias=alias, classifier=classifier, description=description, tags=tags
    )
    origin = study.tags()
    hashes = {what: origin[f"{what}.hash.{source.pair_name}"] for what in ("source", "split", "target")}
    TrainedOn.of(
        recipe,
        source,
        source_hash=hashes["source"],
        registered=registered.source,
        predicted=registered.predicted,
    ).save(client, run_id)
    by_role = {row["role"]: row for row in rows if row["pair"] == source.pair_name}
    text = version_description(
        verdict=verdict.sentence,
        selection=SELECTION,
        profile=study.profile.name,
        validation=by_role[BEST]["validation"],
        target=by_role[registered.role]["target"],
        pair=source.pair_name,
        data=hashes,
        origin=f"study {study.name}, trial {record.number}"
        + (
            f", trained once more on {len(registered.source.split.train)} pixels of every labelled field"
            if is_refit
            else ""
        ),
        code=origin,
        units=origin.get(f"units.{source.pair_name}"),
    )
    describe_version(client, model.name, model.version, text)
    return model
