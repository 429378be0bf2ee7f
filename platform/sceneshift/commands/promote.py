"""Makes a version of a registered model champion, after scoring it and the champion on the same pixels.

By default those are the source's validation pixels. ``--on target`` reads the target's labels, counts this, and records
on the version that it was chosen by them.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sceneshift.catalogue.user_toml import open_catalogue
from sceneshift.closing.promotion import Comparison, compare_on_target, compare_on_validation
from sceneshift.commands.console import show_log
from sceneshift.commands.promote_arguments import PromoteArgs
from sceneshift.errors import InvalidInputError, MissingDataError, SceneshiftError
from sceneshift.scores import Scores
from sceneshift.search.prepared import SMOKE_TEST
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.registry import (
    CHAMPION,
    PREVIOUS_CHAMPION,
    SELECTION_TAG,
    Version,
    bearer,
    find_version,
    make_champion,
    note_promotion,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


_HEADINGS = ("OA", "AA", "kappa")


def run_promotion(arguments: PromoteArgs) -> int:
    """Run the promotion script; returns the exit status: 0, 1 if the answer was no, 2 on an error."""
    try:
        return promote(arguments)
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; the champion is unchanged.", file=sys.stderr)
        return 130


def promote(arguments: PromoteArgs) -> int:
    """Show the scores of both versions, ask for confirmation, and set the aliases.

    Args:
        arguments: The command line.

    Returns:
        0 if the requested version is the champion, 1 if the answer was no.

    Raises:
        SceneshiftError: There is no such model or version, it can't be compared, or there is no terminal to ask at.
    """
    backend = TrackingBackend.resolve(Path(arguments.storage_path).resolve())
    if backend.database is not None and not os.path.exists(backend.database):
        raise MissingDataError(
            f"there is no {backend.database}: no study was kept there. Give the --storage-path "
            "of one, or set MLFLOW_TRACKING_URI."
        )
    client = backend.connect()
    if arguments.rollback:
        return _roll_back(arguments, client)
    version = find_version(client, arguments.model, arguments.version)
    champion = bearer(client, arguments.model, CHAMPION)
    if champion is not None and champion.number == version.number:
        print(f"{arguments.model} version {version.number} is champion already.")
        return 0
    _require_terminal(arguments)
    rivals = [version] if champion is None else [champion, version]
    show_log()
    compare = compare_on_target if arguments.on == "target" else compare_on_validation
    catalogue = None if arguments.catalogue is None else open_catalogue(arguments.catalogue, arguments.data_dir)
    for line in () if catalogue is None else catalogue.announcement():
        print(line)
    compared = compare(client, rivals, data_dir=arguments.data_dir, catalogue=catalogue)
    print(_table(compared, rivals))
    if version.tags.get("profile") == SMOKE_TEST:
        print("NOTE: that version comes from a smoke test; its figures mean nothing.")
    if not _agreed(arguments, f"Make version {version.number} champion of {arguments.model}?"):
        print("Nothing was changed.")
        return 1
    _set_champion(client, version, champion, compared)
    print(f"models:/{arguments.model}@{CHAMPION} is version {version.number} now.", end=" ")
    if champion is None:
        print("There was none before.")
    else:
        print(f"Version {champion.number} is @{PREVIOUS_CHAMPION}; --rollback brings it back.")
    return 0


def _set_champion(client: "MlflowClient", version: Version, champion: Version | None, compared: Comparison) -> None:
    against = "there was none" if champion is None else f"instead of version {champion.number}"
    figures = " against ".join(_figures(scores) for scores in reversed(compared.scores))
    selection = version.tags.get(SELECTION_TAG, "unknown")
    if compared.on_target:
        selection = f"target labels of {compared.on_target}, at promotion"
        how = f"**by target labels** of {compared.on_target} (read {compared.times} times to choose), "
    else:
        how = "by source validation, no target label used, "
    note_promotion(
        client,
        version,
        how=f"{how}{against}: {figures} on {compared.where}",
        selection=selection,
        compared_on=(compared.on_target and f"target {compared.on_target}") or "source validation",
    )
    make_champion(client, version)


def _roll_back(arguments: PromoteArgs, client: "MlflowClient") -> int:
    if bearer(client, arguments.model, CHAMPION) is None:
        find_version(client, arguments.model, None)  # says what there is
    previous = bearer(client, arguments.model, PREVIOUS_CHAMPION)
    if previous is None:
        raise InvalidInputError(f"{arguments.model} has no {PREVIOUS_CHAMPION} to go back to.")
    _require_terminal(arguments)
    if not _agreed(arguments, f"Make version {previous.number} champion of {arguments.model} again?"):
        print("Nothing was changed.")
        return 1
    make_champion(client, previous)
    print(f"models:/{arguments.model}@{CHAMPION} is version {previous.number} again.")
    return 0


def _require_terminal(arguments: PromoteArgs) -> None:
    if not arguments.yes and not sys.stdin.isatty():
        raise InvalidInputError(
            "there is no terminal to ask at; pass --yes to change the champion. Nothing was changed."
        )


def _agreed(arguments: PromoteArgs, question: str) -> bool:
    return arguments.yes or input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _table(compared: Comparison, rivals: Sequence[Version]) -> str:
    lines = [f"\n{compared.where}:\n", f"{'':<24}" + "".join(f"{heading:>8}" for heading in _HEADINGS)]
    for version, scores in zip(rivals, compared.scores, strict=True):
        name = f"version {version.number}" + (f" ({CHAMPION})" if CHAMPION in version.aliases else "")
        lines.append(f"{name:<24}{100 * scores.oa:>8.1f}{100 * scores.aa:>8.1f}{scores.kappa:>8.3f}")
    return "\n".join(lines) + "\n"


def _figures(scores: Scores) -> str:
    return f"OA {100 * scores.oa:.1f}, AA {100 * scores.aa:.1f}, kappa {scores.kappa:.3f}"
