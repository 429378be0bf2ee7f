"""Makes a version of a registered model champion, after scoring it and the champion on the same pixels.

By default those are the source's validation pixels. ``--on target`` opens the door to target labels, counts it, and
writes on the version that it was chosen by them.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import Recipe
from sceneshift.catalogue.target import open_target
from sceneshift.commands.promote_arguments import PromoteArgs
from sceneshift.errors import InvalidInputError, MissingDataError, SceneshiftError
from sceneshift.scores import Scores
from sceneshift.search.prepared import SMOKE_TEST
from sceneshift.splits.pair import ScenePair
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.models import load_scene_model
from sceneshift.tracking.registry import (
    CHAMPION,
    PAIR_TAG,
    PREVIOUS_CHAMPION,
    SELECTION_TAG,
    Version,
    bearer,
    count_target_opening,
    find_version,
    make_champion,
    note_promotion,
)
from sceneshift.tracking.trained_on import TrainedOn

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from sceneshift.tracking.scene_model import SceneModel

_HEADINGS = ("OA", "AA", "kappa")


def run_promotion(arguments: PromoteArgs) -> int:
    """Do what the command line says; returns the exit status: 0, 1 where the answer was no, 2 on an error."""
    try:
        return promote(arguments)
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; the champion is who it was.", file=sys.stderr)
        return 130


def promote(arguments: PromoteArgs) -> int:
    """Show both versions side by side, ask, and set the aliases.

    Args:
        arguments: The command line.

    Returns:
        0 when the champion is who was asked for, 1 when the answer was no.

    Raises:
        SceneshiftError: There is no such model or version, it can't be compared, or nobody can be asked.
    """
    backend = TrackingBackend.resolve(Path(arguments.storage_path).resolve())
    if backend.artifact_root is not None and not os.path.exists(backend.uri.removeprefix("sqlite:///")):
        raise MissingDataError(
            f"there is no {backend.uri.removeprefix('sqlite:///')}: no study was kept there. Give the --storage-path "
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
    _refuse_if_nobody_can_be_asked(arguments)
    rivals = [version] if champion is None else [champion, version]
    if arguments.on == "target":
        compared = _on_target(arguments, client, rivals)
    else:
        compared = _on_validation(arguments, client, rivals)
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


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Figures of rivals on the same pixels.

    Args:
        where: The pixels, in words.
        scores: One a rival.
        on_target: The pair whose target labels were read, or empty.
        times: How often they were read to choose a version of this model.
    """

    where: str
    scores: Sequence[Scores]
    on_target: str = ""
    times: int = 0


def _on_validation(arguments: PromoteArgs, client: "MlflowClient", rivals: Sequence[Version]) -> Comparison:
    """Score rivals on the newest one's validation pixels, without those another of them trained on.

    Of a model that was trained once more on every field, the network that was chosen is scored: those pixels were held
    back from it, and its answers were kept.
    """
    version = rivals[-1]
    trained_on = _trained_on(client, version)
    pair = _load(arguments, trained_on, version)
    pixels = trained_on.validation
    if len(pixels) == 0:
        raise InvalidInputError(
            f"{version.name} version {version.number} was trained on every labelled pixel of its source: none is left "
            "to compare on. --on target compares on the target's labels, and says so."
        )
    records = [
        TrainedOn.load(client, rival.run_id, rival.tags.get(PAIR_TAG, trained_on.recipe.name)) for rival in rivals[:-1]
    ]
    for rival, older in zip(rivals, records, strict=False):
        pixels = _held_back_from(rival, older, trained_on, pixels)
    labels = pair.source.labels.ravel()[pixels] - 1
    scores = []
    for rival, record in zip(rivals, [*records, trained_on], strict=True):
        if record is not None and record.predicted is not None:
            predicted = record.predicted[np.searchsorted(record.validation, pixels)]
            print(
                f"NOTE: version {rival.number} was trained on every field after it was chosen; what is compared is the "
                "network that was chosen, from which these pixels were held back."
            )
        else:
            predicted = _model(rival, pair).map_scene(pair.source).ravel()[pixels] - 1
        scores.append(Scores.from_labels(labels, predicted, num_classes=pair.source.num_classes))
    print("Both were chosen by figures on such pixels, so these flatter both; no target label is read.")
    return Comparison(where=f"{len(pixels)} validation pixels of {pair.source.name}", scores=scores)


def _held_back_from(
    rival: Version, older: TrainedOn | None, newer: TrainedOn, pixels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Those of the pixels that a rival, or the network that was chosen for it, did not train on."""
    told = f"version {rival.number}"
    if older is None:
        print(f"NOTE: what {told} trained on was not recorded; if these pixels are among it, its figures are too good.")
        return pixels
    if older.split_hash == newer.split_hash:
        return pixels
    if older.predicted is not None:
        left = np.intersect1d(pixels, older.validation)
    else:
        left = np.setdiff1d(pixels, older.train)
    if len(left) == 0:
        raise InvalidInputError(f"{told} trained on every pixel that could be compared on; use --on target.")
    print(
        f"NOTE: {told} was trained by another split. {len(pixels) - len(left)} of {len(pixels)} validation pixels, on "
        f"which it trained, are left out; the patches of others may hold pixels it trained on, which flatters it."
    )
    return left


def _on_target(arguments: PromoteArgs, client: "MlflowClient", rivals: Sequence[Version]) -> Comparison:
    """Score rivals on the target of the newest one's pair. Its labels are read, and that is counted."""
    version = rivals[-1]
    trained_on = _trained_on(client, version)
    pair = _load(arguments, trained_on, version)
    # All maps are made before the labels are opened.
    maps = [_model(rival, pair).map_scene(pair.target) for rival in rivals]
    times = count_target_opening(client, version.name, pair.name)
    print(
        f"READING THE TARGET LABELS OF {pair.name}, for the {times}. time to choose a version of {version.name}.\n"
        "Whoever decides by these figures selects on target labels: they no longer tell how the model does on a scene "
        "nobody has labelled. The version will say so.",
        flush=True,
    )
    door = open_target(_recipe(arguments, trained_on))
    return Comparison(
        where=f"labelled pixels of {pair.target.name}, the target of {pair.name}",
        scores=[door.score(class_map) for class_map in maps],
        on_target=pair.name,
        times=times,
    )


def _trained_on(client: "MlflowClient", version: Version) -> TrainedOn:
    pair = version.tags.get(PAIR_TAG)
    found = None if pair is None else TrainedOn.load(client, version.run_id, pair)
    if found is None:
        raise InvalidInputError(
            f"{version.name} version {version.number} does not tell what it was trained on (it is older than that, or "
            "was registered by hand), so it can't be compared. Its alias can be set in the UI."
        )
    return found


def _recipe(arguments: PromoteArgs, trained_on: TrainedOn) -> Recipe:
    recipe = trained_on.recipe
    return recipe if arguments.data_dir is None else replace(recipe, data_dir=arguments.data_dir)


def _load(arguments: PromoteArgs, trained_on: TrainedOn, version: Version) -> ScenePair:
    pair = load_pair(_recipe(arguments, trained_on))
    if pair.source.content_hash != trained_on.source_hash:
        raise InvalidInputError(
            f"{pair.source.name} is not what version {version.number} was trained on: its hash is "
            f"{pair.source.content_hash}, expected {trained_on.source_hash}. Give the files of then by --data-dir."
        )
    return pair


def _model(version: Version, pair: ScenePair) -> "SceneModel":
    model = load_scene_model(version.uri)
    told = model.description
    if tuple(told.class_names) != pair.class_names or told.bands != pair.source.num_bands:
        raise InvalidInputError(
            f"version {version.number} knows {len(told.class_names)} classes ({', '.join(told.class_names)}) in "
            f"{told.bands} bands; {pair.name} has {len(pair.class_names)} ({', '.join(pair.class_names)}) in "
            f"{pair.source.num_bands}. They can't be compared on the same data; its alias can be set in the UI."
        )
    return model


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
    _refuse_if_nobody_can_be_asked(arguments)
    if not _agreed(arguments, f"Make version {previous.number} champion of {arguments.model} again?"):
        print("Nothing was changed.")
        return 1
    make_champion(client, previous)
    print(f"models:/{arguments.model}@{CHAMPION} is version {previous.number} again.")
    return 0


def _refuse_if_nobody_can_be_asked(arguments: PromoteArgs) -> None:
    if not arguments.yes and not sys.stdin.isatty():
        raise InvalidInputError("there is no terminal to ask at; say --yes if the champion shall change. Nothing was.")


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
