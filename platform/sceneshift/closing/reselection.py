"""A closed study's choice, table and report made again under another strategy, from its records, without training."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sceneshift.closing.choosing import choice_as_dict, choice_sentence, seen_of_target, target_labels
from sceneshift.closing.closed_study import checkpoints_of, load_study_data, require_closed, trial_spec
from sceneshift.closing.estimates import estimate_pairs, estimate_sentence, estimates_as_dict
from sceneshift.closing.scoring import Progress, ScoredPair, fit_pair_floors, no_progress, score_pair
from sceneshift.closing.search import render_table
from sceneshift.closing.trained import TrainedNetwork
from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.report.study_page import write_study_report
from sceneshift.report.study_record import BEST, DEFAULTS, EVIDENCE, STORE_FILE, SUMMARY, StudyRecord
from sceneshift.search.trial_record import TrialRecord
from sceneshift.search.trial_store import count_opening
from sceneshift.selection.accuracy_estimate import AccuracyEstimate
from sceneshift.selection.candidates import Choice
from sceneshift.selection.outputs import pooled_trial
from sceneshift.selection.registry import find_strategy
from sceneshift.selection.strategy import Setting, Strategy
from sceneshift.selection.views import Reads
from sceneshift.splits.source import by_pair
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.data import LoadedData


@dataclass(frozen=True, kw_only=True)
class Reselection:
    """The result of a study under another strategy.

    Args:
        choice: The chosen trial and epoch.
        sentences: What was chosen and estimated, and, if the target could not be scored, why.
        page: The report; None if the weights of the choice were not kept, so that nothing could be scored.
    """

    choice: Choice
    sentences: tuple[str, ...]
    page: Path | None


def reselect(directory: Path, name: str, *, out: Path | None = None, progress: Progress = no_progress) -> Reselection:
    """Choose again among a closed study's trials, and score the choice on the targets if its weights were kept.

    Nothing is trained or registered, so the table holds the chosen network itself and no refit. The study's own report
    is left as it is. Reading the target's labels is counted in the trial store, for the oracle twice.

    Args:
        directory: The study's directory.
        name: The strategy.
        out: Where summary, pictures and report are written; by default ``report-<name>/`` in the study's folder.
        progress: Called with the progress of maps.

    Raises:
        InvalidInputError: There is no such strategy, or the study lacks what it needs.
        StudyError: The study is not closed, its data has changed, a record is missing or damaged, or nothing has a
            finite score.
    """
    record, strategy = StudyRecord.read(directory), find_strategy(name)
    folder = out or directory / f"report-{name}"
    if folder.resolve() == record.report_folder.resolve():
        raise InvalidInputError(f"{folder} holds the study's own report; name another folder by --out.")
    strategy.check(_setting(record))
    require_closed(record)
    data = load_study_data(record)
    labels = None
    if strategy.reads is Reads.LABELS:
        count_opening(directory / STORE_FILE)
        labels = target_labels(data.recipes)
    choice = strategy.choose(
        [
            pooled_trial(
                strategy,
                number=trial.number,
                configuration=json.dumps(dict(trial.config), sort_keys=True),
                is_complete=trial.is_complete,
                epochs=trial.epochs,
                location=checkpoints_of(record, trial),
                labels=labels,
            )
            for trial in record.records
        ]
    )
    if choice is None:
        raise StudyError(f"selection {name!r} gives no trial that ran to its end a finite score.")
    winner = next(trial for trial in record.records if trial.number == choice.trial)
    location = checkpoints_of(record, winner)
    is_estimated = record.settings.get("target_access", "none") != "none"
    estimates = estimate_pairs(location, choice, data.sources) if is_estimated else {}
    choice_entry = {**choice_as_dict(strategy, choice), "steered by": record.metric}
    sentences = (choice_sentence(choice_entry), *(estimate_sentence(*found) for found in estimates.items()))
    if CheckpointFolder(location).load(choice.epoch) is None:
        missing = (
            f"The weights of trial {choice.trial}, epoch {choice.epoch} were not kept: the study ran with --selection "
            f"{record.settings['strategy']}, which keeps others. To score them, train again with --selection {name}."
        )
        return Reselection(choice=choice, sentences=(*sentences, missing), page=None)
    networks = _load_networks(record, winner, choice, data)
    floors = {pair.name: fit_pair_floors(pair, networks[pair.name], seed=data.spec.seed) for pair in data.pairs}
    times = count_opening(directory / STORE_FILE)
    folder.mkdir(parents=True, exist_ok=True)
    scored = [
        score_pair(
            recipe,
            pair,
            [networks[pair.name]],
            registered=networks[pair.name],
            floors=floors[pair.name],
            folder=folder,
            progress=progress,
            title=f"{record.method}, {pair.name}, {seen_of_target(strategy, pair)}, chosen again",
        )
        for recipe, pair in zip(data.recipes, data.pairs, strict=True)
    ]
    summary = _summary(record, strategy, winner, choice_entry, sentences, estimates, scored, times)
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2))
    (folder / EVIDENCE).write_text(json.dumps(_evidence(record, scored), indent=1))
    (folder / "scores.md").write_text(render_table(summary))
    return Reselection(choice=choice, sentences=sentences, page=write_study_report(directory, folder, closed_in=folder))


def _setting(record: StudyRecord) -> Setting:
    settings = record.settings
    return Setting(
        record=bool(settings.get("record", False)),
        target_access=str(settings.get("target_access", "none")),
        split=str(settings["split"]),
        num_seeds=1,
        num_candidates=sum(len(trial.epochs) for trial in record.records if trial.is_complete),
    )


def _load_networks(
    record: StudyRecord, winner: TrialRecord, choice: Choice, data: LoadedData
) -> dict[str, TrainedNetwork]:
    return {
        pair: TrainedNetwork.load(
            BEST,
            trial_spec(record, winner),
            sources,
            checkpoints_of(record, winner),
            epoch=choice.epoch,
            averaged=choice.is_average,
        )
        for pair, sources in by_pair(data.sources).items()
    }


def _summary(
    record: StudyRecord,
    strategy: Strategy[Any],
    winner: TrialRecord,
    choice_entry: Mapping[str, Any],
    sentences: tuple[str, ...],
    estimates: Mapping[str, AccuracyEstimate],
    scored: list[ScoredPair],
    times: int,
) -> dict[str, Any]:
    """The study's summary with what the choice decides replaced."""
    before = record.summary
    assert before is not None
    kept = [row for row in before["scores"] if row["role"] == DEFAULTS]
    names = {pair.pair.name for pair in scored}
    return {
        **before,
        "selection": strategy.rule,
        "choice": dict(choice_entry),
        "choice sentences": list(sentences),
        "estimates": estimates_as_dict(estimates),
        "best": {"trial": winner.number, "config": dict(winner.config), "weights": dict(winner.weights)},
        "verdicts": [pair.verdict.as_dict() for pair in scored],
        "registered": dict.fromkeys(names, BEST),
        "registered weights": {pair.pair.name: weights_hash(pair.registered.classifier) for pair in scored},
        "floors": {pair.pair.name: list(pair.floors) for pair in scored},
        "times the target was opened": times,
        "scores": [*(row for pair in scored for row in pair.rows), *kept],
    }


def _evidence(record: StudyRecord, scored: list[ScoredPair]) -> dict[str, Any]:
    before: dict[str, Any] = json.loads(json.dumps(record.evidence or {"pairs": {}}))
    for pair in scored:
        noted = before["pairs"].setdefault(pair.pair.name, {"fields": {}, "splits": {}})
        defaults = {role: fields for role, fields in noted["fields"].items() if role == DEFAULTS}
        noted["fields"] = {
            **{
                role: {"classes": found.classes.tolist(), "predicted": found.predicted.tolist()}
                for role, found in pair.counts.items()
            },
            **defaults,
        }
    return before
