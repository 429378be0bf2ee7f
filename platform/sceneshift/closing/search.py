"""Closing a search: winner and defaults are scored on the targets, whose labels are read for it, which is counted."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sceneshift.catalogue.units import stated_units
from sceneshift.closing.choosing import choice_as_dict, choice_sentence, choose_trial, seen_of_target
from sceneshift.closing.estimates import estimate_pairs, estimate_sentence, estimates_as_dict, held_back_of
from sceneshift.closing.refit import refit_winner
from sceneshift.closing.registering import register
from sceneshift.closing.report_facts import write_report_facts
from sceneshift.closing.scoring import Progress, ScoredPair, fit_pair_floors, score_pair
from sceneshift.closing.trained import TrainedNetwork
from sceneshift.errors import StudyError, first_line
from sceneshift.execution.executor import Executor, Placement, StopRequest
from sceneshift.report.pictures import draw_optimization_history, draw_parameter_importances
from sceneshift.report.score_table import render_scores
from sceneshift.report.separation import render_separation, separation_metrics, separation_of
from sceneshift.report.study_page import write_report_or_note
from sceneshift.report.study_record import BEST, DEFAULTS, REFITTED
from sceneshift.report.units import unit_lines
from sceneshift.search.prepared import SMOKE_TEST, PreparedSearch
from sceneshift.search.trial_record import REFERENCE_TRIAL, TrialRecord
from sceneshift.search.trial_store import TrialStore
from sceneshift.selection.candidates import Choice
from sceneshift.tracking.held_back import HeldBack
from sceneshift.tracking.models import LoggedModel, registered_name
from sceneshift.tracking.registry import alias_of_new
from sceneshift.tracking.results import log_results
from sceneshift.tracking.search_run import SearchRun
from sceneshift.training.checkpoint import weights_hash

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClosedSearch:
    """The result of closing a search.

    Args:
        choice: The chosen trial and epoch.
        summary: As in ``summary.json``.
        models: The registered models, one per pair.
        folder: The folder with pictures and tables.
    """

    choice: Choice
    summary: Mapping[str, Any]
    models: Sequence[LoggedModel]
    folder: Path


def close_search(
    search: PreparedSearch,
    store: TrialStore,
    run: SearchRun,
    executor: Executor,
    *,
    placement: Placement,
    stop: StopRequest,
    progress: Progress,
    tags: Mapping[str, str],
    command: str,
    out_of_time: bool,
    started: float,
) -> ClosedSearch:
    """Score winner and defaults on every target, draw, log and register.

    Args:
        search: The search.
        store: Its trials.
        run: Its MLflow runs, up to date.
        executor: The executor that ran its trials.
        placement: The resources of the trials.
        stop: Ends the refit when asked to.
        progress: Called with the progress of refit and maps.
        tags: Tags of the search's run.
        command: The command line of the search, for the report.
        out_of_time: Whether the time budget ended the search.
        started: When it began (``time.monotonic``).

    Raises:
        StudyError: No trial ran to its end, a checkpoint is missing or damaged, or MLflow can't be written to; the
            search can be resumed.
    """
    records = store.records()
    choice = choose_trial(search, store)
    winner, reference = records[choice.trial], records[REFERENCE_TRIAL]
    shown = {BEST: winner} | ({DEFAULTS: reference} if reference.is_complete else {})
    # Restored and verified before any target is read.
    networks = _load_networks(search, shown, choice)
    # Before any target is opened, from its unlabelled pixels alone.
    is_estimated = search.spec.target_access != "none"
    location = search.checkpoints_of(winner.number)
    estimates = estimate_pairs(location, choice, search.data.sources) if is_estimated else {}
    held_back = (
        held_back_of(location, choice, search.data.sources, of_this_network=not search.spec.refits)
        if search.spec.record
        else {}
    )
    refitted = (
        refit_winner(search, executor, winner, epoch=choice.epoch, stop=stop, progress=progress)
        if search.spec.refits
        else {}
    )
    for pair, network in refitted.items():
        networks[pair].insert(1, network)
    registered = {name: refitted.get(name, found[0]) for name, found in networks.items()}
    _LOG.info("\nFitting spectral floors on the same training pixels.")
    floors = {p.name: fit_pair_floors(p, registered[p.name], seed=search.spec.seed) for p in search.data.pairs}
    times = store.count_opening()
    again = "" if times == 1 else f" They have been before: this is closing number {times}."
    _LOG.info("\nClosing the study: target scenes are scored now.%s", again)

    folder = search.directory / "report"
    folder.mkdir(parents=True, exist_ok=True)
    scored = [
        score_pair(
            recipe,
            pair,
            networks[pair.name],
            registered=registered[pair.name],
            floors=floors[pair.name],
            folder=folder,
            progress=progress,
            title=", ".join(
                (search.spec.method, pair.name, seen_of_target(search.strategy, pair), f"profile {search.profile.name}")
            ),
        )
        for recipe, pair in zip(search.data.recipes, search.data.pairs, strict=True)
    ]
    draw_optimization_history(folder / "optimization_history.png", store.study)
    if not draw_parameter_importances(
        folder / "parameter_importances.png",
        store.study,
        epoch=min(search.profile.grace_epochs, search.profile.epochs),
    ):
        _LOG.info("Too few trials for a picture of parameter importances.")
    rows = [row for pair in scored for row in pair.rows]
    separation = [row for pair in search.data.pairs for row in separation_of(pair, search.data.sources_of(pair.name))]
    units, choice_entry = stated_units(search.data.pairs), choice_as_dict(search.strategy, choice)
    sentences = [choice_sentence(choice_entry), *(estimate_sentence(*found) for found in estimates.items())]
    summary = {
        "study": search.spec.name,
        "method": search.spec.method,
        "profile": search.profile.name,
        "epochs": search.profile.epochs,
        "selection": search.strategy.rule,
        "choice": choice_entry,
        "choice sentences": sentences,
        "estimates": estimates_as_dict(estimates),
        "trial spec": search.trial_spec(winner).as_dict(),
        "trials": {
            **{state: sum(record.state == state for record in records) for state in ("complete", "pruned", "fail")},
            "asked for": search.profile.num_samples,
            "ended by time budget": out_of_time,
        },
        "best": {"trial": winner.number, "config": dict(winner.config), "weights": dict(winner.weights)},
        "verdicts": [pair.verdict.as_dict() for pair in scored],
        "registered": {name: network.role for name, network in registered.items()},
        "model names": {name: _model_name(search, name) for name in registered},
        "registered weights": {name: weights_hash(network.classifier) for name, network in registered.items()},
        "floors": {pair.pair.name: list(pair.floors) for pair in scored},
        "defaults": {
            "trial": reference.number,
            "state": reference.state,
            "reason": reference.reason,
            "config": dict(reference.config),
        },
        "largest target class": {pair.pair.name: pair.largest_class_share for pair in scored},
        "times the target was opened": times,
        "scores": rows,
        "separation": separation,
        "units": units,
        "tags": dict(tags),
        "changes of code or data": store.changes,
        "wall_s": round(time.monotonic() - started, 1),
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2))
    table = render_table(summary)
    (folder / "scores.md").write_text(table)
    write_report_facts(
        folder,
        search,
        placement,
        winner=winner,
        counts={pair.pair.name: pair.counts for pair in scored},
        command=command,
    )
    write_report_or_note(search.directory)
    try:
        models = [
            _register(search, run, winner, pair, networks[pair.pair.name][0], held_back=held_back.get(pair.pair.name))
            for pair in scored
        ]
        log_results(
            run,
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
            f"the study's results are in {folder}, but MLflow at {run.backend.shown} could not be updated "
            f"({first_line(error)}). When it is back, --resume updates it."
        ) from error
    run.close("FINISHED")
    store.mark_closed()
    return ClosedSearch(choice=choice, summary=summary, models=models, folder=folder)


def render_table(summary: Mapping[str, Any]) -> str:
    """Verdicts, choice, estimates, scores, units and separation of a closing, as Markdown."""
    sentences = [*(verdict["sentence"] for verdict in summary["verdicts"]), *summary["choice sentences"]]
    parts = (
        "\n".join(sentences) + "\n",
        render_scores(summary["scores"], profile=summary["profile"]),
        *(f"{line}\n" for line in unit_lines(summary["units"])),
        render_separation(summary["separation"]),
    )
    return "\n".join(filter(None, parts))


def _load_networks(
    search: PreparedSearch, shown: Mapping[str, TrialRecord], choice: Choice
) -> dict[str, list[TrainedNetwork]]:
    # Hashes are reported of the last epoch's own weights.
    is_last = choice.epoch == shown[BEST].last_epoch and not choice.is_average
    return {
        pair.name: [
            TrainedNetwork.load(
                role,
                search.trial_spec(record),
                search.data.sources_of(pair.name),
                search.checkpoints_of(record.number),
                epoch=choice.epoch if role == BEST else record.last_epoch,
                weights=None if role == BEST and not is_last else record.weights[pair.name],
                averaged=role == BEST and choice.is_average,
            )
            for role, record in shown.items()
        ]
        for pair in search.data.pairs
    }


def _register(
    search: PreparedSearch,
    run: SearchRun,
    winner: TrialRecord,
    scored: ScoredPair,
    chosen: TrainedNetwork,
    *,
    held_back: HeldBack | None,
) -> LoggedModel:
    network, profile = scored.registered, search.profile.name
    is_refit = network.role == REFITTED
    sources = search.data.sources_of(network.pair_name)
    assert chosen.validation is not None
    name = _model_name(search, network.pair_name)
    # A smoke test's model is meaningless and must not replace another.
    is_smoke_test = profile == SMOKE_TEST
    alias = SMOKE_TEST if is_smoke_test else alias_of_new(run.client, name, weights_hash(network.classifier))
    more = f", trained once more on {sum(network.training_counts())} pixels of every labelled field"
    return register(
        run.client,
        run.child_run_id(winner.number),
        scored,
        recipe=next(r for r in search.data.recipes if r.name == network.pair_name),
        sources=sources,
        hashes=search.data.hashes(),
        alias=alias,
        profile=profile,
        made_by=search.spec.name,
        origin=f"study {search.spec.name}, trial {winner.number}" + (more if is_refit else ""),
        selection=search.strategy.rule,
        validation=chosen.validation,
        predicted=chosen.predict_sources([source.split.validation for source in sources]) if is_refit else None,
        held_back=None if held_back is None else replace(held_back, of_this_network=not is_refit),
        tags={
            "study": search.spec.name,
            "profile": profile,
            # The validation scores are those of the chosen trial.
            "val.aa": f"{chosen.validation['aa']:.4f}",
            "trained_on": "pixels of every labelled field" if is_refit else "the trial's training pixels",
        },
    )


def _model_name(search: PreparedSearch, pair: str) -> str:
    return registered_name(search.spec.method, [source.scene.name for source in search.data.sources_of(pair)])
