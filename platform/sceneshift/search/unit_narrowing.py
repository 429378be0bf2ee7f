"""Restricting a search space to what the units of the pairs allow."""

from collections.abc import Sequence
from dataclasses import replace

from sceneshift.catalogue.units import refuse_normalization, stated_units, unit_difference
from sceneshift.methods.method import MethodConfig
from sceneshift.scenes.normalization import NORMALIZATIONS
from sceneshift.search.profile import Profile
from sceneshift.search.space import FixedTrial, SearchSpace
from sceneshift.splits.pair import ScenePair


def narrow_normalizations(
    space: SearchSpace, profile: Profile, pairs: Sequence[ScenePair], config_type: type[MethodConfig]
) -> tuple[Profile, tuple[str, ...]]:
    """Restrict a search to the normalizations that the units of all its pairs allow.

    Args:
        space: The search space.
        profile: Its size.
        pairs: The pairs.
        config_type: The method's configuration.

    Returns:
        The profile with its choices of ``normalization`` narrowed, and notes for the user, one line each; the
        unchanged profile and no notes if the pairs allow all.

    Raises:
        InvalidInputError: The space has no normalization that the pairs allow.
    """
    differences = {pair.name: difference for pair in pairs if (difference := unit_difference(pair)) is not None}
    if not differences:
        return profile, ()
    default = space.default_trial(profile)
    config = space.config(FixedTrial(default.params), profile)
    value = config_type.from_mapping(config).normalization
    suggested = default.choices.get("normalization")
    steps = [value] if suggested is None else suggested
    common = [step for step in NORMALIZATIONS if all(step in difference.allowed for difference in differences.values())]
    allowed = [step for step in steps if step in common]
    if not allowed:
        for pair in pairs:
            refuse_normalization(pair, value)
    if "normalization" in {*space.defaults, *config}:
        # A space that sets the normalization itself may draw it under another name, so every trial is checked.
        left = tuple(common if suggested is None else allowed)
        profile = replace(profile, choices={**profile.choices, "normalization": left})
    left_out = [step for step in steps if step not in allowed]
    if not left_out:
        return profile, ()
    lines = [f"normalization: {', '.join(allowed)}; not searched: {', '.join(left_out)}"]
    if value not in allowed:
        lines.append(f"the default {value} becomes {allowed[0]}")
    lines += [f"pair {name}: {difference.words}" for name, difference in differences.items()]
    return profile, tuple(lines)


def unit_tags(pairs: Sequence[ScenePair], profile: Profile) -> dict[str, str]:
    """The tags of every run about its pairs' units and the choices that the profile allows.

    Args:
        pairs: The pairs.
        profile: The search's size, narrowed.
    """
    return {
        **{f"units.{name}": units for name, units in stated_units(pairs).items()},
        **{f"choices.{name}": ", ".join(map(str, allowed)) for name, allowed in profile.choices.items()},
    }
