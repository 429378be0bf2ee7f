"""Writing a study's results to MLflow: scores, pictures, models and a summary on the study's run."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from sceneshift.search.trial_record import TrialRecord
from sceneshift.tracking.backend import artifact_content, artifact_page, model_page, run_page, trials_page
from sceneshift.tracking.key_names import key_name
from sceneshift.tracking.models import LoggedModel
from sceneshift.tracking.registry import model_id_of
from sceneshift.tracking.search_run import RANK, STATE_TAG, SearchRun

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: The scores written for each pair.
FIGURES = ("oa", "aa", "kappa")

#: Folder of a run's pictures and tables.
REPORT = "report"

#: Folder of the pictures that a description shows, and their width.
PREVIEWS, _PREVIEW_WIDTH = "description", 900

#: Pictures that the description shows, by the beginnings of their names, in this order.
_SHOWN = ("map_", "optimization_history", "parameter_importances", "confusion_")

#: The report's page, where one was written.
_REPORT_PAGE = "index.html"


def log_results(
    mirror: SearchRun,
    *,
    shown: Mapping[str, TrialRecord],
    best: str,
    summary: Mapping[str, Any],
    table: str,
    records: Sequence[TrialRecord],
    models: Sequence[LoggedModel],
    separation: Mapping[str, float],
    folder: Path,
) -> None:
    """Write a closed study's results: observed metrics are named ``target/…``, metrics used for selection ``val/…``.

    Args:
        mirror: The study's runs.
        shown: The trials that were scored on the targets, by role.
        best: The winner's role.
        summary: The results of closing, as in ``summary.json``.
        table: Its verdicts, its scores, and the separation of its splits, as Markdown.
        records: All trials.
        models: The winner's models, one per pair.
        separation: How far apart the sides of the splits are, as metrics.
        folder: The folder with pictures and tables.
    """
    client, winner = mirror.client, shown[best]
    assert winner.value is not None
    for row in summary["scores"]:
        runs = [mirror.child_run_id(shown[row["role"]].number)] if row["role"] in shown else []
        # The study's own figures are those of the network that is registered.
        runs += [mirror.run_id] if row["role"] == summary["registered"][row["pair"]] else []
        for run_id in runs:
            for figure in FIGURES:
                client.log_metric(run_id, key_name(f"target/{row['pair']}/{figure}"), row["target"][figure])
    for verdict in summary["verdicts"]:
        client.log_metric(mirror.run_id, key_name(f"floor/{verdict['pair']}/aa"), verdict["floor aa"])
        client.set_tag(mirror.run_id, key_name(f"verdict.{verdict['pair']}"), verdict["outcome"])
    for name, value in {mirror.metric: winner.value, **separation}.items():
        client.log_metric(mirror.run_id, key_name(name), value)
    client.set_tag(mirror.run_id, "best.trial", str(winner.number))
    client.set_tag(mirror.run_id, "best.run", mirror.child_run_id(winner.number))
    for model in models:
        client.set_tag(mirror.run_id, key_name(f"best.model.{model.name}"), f"models:/{model.name}/{model.version}")
    _link_models(client, mirror.run_id, models)
    client.log_artifacts(mirror.run_id, str(folder), REPORT)
    pairs = [row["pair"] for row in summary["scores"] if row["role"] == best]
    mirror.rank_trials(records, best=winner.number)
    mirror.arrange_trials(
        trial_columns(records, pairs, metric=mirror.metric),
        order_by=RANK,
        metrics=client.get_run(mirror.child_run_id(winner.number)).data.metrics,
    )
    pictures = _log_previews(client, mirror.run_id, folder)
    files = {path.name for path in folder.iterdir()}
    page = _REPORT_PAGE if _REPORT_PAGE in files else "scores.md"
    mirror.describe(render_note(mirror, summary=summary, table=table, models=models, page=page, pictures=pictures))


def trial_columns(records: Sequence[TrialRecord], pairs: Sequence[str], *, metric: str) -> list[str]:
    """The columns that distinguish trials: score, epochs, state, target scores, and the parameters that differ."""
    names = {name: None for record in records for name in record.config}
    varied = [name for name in names if len({repr(record.config.get(name)) for record in records}) > 1]
    return [
        "attributes.`Duration`",
        f"metrics.`{RANK}`",
        f"metrics.`{metric}`",
        "metrics.`epoch`",
        *(f"metrics.`target/{key_name(pair)}/aa`" for pair in pairs),
        *(f"params.`{name}`" for name in varied),
        f"tags.`{STATE_TAG}`",
    ]


def render_note(
    mirror: SearchRun,
    *,
    summary: Mapping[str, Any],
    table: str,
    models: Sequence[LoggedModel],
    page: str,
    pictures: Sequence[str],
) -> str:
    """Describe the study in Markdown, for its run's description: links and pictures refer to MLflow's own pages.

    Args:
        mirror: The study's runs.
        summary: The results of closing.
        table: Its verdicts, and its scores as a Markdown table.
        models: The winner's models.
        page: The main file of the report.
        pictures: Those listed in :data:`PREVIEWS`.
    """
    trials, best, times = summary["trials"], summary["best"], summary["times the target was opened"]
    here = (mirror.experiment_id, mirror.run_id)
    winner = run_page(mirror.experiment_id, mirror.child_run_id(best["trial"]))
    links = [
        f"[report]({artifact_page(*here, f'{REPORT}/{page}')})",
        f"[trials, best first]({trials_page(mirror.experiment_id)})",
        *(f"[{m.name} version {m.version}]({model_page(m.name, m.version)})" for m in models),
    ]
    parts = [
        table,  # begins with the verdicts
        f"Winner: [trial {best['trial']}]({winner}), by {summary['selection']}. "
        f"**Target labels were opened {'once' if times == 1 else f'{times} times'}**, when the study closed.",
        " · ".join(links),
        f"{trials['complete']} trials complete, {trials['pruned']} stopped early, {trials['fail']} failed; at most "
        f"{summary['epochs']} epochs each, profile {summary['profile']}. `{mirror.metric}` steered the search; "
        "`target/…` was only looked at, and of the networks and floors in the table alone.",
        *(f"![{name}]({artifact_content(mirror.run_id, f'{PREVIEWS}/{name}')})" for name in pictures),
    ]
    return "\n\n".join(parts) + "\n"


def _log_previews(client: "MlflowClient", run_id: str, folder: Path) -> list[str]:
    """Log the study's pictures again at the width of a description, since the UI would cut off wider ones."""
    shown = [path for start in _SHOWN for path in sorted(folder.glob(f"{start}*.png"))]
    with tempfile.TemporaryDirectory() as directory:
        for path in shown:
            with Image.open(path) as picture:
                picture.thumbnail((_PREVIEW_WIDTH, picture.height))
                picture.save(Path(directory) / path.name)
        client.log_artifacts(run_id, directory, PREVIEWS)
    return [path.name for path in shown]


def _link_models(client: "MlflowClient", run_id: str, models: Sequence[LoggedModel]) -> None:
    """Add the winner's models to the outputs of the study's run."""
    from mlflow.entities import LoggedModelOutput

    outputs = client.get_run(run_id).outputs
    known = {output.model_id for output in outputs.model_outputs} if outputs else set()
    found = [model_id_of(client.get_model_version(model.name, model.version)) for model in models]
    if new := [LoggedModelOutput(model_id, step=0) for model_id in found if model_id and model_id not in known]:
        client.log_outputs(run_id, new)
