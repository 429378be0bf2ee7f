"""Whether the two scenes of a pair are in one unit, and which normalizations the pair allows.

A scene declares its unit where its entry in the catalogue, its table in a user's TOML file or its stored file states
one. A pair's units count as declared where both scenes state one, be it two different ones: whoever trains on the pair
is told both. Where at least one states none, the numbers decide. Two scenes of one acquisition are in one unit; any
others are taken to differ where, seen from either of them,

- the other's median spectrum is more than ten times darker than the darkest spectra, or more than ten times brighter
  than the brightest; or
- the other's numbers went through a normalization that these did not (:mod:`sceneshift.scenes.value_summary`).

Units that differ without being declared leave only :data:`~sceneshift.scenes.normalization.UNITLESS`, the steps that
begin with the L2 norm, in which a factor on a whole scene goes out. Any other step is fitted on the source's numbers,
and would put the target's far outside what a network was trained on.
"""

from collections.abc import Sequence

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.normalization import NORMALIZATIONS, UNITLESS, check_normalization
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.scenes.value_summary import ValueSummary, is_other_brightness, normalized_already
from sceneshift.splits.pair import ScenePair


def allowed_normalizations(pair: ScenePair) -> tuple[str, ...]:
    """The normalizations that may be used on a pair; see the module for which they are.

    Reads both cubes once where the units are not declared.

    Args:
        pair: The pair.

    Returns:
        :data:`~sceneshift.scenes.normalization.NORMALIZATIONS` or :data:`~sceneshift.scenes.normalization.UNITLESS`.

    Raises:
        InvalidInputError: A scene whose unit is not declared holds nothing but zeros.
    """
    return NORMALIZATIONS if undeclared_difference(pair) is None else UNITLESS


def refuse_normalization(pair: ScenePair, name: str) -> None:
    """Reject a normalization that a pair's units don't allow.

    Args:
        pair: The pair.
        name: One of :data:`~sceneshift.scenes.normalization.NORMALIZATIONS`.

    Raises:
        InvalidInputError: The units differ without being declared and the step keeps them, there is no such step, or a
            scene whose unit is not declared holds nothing but zeros.
    """
    check_normalization(name)
    if name not in UNITLESS and (difference := undeclared_difference(pair)) is not None:
        raise InvalidInputError(
            f"pair {pair.name!r}: got the normalization {name}; expected {' or '.join(UNITLESS)}, in which the unit "
            f"cancels, because {difference}. Use one of these, or state the unit of both scenes in a TOML catalogue "
            "(`unit`, and `scale` where the numbers must be divided): docs/scenes.md."
        )


def undeclared_difference(pair: ScenePair) -> str | None:
    """Why a pair's units are taken to differ, as a clause with the ranges of both scenes; None where they are not.

    Reads both cubes once where the units are not declared.

    Args:
        pair: The pair.

    Raises:
        InvalidInputError: A scene whose unit is not declared holds nothing but zeros.
    """
    source, target = pair.source, pair.target
    if source.footprint.parent == target.footprint.parent or (source.unit is not None and target.unit is not None):
        return None
    of_source, of_target = _summary(source), _summary(target)
    reasons = [
        *(f"in {target.name} {words}" for words in normalized_already(of_source, of_target).values()),
        *(f"in {source.name} {words}" for words in normalized_already(of_target, of_source).values()),
    ]
    if is_other_brightness(of_source, of_target) or is_other_brightness(of_target, of_source):
        reasons.append(
            "the brightness of the median spectrum (root mean square over bands) is "
            f"{of_source.median:.4g} in {source.name} and {of_target.median:.4g} in {target.name}"
        )
    if not reasons:
        return None
    return (
        f"the units seem to differ ({_told(source, of_source)}; {_told(target, of_target)}) and are not declared for "
        f"both scenes: {'; '.join(reasons)}"
    )


def describe_units(pair: ScenePair) -> str | None:
    """A description of the units that a pair's scenes state; None if neither states one.

    Args:
        pair: The pair.
    """
    source, target = pair.source, pair.target
    if source.unit == target.unit:
        return source.unit
    return ", ".join(f"{scene.unit or 'not stated'} ({scene.name})" for scene in (source, target))


def _summary(scene: UnlabelledScene) -> ValueSummary:
    try:
        return ValueSummary.of(scene.cube)
    except InvalidInputError as error:  # only zeros
        raise InvalidInputError(f"scene {scene.name!r}: {error}") from error


def _told(scene: UnlabelledScene, values: ValueSummary) -> str:
    unit = "" if scene.unit is None else f", {scene.unit}"
    return f"{scene.name} runs from {values.low:g} to {values.high:g}{unit}"


def stated_units(pairs: Sequence[ScenePair]) -> dict[str, str]:
    """The units that scenes state, by pair, as plain values; a pair whose scenes state none is left out."""
    return {pair.name: units for pair in pairs if (units := describe_units(pair)) is not None}
