"""What a simulated pair is made from.

Shape letters: H rows, W columns, R materials.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.unmixing_reference import LEAST_ABUNDANCE
from sceneshift.simulation.checks import check_count, check_positive, check_within
from sceneshift.simulation.ground_shifts import ClassBalance, Illumination, Season, Shift
from sceneshift.simulation.library import EndmemberLibrary
from sceneshift.simulation.mixing import Mixing, Variability
from sceneshift.simulation.sensor_shifts import AddedNoise, Atmosphere, Noise, Resolution, SensorResponse

T = TypeVar("T", bound=Shift)

#: Every shift, in the order they act in.
SHIFTS: tuple[type[Shift], ...] = (
    Season,
    ClassBalance,
    Illumination,
    Resolution,
    Atmosphere,
    SensorResponse,
    AddedNoise,
)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """How the materials are distributed in a scene.

    One Gaussian random field per material; softmax of the fields gives the abundances
    (:func:`sceneshift.simulation.fields.abundances_from_fields`).

    Args:
        length: Correlation length of the fields, in pixels: how large areas of one class are.
        softness: How far materials mix across borders, in standard deviations of the fields; above 0.
        least_abundance: A pixel whose largest abundance is below it has no label; 0 to 1.
        proportions: The share of each material's area, in the library's order, of any positive sum; by default equal.

    Raises:
        InvalidInputError: A value is out of range.
    """

    length: float = 16.0
    softness: float = 0.15
    least_abundance: float = LEAST_ABUNDANCE
    proportions: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_within("ground", "length", self.length, 0.0, 10_000.0)
        check_positive("ground", "softness", self.softness)
        check_within("ground", "least_abundance", self.least_abundance, 0.0, 1.0)
        if self.proportions is not None:
            object.__setattr__(self, "proportions", tuple(self.proportions))
            for number, share in enumerate(self.proportions):
                check_positive("ground", f"proportions[{number}]", share)

    def shares(self, num_materials: int) -> NDArray[np.float64]:
        """(R,) proportions of sum 1."""
        shares = np.array(self.proportions or (1.0,) * num_materials)
        normalized: NDArray[np.float64] = shares / shares.sum()
        return normalized


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """A source and a target scene made from one library.

    Args:
        library: The materials; they are the classes.
        shape: (H, W) of the source, and of the target where :class:`Resolution` is not a shift.
        seed: Every draw's seed is derived from it and from the draw's name, so that a shift more or less moves no other
            draw.
        shifts: What the target differs by, each kind at most once; their order does not matter.
        name: The pair's name; the scenes are ``NAME/source`` and ``NAME/target``.
        mixing: How materials mix in a pixel.
        variability: How materials differ from pixel to pixel.
        ground: How materials are distributed in the scenes.
        noise: Of both scenes.
        same_ground: The target shows the source's ground, material by material and with the same variability, rather
            than another draw: for comparing pixel by pixel, not for testing what a network has learnt. Its noise
            is its own.

    Raises:
        InvalidInputError: The values don't fit each other: a kind of shift twice, one that needs wavelengths the
            library does not have, perturbation without variations, other than one proportion a material, a shape
            smaller than the target's pixels.
    """

    library: EndmemberLibrary
    shape: tuple[int, int]
    seed: int
    shifts: tuple[Shift, ...] = ()
    name: str = "simulated"
    mixing: Mixing = field(default_factory=Mixing)
    variability: Variability = field(default_factory=Variability)
    ground: Ground = field(default_factory=Ground)
    noise: Noise = field(default_factory=Noise)
    same_ground: bool = False

    def __post_init__(self) -> None:
        owner = f"simulation {self.name!r}"
        if not (isinstance(self.shape, tuple) and len(self.shape) == 2):
            raise InvalidInputError(f"{owner}: shape = {self.shape!r}; expected (rows, columns).")
        for axis, size in zip(("rows", "columns"), self.shape, strict=True):
            check_count(owner, f"shape's {axis}", size, 1)
        check_count(owner, "seed", self.seed, 0)
        object.__setattr__(self, "shifts", tuple(self.shifts))
        self._check_shifts(owner)
        if self.variability.perturbation > 0 and self.library.variations is None:
            raise InvalidInputError(
                f"{owner}: perturbation = {self.variability.perturbation:g}, but the library has no variations; give "
                "it some with library.with_random_walks(), or take perturbation=0."
            )
        proportions = self.ground.proportions
        if proportions is not None and len(proportions) != self.library.num_materials:
            raise InvalidInputError(
                f"{owner}: {len(proportions)} proportions for {self.library.num_materials} materials "
                f"({', '.join(self.library.names)}); expected as many."
            )

    def _check_shifts(self, owner: str) -> None:
        known = ", ".join(shift.__name__ for shift in SHIFTS)
        for shift in self.shifts:
            if not isinstance(shift, SHIFTS):
                raise InvalidInputError(f"{owner}: {shift!r} is not a shift; expected some of {known}.")
            if shift.needs_wavelengths and self.library.wavelengths_nm is None:
                raise InvalidInputError(
                    f"{owner}: the shift {shift.name} needs wavelengths, which the library does not have; give them "
                    "with EndmemberLibrary.from_scene(scene, wavelengths_nm=...)."
                )
        if twice := [name for name, count in Counter(shift.name for shift in self.shifts).items() if count > 1]:
            raise InvalidInputError(f"{owner}: {', '.join(twice)} more than once among the shifts; expected once each.")
        block = self.shift(Resolution).block
        if block > min(self.shape):
            raise InvalidInputError(
                f"{owner}: the target's pixels are {block} x {block} of the source's, which has {self.shape}; expected "
                "a larger shape or a smaller factor."
            )
        self.shift(Season).endmembers(self.library)  # refuses materials that aren't there

    def shift(self, kind: type[T]) -> T:
        """The shift of a kind, of strength 0 where it isn't among the recipe's."""
        for shift in self.shifts:
            if isinstance(shift, kind):
                return shift
        return kind(strength=0.0)
