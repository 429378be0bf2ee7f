"""Whether the two scenes of a pair have the same unit, and which normalizations the pair allows.

A scene declares its unit where its entry in the catalogue, its table in a user's TOML file or its stored file states
one, and its scale where one of them or the file does; a declared scale has been applied when the scene is loaded
(:mod:`sceneshift.files.formats.stored_values`). What is left is compared by the numbers themselves, as
:mod:`sceneshift.scenes.value_summary` says: a factor between the scenes leaves the normalizations that begin with the
L2 norm, an offset leaves ``derivative``, and both together, or bands that were scaled one by one, leave none. Any other
step is fitted on the source's numbers, and would put the target's far outside what a network was trained on.

Of several sources each is compared with the target, and a normalization is allowed where all of them allow it: they are
normalized together, by one step.

Two scenes of one acquisition and one unit are not compared. Where both scenes state a unit, be it two different ones,
an offset is taken as known, and both are reported when a training on the pair begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.normalization import NORMALIZATIONS, check_normalization
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.scenes.value_summary import ValueSummary, compare_values
from sceneshift.splits.pair import ScenePair


@dataclass(frozen=True, kw_only=True)
class UnitDifference:
    """Why the units of a pair are taken to differ.

    Args:
        allowed: The normalizations that are left.
        words: The reasons, as a clause with the ranges of both scenes.
    """

    allowed: tuple[str, ...]
    words: str


def allowed_normalizations(pair: ScenePair) -> tuple[str, ...]:
    """The normalizations that may be used on a pair; see the module for which they are.

    Reads both cubes once, unless they are of one acquisition.

    Args:
        pair: The pair.

    Returns:
        Some of :data:`~sceneshift.scenes.normalization.NORMALIZATIONS`, in their order; perhaps none.

    Raises:
        InvalidInputError: A scene holds nothing but zeros.
    """
    difference = unit_difference(pair)
    return NORMALIZATIONS if difference is None else difference.allowed


def refuse_normalization(pair: ScenePair, name: str) -> None:
    """Reject a normalization that a pair's values don't allow.

    Args:
        pair: The pair.
        name: One of :data:`~sceneshift.scenes.normalization.NORMALIZATIONS`.

    Raises:
        InvalidInputError: The values differ by what the step keeps, there is no such step, or a scene holds nothing but
            zeros.
    """
    check_normalization(name)
    difference = unit_difference(pair)
    if difference is None or name in difference.allowed:
        return
    if difference.allowed:
        expected = f"{' or '.join(difference.allowed)}, in which that cancels"
        advice = "Use one of these, or declare"
    else:
        expected, advice = "scenes in one unit, as it cancels in none", "Declare"
    raise InvalidInputError(
        f"pair {pair.name!r}: got the normalization {name}; expected {expected}, because {difference.words}. {advice} "
        "what the numbers of a scene are divided by in a TOML catalogue (`scale`, and `unit` of both scenes), or take "
        "the scene as it was before it was normalized: docs/scenes.md."
    )


def unit_difference(pair: ScenePair) -> UnitDifference | None:
    """Why a pair's units are taken to differ, and what is left; None where they are not.

    Reads both cubes once, unless they are of one acquisition.

    Args:
        pair: The pair.

    Raises:
        InvalidInputError: A scene holds nothing but zeros.
    """
    found = [difference for source in pair.sources if (difference := _difference(source, pair.target)) is not None]
    if len(found) < 2:
        return found[0] if found else None
    return UnitDifference(
        allowed=tuple(name for name in NORMALIZATIONS if all(name in difference.allowed for difference in found)),
        words="; and ".join(difference.words for difference in found),
    )


def _difference(source: UnlabelledScene, target: UnlabelledScene) -> UnitDifference | None:
    """The same of one source."""
    if source.footprint.parent == target.footprint.parent and source.unit == target.unit:
        return None
    of_source, of_target = _summary(source), _summary(target)
    difference = compare_values(
        of_source,
        of_target,
        names=(source.name, target.name),
        declared=source.unit is not None and target.unit is not None,
        both_ways=True,
    )
    if not difference.reasons:
        return None
    return UnitDifference(
        allowed=tuple(name for name in NORMALIZATIONS if difference.allows(name)),
        words=(
            f"the units seem to differ ({_range_text(source, of_source)}; {_range_text(target, of_target)}): "
            f"{'; '.join(difference.reasons)}"
        ),
    )


def describe_units(pair: ScenePair) -> str | None:
    """A description of the units that a pair's scenes state; None if neither states one.

    Args:
        pair: The pair.
    """
    scenes = (*pair.sources, pair.target)
    if len({scene.unit for scene in scenes}) == 1:
        return pair.target.unit
    return ", ".join(f"{scene.unit or 'not stated'} ({scene.name})" for scene in scenes)


def _summary(scene: UnlabelledScene) -> ValueSummary:
    try:
        return ValueSummary.of(scene.cube)
    except InvalidInputError as error:  # only zeros
        raise InvalidInputError(f"scene {scene.name!r}: {error}") from error


def _range_text(scene: UnlabelledScene, values: ValueSummary) -> str:
    unit = "" if scene.unit is None else f", {scene.unit}"
    return f"{scene.name} runs from {values.low:g} to {values.high:g}{unit}"


def stated_units(pairs: Sequence[ScenePair]) -> dict[str, str]:
    """The units that scenes state, by pair, as plain values; a pair whose scenes state none is left out."""
    return {pair.name: units for pair in pairs if (units := describe_units(pair)) is not None}
