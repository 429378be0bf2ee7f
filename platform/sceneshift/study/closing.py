"""Closing a study: the target is looked at, once, for the winner and the defaults.

This is the only module that opens the door to target labels (a test holds that).
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sceneshift.errors import StudyError
from sceneshift.methods.registry import find_method
from sceneshift.report.pictures import (
    draw_class_map,
    draw_confusion,
    draw_optimization_history,
    draw_parameter_importances,
)
from sceneshift.report.screen import render_screen, render_table
from sceneshift.scenes.pair import ScenePair
from sceneshift.scenes.source import SourceDomain
from sceneshift.scenes.target import TargetScorer, open_target
from sceneshift.scores import Scores
from sceneshift.search.ledger import REFERENCE_TRIAL, Ledger, TrialRecord
from sceneshift.search.tuner import SearchPlan
from sceneshift.study.preparation import PreparedStudy
from sceneshift.tracking.mirror import StudyMirror
from sceneshift.tracking.models import LoggedModel, log_champion
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.evaluation import map_scene
from sceneshift.training.loop import PairRun

_FIGURES = ("oa", "aa", "kappa")
WINNER, DEFAULTS, MAJORITY = "best", "defaults", "majority class"


def close_study(
    study: PreparedStudy,
    plan: SearchPlan,
    ledger: Ledger,
    mirror: StudyMirror,
    *,
    winner: TrialRecord,
    out_of_time: bool,
    started: float,
) -> None:
    """Score winner and defaults on every target, draw, log, register, and print the last screen.

    Args:
        study: The study.
        plan: Its search.
        ledger: Its trials.
        mirror: Its MLflow runs, caught up.
        winner: The trial chosen on source validation.
        out_of_time: Whether the time budget ended the search.
        started: When the command began (``time.monotonic``).
    """
    times = ledger.count_closing()
    first = "for the first time" if times == 1 else f"for the {times}th time: trials were added since the last"
    print(f"\nClosing the study: target scenes are scored now, {first}.", flush=True)
    folder = study.directory / "report"
    folder.mkdir(parents=True, exist_ok=True)
    records = ledger.records()
    reference = records[REFERENCE_TRIAL]
    shown = {WINNER: winner}
    if reference.state == "complete":
        shown[DEFAULTS] = reference
    rows: list[dict[str, Any]] = []
    models: list[LoggedModel] = []
    for pair, source in zip(study.pairs, study.sources, strict=True):
        door = open_target(pair.name)
        for role, record in shown.items():
            run = trained_run(plan, record, source)
            class_map = map_scene(run.classifier, pair.target.cube, patch_size=run.config.patch_size, device="cpu")
            scores = door.score(class_map)
            rows.append(_row(pair, role, _validation(record, pair.name), scores.as_dict()))
            for figure, value in scores.as_dict().items():
                mirror.client.log_metric(mirror.child_run_id(record.number), f"target/{pair.name}/{figure}", value)
            if role == WINNER:
                _draw_pair(folder, study, pair, door, scores, class_map)
                models.append(_log_model(study, mirror, record, run, source, scores))
        rows.append(_majority_row(pair, source, door))
    draw_optimization_history(folder / "optimization_history.png", ledger.study)
    draw_parameter_importances(folder / "parameter_importances.png", ledger.study, epoch=study.profile.grace_epochs)

    states = {state: sum(record.state == state for record in records) for state in ("complete", "pruned", "fail")}
    summary = {
        "study": study.name,
        "method": study.method,
        "profile": study.profile.name,
        "selection": "highest mean validation AA on the sources, last epoch; target labels never read",
        "trials": {**states, "asked for": study.profile.num_samples, "ended by time budget": out_of_time},
        "best": {"trial": winner.number, "config": dict(winner.config), "weights": dict(winner.weights)},
        "defaults": {"trial": reference.number, "state": reference.state, "config": dict(reference.config)},
        "largest target class": {pair.name: open_target(pair.name).largest_class_share() for pair in study.pairs},
        "times the target was scored": times,
        "scores": rows,
        "models": [{"name": model.name, "version": model.version} for model in models],
        "tags": study.tags(),
        "wall_s": round(time.monotonic() - started, 1),
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2))
    (folder / "scores.md").write_text(render_table(rows, profile=study.profile.name))
    mirror.client.log_artifacts(mirror.run_id, str(folder), "report")
    for pair_row in rows:
        if pair_row["role"] == WINNER:
            for figure in _FIGURES:
                mirror.client.log_metric(
                    mirror.run_id, f"target/{pair_row['pair']}/{figure}", pair_row["target"][figure]
                )
    assert winner.value is not None
    mirror.client.log_metric(mirror.run_id, "val/aa", winner.value)
    mirror.client.set_tag(mirror.run_id, "best.trial", str(winner.number))
    mirror.close("FINISHED")
    print(render_screen(summary, models=models, mirror=mirror, folder=folder))


def trained_run(plan: SearchPlan, record: TrialRecord, source: SourceDomain) -> PairRun:
    """Rebuild one trained network of a finished trial from its last checkpoint, on the CPU.

    Raises:
        StudyError: The checkpoint is missing, or does not hold the weights the trial reported.
    """
    location = plan.checkpoint_of(record.number)
    found = CheckpointFolder(location).load_latest()
    if found is None or found[0] != record.last_epoch:
        raise StudyError(
            f"trial {record.number} ended at epoch {record.last_epoch}, but {location} holds "
            + ("no checkpoint." if found is None else f"epoch {found[0]}.")
        )
    run = PairRun(plan.order(record).plan(), source, torch.device("cpu"))
    run.load_state_dict(found[1]["pairs"][source.pair_name])
    if (got := weights_hash(run.classifier)) != record.weights[source.pair_name]:
        raise StudyError(
            f"the checkpoint of trial {record.number} for {source.pair_name} has weights {got}, "
            f"the trial reported {record.weights[source.pair_name]}; the study can't be closed on it."
        )
    return run


def _row(pair: ScenePair, role: str, validation: Mapping[str, float], target: Mapping[str, float]) -> dict[str, Any]:
    return {"pair": pair.name, "role": role, "validation": dict(validation), "target": dict(target)}


def _validation(record: TrialRecord, pair_name: str) -> dict[str, float]:
    metrics = record.epochs[record.last_epoch]
    return {figure: metrics[f"val/{pair_name}/{figure}"] for figure in _FIGURES}


def _majority_row(pair: ScenePair, source: SourceDomain, door: TargetScorer) -> dict[str, Any]:
    """What always answering the source's largest class would score."""
    largest = int(np.argmax(source.scene.class_counts))
    truth = source.labels_of(source.split.validation)
    validation = Scores.from_labels(truth, np.full_like(truth, largest), num_classes=source.scene.num_classes)
    target = door.score(np.full(pair.target.shape, largest + 1))
    return _row(pair, MAJORITY, validation.as_dict(), target.as_dict())


def _draw_pair(
    folder: Path,
    study: PreparedStudy,
    pair: ScenePair,
    door: TargetScorer,
    scores: Scores,
    class_map: np.ndarray[Any, np.dtype[np.int64]],
) -> None:
    title = (
        f"{study.method}, {pair.name}, target never seen, profile {study.profile.name}: "
        f"OA {100 * scores.oa:.1f}, AA {100 * scores.aa:.1f}, kappa {scores.kappa:.2f}"
    )
    draw_confusion(folder / f"confusion_{pair.name}.png", scores, class_names=pair.class_names, title=title)
    draw_class_map(
        folder / f"map_{pair.name}.png",
        class_map,
        door.ground_truth(),
        class_names=pair.class_names,
        title=title,
    )


def _log_model(
    study: PreparedStudy,
    mirror: StudyMirror,
    record: TrialRecord,
    run: PairRun,
    source: SourceDomain,
    scores: Scores,
) -> LoggedModel:
    config = find_method(study.method).config_type.from_mapping(record.config)
    description = {
        "method": study.method,
        "config": {name: getattr(config, name) for name in config.__dataclass_fields__},
        "bands": source.scene.num_bands,
        "class_names": list(source.scene.class_names),
        "source_scene": source.scene.name,
        "normalization": list(source.scene.normalization),
        "profile": study.profile.name,
        "study": study.name,
    }
    tags = {
        "study": study.name,
        "profile": study.profile.name,
        "selection": "source validation, target never read",
        "val.aa": f"{_validation(record, source.pair_name)['aa']:.4f}",
        "target.oa": f"{scores.oa:.4f}",
    }
    return log_champion(
        mirror,
        run_id=mirror.child_run_id(record.number),
        classifier=run.classifier,
        description=description,
        tags=tags,
    )
