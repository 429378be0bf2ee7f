"""The champion of a registered model, the previous champion, and the description of each version."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.tracking.key_names import key_name

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

#: Aliases of the version in use, and of the one before it.
CHAMPION, PREVIOUS_CHAMPION = "champion", "previous-champion"

#: Alias of the newest version that a study chose and that has not been compared with the champion yet.
CANDIDATE = "candidate"

#: On a version: the pair it was trained on the source of, and what it was chosen by.
PAIR_TAG, SELECTION_TAG = "pair", "selection"

#: On a version that took the champion's place: what it was compared on.
PROMOTED_TAG = "promoted.on"

_MODEL_URI = "models:/"
_PROMOTED = "- promoted: "


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model.

    Args:
        name: The model's name.
        number: The version's number.
        run_id: The run it belongs to.
        tags: Tags of the version.
        description: A text for readers of the registry.
        aliases: Its current aliases.
    """

    name: str
    number: str
    run_id: str
    tags: Mapping[str, str]
    description: str
    aliases: tuple[str, ...]

    @property
    def uri(self) -> str:
        """``models:/<name>/<number>``."""
        return f"models:/{self.name}/{self.number}"


def as_version(found: "ModelVersion") -> Version:
    """Convert MLflow's record of one version, requested by number or alias."""
    return Version(
        name=found.name,
        number=str(found.version),
        run_id=found.run_id,
        tags=dict(found.tags),
        description=found.description or "",
        aliases=tuple(sorted(found.aliases)),
    )


def alias_of_new(client: "MlflowClient", name: str, weights: str) -> str:
    """The alias of a version that a study has chosen: champion of a new name, else candidate.

    Args:
        client: MLflow's.
        name: The registered name, which need not exist.
        weights: Hash of the version's weights; those of the champion stay champion.
    """
    champion = bearer(client, name, CHAMPION)
    return CHAMPION if champion is None or champion.tags.get("weights") == weights else CANDIDATE


def bearer(client: "MlflowClient", name: str, alias: str) -> Version | None:
    """The version with an alias; None if there is no such model or no such alias."""
    return _found(lambda: client.get_model_version_by_alias(name, alias))


def find_version(client: "MlflowClient", name: str, number: str | None) -> Version:
    """A version of a registered model, by default the candidate.

    Raises:
        InvalidInputError: There is none; the message lists what there is.
    """
    names = sorted(model.name for model in client.search_registered_models(max_results=1000))
    if name not in names:
        there = f"Registered: {', '.join(names)}." if names else "No model is registered there; run a search first."
        raise InvalidInputError(f"no model is called {name!r}{nearest_name(name, names)}. {there}")
    if number is None:
        version = bearer(client, name, CANDIDATE)
    else:
        version = _found(lambda: client.get_model_version(name, number))
    if version is not None:
        return version
    numbers = sorted(int(found.version) for found in client.search_model_versions(f"name='{name}'"))
    # MLflow's search does not return a version's aliases.
    versions = (as_version(client.get_model_version(name, str(known))) for known in numbers)
    listed = "; ".join(map(_in_a_line, versions)) or "none"
    if number is None:
        raise InvalidInputError(f"{name} has no candidate; say which by --version. There are: {listed}.")
    raise InvalidInputError(f"{name} has no version {number}. There are: {listed}.")


def make_champion(client: "MlflowClient", version: Version) -> None:
    """Give a version the alias champion; the old champion becomes the previous champion."""
    before = bearer(client, version.name, CHAMPION)
    # The previous one first: if interrupted in between, there is still a champion.
    if before is not None and before.number != version.number:
        client.set_registered_model_alias(version.name, PREVIOUS_CHAMPION, before.number)
    client.set_registered_model_alias(version.name, CHAMPION, version.number)
    if CANDIDATE in version.aliases:
        client.delete_registered_model_alias(version.name, CANDIDATE)


def describe_version(client: "MlflowClient", name: str, number: str, description: str) -> None:
    """Write what a version says of itself, and name it on its model's page. How it became champion stays in it."""
    version = client.get_model_version(name, number)
    before = version.description or ""
    kept = [line for line in before.splitlines() if line.startswith(_PROMOTED)]
    client.update_model_version(name, number, description="\n".join([description, *kept]))
    if model_id := model_id_of(version):
        links = json.dumps([{"name": name, "version": int(number)}])
        client.set_logged_model_tags(model_id, {"mlflow.modelVersions": links})


def model_id_of(version: "ModelVersion") -> str | None:
    """The logged model a version was made from; None if it was made from something else."""
    # `version.model_id` is empty on a database; the source has it.
    source = str(version.source)
    return source.removeprefix(_MODEL_URI) if source.startswith(f"{_MODEL_URI}m-") else None


def note_promotion(client: "MlflowClient", version: Version, *, how: str, selection: str, compared_on: str) -> None:
    """Write on a version how it became champion.

    Args:
        client: MLflow's.
        version: The version.
        how: In a line.
        selection: What it is chosen by, all in all.
        compared_on: Source validation, or a target.
    """
    text = f"{version.description}\n{_PROMOTED}{how}".strip()
    client.update_model_version(version.name, version.number, description=text)
    client.set_model_version_tag(version.name, version.number, SELECTION_TAG, selection)
    client.set_model_version_tag(version.name, version.number, PROMOTED_TAG, compared_on)


def count_target_opening(client: "MlflowClient", name: str, pair: str) -> int:
    """Count a reading of a pair's target labels for choosing a version before it happens; returns how often."""
    key = key_name(f"target.openings.{pair}")
    times = int(client.get_registered_model(name).tags.get(key, 0)) + 1
    client.set_registered_model_tag(name, key, str(times))
    return times


def version_description(
    *,
    verdict: str,
    selection: str,
    profile: str,
    validation: Mapping[str, float] | None,
    target: Mapping[str, float],
    pair: str,
    data: Mapping[str, str],
    origin: str,
    code: Mapping[str, str],
    units: str | None = None,
) -> str:
    """The description of a version in the registry, in Markdown.

    Args:
        verdict: How it compares with the best spectral floor, in a sentence.
        selection: The criterion that chose it.
        profile: The size of the search or training.
        validation: ``oa``, ``aa``, ``kappa`` on the source's validation pixels; None if all pixels trained.
        target: The same on the target, which was read after the choice was made.
        pair: The pair's or scene's name.
        data: Hashes by name.
        origin: The study or training.
        code: Tags of :func:`sceneshift.tracking.provenance.code_tags`.
        units: The units that the pair's scenes state; None if they state nothing.
    """
    stated = "" if units is None else f" ({units})"
    dirty = " and changes not committed" if code.get("git.dirty") == "true" else ""
    lines = [
        f"{verdict}\n",
        f"- selection: {selection}",
        f"- from: {origin}, profile {profile}",
        f"- source validation: {_figures(validation) if validation else 'none, all labelled pixels trained'}",
        f"- target, scored after the choice: {_figures(target)}",
        f"- data: {pair}{stated}; " + ", ".join(f"{what} `{digest}`" for what, digest in data.items()),
        f"- code: commit `{code['git.commit']}`{dirty}, sceneshift {code['version.sceneshift']}",
    ]
    return "\n".join(lines)


def _figures(scores: Mapping[str, float]) -> str:
    return f"OA {100 * scores['oa']:.1f}, AA {100 * scores['aa']:.1f}, kappa {scores['kappa']:.3f}"


def _in_a_line(version: Version) -> str:
    remarks = [*(f"@{alias}" for alias in version.aliases)]
    remarks += [f"val AA {version.tags['val.aa']}"] if "val.aa" in version.tags else []
    remarks += [f"profile {version.tags['profile']}"] if "profile" in version.tags else []
    return f"version {version.number}" + (f" ({', '.join(remarks)})" if remarks else "")


def _found(ask: Callable[[], "ModelVersion"]) -> Version | None:
    """The version MLflow answers with, or None if there is none; an unreachable server is an error."""
    from mlflow.exceptions import MlflowException

    try:
        return as_version(ask())
    except MlflowException as error:
        # The latter is the answer for an alias that no version has.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
