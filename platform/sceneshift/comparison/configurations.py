"""The configurations of each method that a comparison trains, the same on all its pairs.

The first is the published one within the profile's limits. The others are drawn at random from the method's search
space, or, for a spectral floor, from its grid (:mod:`sceneshift.methods.spectral`).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sceneshift.catalogue.units import allowed_normalizations, refuse_normalization
from sceneshift.comparison.spec import MethodEntry
from sceneshift.errors import InvalidInputError
from sceneshift.methods.floors import FLOOR_NORMALIZATIONS
from sceneshift.methods.method import MethodConfig
from sceneshift.methods.registry import find_method
from sceneshift.methods.spectral import SpectralFloor
from sceneshift.search.profile import Profile
from sceneshift.search.random_draws import random_configurations
from sceneshift.search.space import FixedTrial, SearchSpace, load_space
from sceneshift.search.unit_narrowing import narrow_normalizations
from sceneshift.seeding import derive_seed
from sceneshift.splits.pair import ScenePair


@dataclass(frozen=True, kw_only=True)
class TunedMethod:
    """A method with all that is drawn of it.

    Args:
        entry: The method in the specification.
        space: Its search space; None for a spectral floor.
        profile: The profile that limits the space.
    """

    entry: MethodEntry
    space: SearchSpace | None
    profile: Profile | None

    @classmethod
    def load(cls, entry: MethodEntry, *, profile: str) -> "TunedMethod":
        """Read the method's search space.

        Args:
            entry: The method in the specification.
            profile: Name of the profile.

        Raises:
            InvalidInputError: The space lacks what it needs, or has no such profile.
        """
        if entry.space is None:
            return cls(entry=entry, space=None, profile=None)
        space = load_space(entry.space)
        return cls(entry=entry, space=space, profile=space.profile(profile))

    @property
    def largest_patch(self) -> int:
        """The largest patch of its configurations; splits are made for the largest of all methods."""
        if "patch_size" in self.entry.settings:
            return int(self.entry.settings["patch_size"])
        if self.space is None or self.profile is None:
            return find_method(self.entry.method).config_type().patch_size
        return self.space.largest_patch(self.profile)

    def configurations(self, *, num: int, seed: int, pairs: Sequence[ScenePair]) -> tuple[MethodConfig, ...]:
        """Draw configurations.

        Args:
            num: How many, at most; a floor's grid may have fewer.
            seed: Seed of the draws; with it, methods of one name and space get the same draws.
            pairs: All pairs, by whose units normalizations are left out.

        Returns:
            The published configuration, then those drawn, each with the fixed settings.

        Raises:
            InvalidInputError: A fixed setting is unknown or out of range, or the pairs' units allow no normalization.
        """
        config_type = find_method(self.entry.method).config_type
        if self.space is None or self.profile is None:
            drawn = self._of_grid(num=num, seed=seed, pairs=pairs)
        else:
            space, settings = self.space, self.entry.settings
            profile = self.profile
            if "normalization" not in settings:
                profile, _ = narrow_normalizations(space, profile, pairs, config_type)
            published = space.config(FixedTrial(space.default_trial(profile).params), profile)
            others = random_configurations(space, profile, num=num - 1, seed=seed) if num > 1 else []
            drawn = [{**values, **settings} for values in (published, *others)]
        try:
            found = tuple(config_type.from_mapping(values) for values in drawn)
        except InvalidInputError as error:
            raise InvalidInputError(f"methods, {self.entry.label}: {error}") from error
        if "normalization" in self.entry.settings:  # else those that the units don't allow were left out
            for pair in pairs:
                refuse_normalization(pair, found[0].normalization)
        return found

    def _of_grid(self, *, num: int, seed: int, pairs: Sequence[ScenePair]) -> list[dict[str, Any]]:
        """Values of a floor's grid with the normalizations that its own cross-validation tries; the default first."""
        method = find_method(self.entry.method)
        assert issubclass(method, SpectralFloor)
        default, settings = method.config_type(), self.entry.settings
        by_pair = [allowed_normalizations(pair) for pair in pairs]
        allowed = [step for step in FLOOR_NORMALIZATIONS if all(step in of_pair for of_pair in by_pair)]
        axes: Mapping[str, Sequence[Any]] = {"normalization": allowed, **method.grid}
        axes = {name: [settings[name]] if name in settings else values for name, values in axes.items()}
        if not all(axes.values()):
            raise InvalidInputError(
                f"methods, {self.entry.label}: floors try {', '.join(FLOOR_NORMALIZATIONS)}, and the units of the "
                "pairs allow none; leave the method or a pair out."
            )
        grid = [{**settings, **dict(zip(axes, values, strict=True))} for values in itertools.product(*axes.values())]
        order = [int(place) for place in np.random.default_rng(seed).permutation(len(grid))]
        # A stable sort: the rest stays as it was drawn.
        order.sort(key=lambda place: any(grid[place][name] != getattr(default, name) for name in axes))
        return [grid[place] for place in order[:num]]


def draw_seed(split_seed: int, method: str, repeat: int) -> int:
    """The seed of a method's draws in one repeat."""
    return derive_seed(split_seed, "configurations", method, repeat)
