"""Source and target of a recipe, with what they are made of.

Everything between the ground and the noise is linear in the spectra: light and block means act on a pixel's
coefficients, atmosphere and band response on the basis. A block of rows is then one matrix product, and nothing but
the cubes has the size of a cube.

Shape letters: H rows, W columns, N pixels, C bands, R materials, Q variations per material, B spectra of the basis.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.scenes.scene import Footprint, Scene
from sceneshift.scenes.unmixing_reference import UnmixingReference
from sceneshift.seeding import derive_seed
from sceneshift.simulation.fields import abundances_from_fields, gaussian_field
from sceneshift.simulation.ground_shifts import ClassBalance, Illumination, Season, vegetation
from sceneshift.simulation.mixing import mixing_basis, mixing_coefficients
from sceneshift.simulation.sensor_shifts import (
    AddedNoise,
    Atmosphere,
    Resolution,
    SensorResponse,
    block_mean,
)
from sceneshift.simulation.spec import SHIFTS, Simulation
from sceneshift.splits.pair import ScenePair

#: Values of the cube worked on at a time, about a MB: what a core's cache holds.
_BLOCK_VALUES = 300_000

#: Unit of both scenes: shifts change the values, but both come from one library.
UNIT = "as in the spectral library"


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedPair:
    """Two labelled scenes and what they are made of.

    Both come with labels; :meth:`scene_pair` leaves the target's behind.

    Args:
        source: Raw float32 cube, dominant materials as labels, and its own footprint.
        target: The same classes, after the shifts.
        source_truth: Abundances (H, W, R) and endmembers (C, R) of the source. A noiseless, linearly mixed pixel
            without variability is ``endmembers @ abundances``.
        target_truth: The same of the target, on its own grid; its endmembers are as the target's sensor sees them on
            flat ground, after season, atmosphere and band response. :class:`Illumination` scales what comes from the
            ground, pixel by pixel, but not the path radiance.
        applied: Plain values: the recipe's settings; ``shifts``, each kind's settings and what came of them; and
            ``class_counts`` of both sides.
    """

    source: Scene
    target: Scene
    source_truth: UnmixingReference
    target_truth: UnmixingReference
    applied: dict[str, Any]

    def scene_pair(self) -> ScenePair:
        """The pair as something that trains may see it: the target without labels."""
        shifts = [f"{name} {values['strength']:g}" for name, values in self.applied["shifts"].items()]
        notes = [f"simulated, seed {self.applied['seed']}; shifts: {', '.join(shifts) or 'none'}"]
        if self.applied["same_ground"]:
            notes.append("the target shows the source's own ground: scores on it are not scores on unseen ground")
        return ScenePair(
            name=self.applied["name"], sources=(self.source,), target=self.target.without_labels(), notes=tuple(notes)
        )


def simulate(recipe: Simulation) -> SimulatedPair:
    """Make the two scenes of a recipe.

    The same recipe gives the same bits on one machine and installation. Memory is the two cubes' and some bands' worth.
    """
    source, source_truth = _make_side(recipe, "source")
    target, target_truth = _make_side(recipe, "target")
    applied = _settings(recipe)
    applied["class_counts"] = {"source": source.class_counts.tolist(), "target": target.class_counts.tolist()}
    return SimulatedPair(
        source=source, target=target, source_truth=source_truth, target_truth=target_truth, applied=applied
    )


def _make_side(recipe: Simulation, side: str) -> tuple[Scene, UnmixingReference]:
    shifts = _Shifts(recipe, active=side == "target")
    fine = _abundances(recipe, side, shifts)
    coarse = block_mean(fine, shifts.block)
    height, width, _ = coarse.shape
    basis, offset, endmembers = _seen_spectra(recipe, shifts)
    cube = np.empty((height, width, basis.shape[1]), dtype=np.float32)
    noise = _NoiseSource(shifts.noise_variance, derive_seed(recipe.seed, side, "noise"))
    for rows, coefficients in _coefficient_blocks(recipe, side, shifts, fine, width):
        values = cube[rows].reshape(-1, cube.shape[2])  # rows are contiguous: a view
        np.matmul(coefficients, basis, out=values)
        if offset is not None:
            values += offset
        noise.add_to(values)
    labels = np.where(coarse.max(axis=2) >= recipe.ground.least_abundance, coarse.argmax(axis=2) + 1, 0)
    scene = Scene(
        name=f"{recipe.name}/{side}",
        cube=cube,
        labels=labels,
        class_names=recipe.library.names,
        wavelengths_nm=recipe.library.wavelengths_nm,
        unit=UNIT,
        # Another seed is another scene, whatever its name.
        footprint=Footprint(parent=f"{recipe.name}/{side}, seed {recipe.seed}", rows=(0, height), columns=(0, width)),
    )
    truth = UnmixingReference(
        materials=recipe.library.names,
        abundances=coarse.astype(np.float64),
        endmembers=endmembers.T.astype(np.float64),
    )
    return scene, truth


class _NoiseSource:
    """Noise of variance first + second · max(x, 0), values after values."""

    def __init__(self, variance: tuple[float, float], seed: int) -> None:
        self._constant, self._slope = np.float32(variance[0]), np.float32(variance[1])
        self._rng = np.random.default_rng(seed)
        # Kept from block to block: fresh memory costs as much as the arithmetic.
        self._deviation = self._draws = np.empty((0, 0), dtype=np.float32)

    def add_to(self, values: NDArray[np.float32]) -> None:
        """Add noise to (N, C) values in place."""
        if self._constant + self._slope == 0:
            return
        if len(self._draws) < len(values):
            self._deviation, self._draws = np.empty_like(values), np.empty_like(values)
        deviation, draws = self._deviation[: len(values)], self._draws[: len(values)]
        np.maximum(values, 0, out=deviation)
        deviation *= self._slope
        deviation += self._constant
        np.sqrt(deviation, out=deviation)
        self._rng.standard_normal(dtype=np.float32, out=draws)
        draws *= deviation
        values += draws


class _Shifts:
    """What a side is put through; the source, nothing."""

    def __init__(self, recipe: Simulation, *, active: bool) -> None:
        self.active = active
        self.recipe = recipe
        self.block = recipe.shift(Resolution).block if active else 1

    @property
    def noise_variance(self) -> tuple[float, float]:
        white = self.recipe.library.white
        own = self.recipe.noise.variance(white)
        added = self.recipe.shift(AddedNoise).variance(white) if self.active else (0.0, 0.0)
        return own[0] + added[0], own[1] + added[1]

    def factor(self) -> NDArray[np.float32] | None:
        if not self.active:
            return None
        seed = derive_seed(self.recipe.seed, "shift", Illumination.name)
        return self.recipe.shift(Illumination).factor(self.recipe.shape, seed)

    def proportions(self) -> NDArray[np.float64]:
        shares = self.recipe.ground.shares(self.recipe.library.num_materials)
        return _changed_balance(self.recipe, shares) if self.active else shares

    def spectra(self) -> NDArray[np.float32]:
        library = self.recipe.library
        return self.recipe.shift(Season).endmembers(library) if self.active else library.spectra


def _changed_balance(recipe: Simulation, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    seed = derive_seed(recipe.seed, "shift", ClassBalance.name)
    return recipe.shift(ClassBalance).proportions(shares, recipe.library.names, seed)


def _ground_side(recipe: Simulation, side: str) -> str:
    return "source" if recipe.same_ground else side


def _abundances(recipe: Simulation, side: str, shifts: _Shifts) -> NDArray[np.float32]:
    ground = _ground_side(recipe, side)
    fields = np.stack(
        [
            gaussian_field(recipe.shape, recipe.ground.length, derive_seed(recipe.seed, ground, "abundance", name))
            for name in recipe.library.names
        ]
    )
    return abundances_from_fields(fields, shifts.proportions(), recipe.ground.softness)


def _seen_spectra(
    recipe: Simulation, shifts: _Shifts
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32]]:
    """(B, C) the basis and (C,) what is added, both as the side's sensor sees them, and its (R, C) endmembers."""
    library = recipe.library
    spectra = shifts.spectra()
    variations = None
    if recipe.variability.perturbation > 0 and library.variations is not None:
        variations = library.variations * np.float32(recipe.variability.perturbation)
    basis = mixing_basis(spectra, variations, bilinear=recipe.mixing.is_bilinear, white=library.white)
    offset = None
    wavelengths = library.wavelengths_nm
    if shifts.active and wavelengths is not None:
        atmosphere, response = recipe.shift(Atmosphere), recipe.shift(SensorResponse)
        if atmosphere.strength > 0 or response.strength > 0:
            matrix = response.matrix(wavelengths)
            basis = ((basis * atmosphere.transmittance(wavelengths)) @ matrix.T).astype(np.float32)
            offset = (matrix @ atmosphere.path_radiance(wavelengths, library.white)).astype(np.float32)
    endmembers = basis[: library.num_materials]
    return basis, offset, endmembers if offset is None else endmembers + offset


def _coefficient_blocks(
    recipe: Simulation, side: str, shifts: _Shifts, fine: NDArray[np.float32], width: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Rows of the side's cube and their (N, B) coefficients, block by block.

    Draws are made on the fine grid, in the order of its pixels: other shifts or blocks leave them alone.
    """
    block = shifts.block
    factor = shifts.factor()
    draws = _PixelDraws(recipe, side)
    num_rows = max(1, _BLOCK_VALUES // (recipe.library.num_bands * fine.shape[1])) * block
    for start in range(0, fine.shape[0] // block * block, num_rows):
        rows = slice(start, min(start + num_rows, fine.shape[0] // block * block))
        coefficients = mixing_coefficients(
            fine[rows].reshape(-1, fine.shape[2]),
            **draws.rows(rows),
        )
        if factor is not None:
            coefficients = coefficients * factor[rows].reshape(-1, 1)
        if block > 1:
            grid = coefficients.reshape(rows.stop - rows.start, fine.shape[1], -1)
            coefficients = block_mean(grid, block).reshape(-1, grid.shape[2])
        yield slice(rows.start // block, rows.stop // block), coefficients


class _PixelDraws:
    """Scalings, perturbations and interactions of the pixels, rows after rows."""

    def __init__(self, recipe: Simulation, side: str) -> None:
        library, variability = recipe.library, recipe.variability
        ground = _ground_side(recipe, side)
        self._recipe = recipe
        self._num_variations = 0
        if variability.perturbation > 0 and library.variations is not None:
            self._num_variations = library.variations.shape[1]
        kinds = {"scaling": int(variability.scaling > 0), "perturbation": self._num_variations}
        #: By kind and material, white noise to be drawn or a smooth field drawn beforehand, for each of the variations.
        self._sources: dict[str, list[list[_White | NDArray[np.float32]]]] = {
            kind: [
                [self._source(derive_seed(recipe.seed, ground, kind, name, number)) for number in range(count)]
                for name in library.names
            ]
            for kind, count in kinds.items()
        }
        self._gamma = np.random.default_rng(derive_seed(recipe.seed, ground, "interaction"))

    def _source(self, seed: int) -> "_White | NDArray[np.float32]":
        length = self._recipe.variability.length
        return _White(seed) if length == 0 else gaussian_field(self._recipe.shape, length, seed)

    def rows(self, rows: slice) -> dict[str, Any]:
        """Arguments of :func:`mixing_coefficients` for some rows; to be called in order."""
        recipe = self._recipe
        num_pixels = (rows.stop - rows.start) * recipe.shape[1]
        drawn: dict[str, Any] = {}
        if (scaling := recipe.variability.scaling) > 0:
            exponent = self._draw("scaling", rows, num_pixels)[:, :, 0] * np.float32(scaling)
            drawn["scalings"] = np.exp(exponent - np.float32(scaling**2 / 2))
        if self._num_variations:
            drawn["perturbations"] = self._draw("perturbation", rows, num_pixels)
        if recipe.mixing.model == "fan":
            drawn["interactions"] = 1.0
        elif recipe.mixing.model == "gbm":
            pairs = math.comb(recipe.library.num_materials, 2)
            gamma = self._gamma.random((num_pixels, pairs), dtype=np.float32)
            drawn["interactions"] = gamma * np.float32(recipe.mixing.gamma)
        return drawn

    def _draw(self, kind: str, rows: slice, num_pixels: int) -> NDArray[np.float32]:
        """(N, R, Q)."""
        sources = self._sources[kind]
        values = np.empty((num_pixels, len(sources), len(sources[0])), dtype=np.float32)
        for material, of_material in enumerate(sources):
            for number, source in enumerate(of_material):
                drawn = source.draw(num_pixels) if isinstance(source, _White) else source[rows].ravel()
                values[:, material, number] = drawn
        return values


class _White:
    """White noise, one value per pixel, pixel after pixel."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def draw(self, num_pixels: int) -> NDArray[np.float32]:
        return self._rng.standard_normal(num_pixels, dtype=np.float32)


def _settings(recipe: Simulation) -> dict[str, Any]:
    """The recipe and the results of its shifts, as plain values."""
    library = recipe.library
    applied: dict[str, Any] = {
        "name": recipe.name,
        "seed": recipe.seed,
        "shape": list(recipe.shape),
        "materials": list(library.names),
        "white": library.white,
        "same_ground": recipe.same_ground,
        "mixing": asdict(recipe.mixing),
        "variability": asdict(recipe.variability),
        "ground": asdict(recipe.ground),
        "noise": asdict(recipe.noise),
    }
    chosen = {type(shift) for shift in recipe.shifts}
    settings: dict[str, dict[str, Any]] = {kind.name: asdict(recipe.shift(kind)) for kind in SHIFTS if kind in chosen}
    if Season.name in settings:
        settings[Season.name]["vegetation"] = vegetation(library).tolist()
    if ClassBalance.name in settings:
        shares = recipe.ground.shares(library.num_materials)
        settings[ClassBalance.name]["proportions"] = _changed_balance(recipe, shares).tolist()
    if Resolution.name in settings:
        settings[Resolution.name]["block"] = recipe.shift(Resolution).block
    applied["shifts"] = settings
    return applied
