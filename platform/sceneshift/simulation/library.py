"""Endmembers to simulate from: the classes of a labelled scene, or the materials of a file.

Shape letters: H rows, W columns, C bands, R materials, Q variations per material.
"""

import csv
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sceneshift.errors import InvalidInputError, MissingDataError, first_line
from sceneshift.files.arrays import array_shapes, read_array
from sceneshift.safe_files import expanded
from sceneshift.scenes.scene import Scene
from sceneshift.simulation.checks import check_count, check_positive, check_within

#: Names a wavelength column may have, and nanometres in its unit.
_WAVELENGTH_COLUMNS = {"wavelength_nm": 1.0, "wavelengths_nm": 1.0, "wavelength": 1.0, "wavelength_um": 1000.0}
_PLAUSIBLE_NM = (100.0, 20_000.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class EndmemberLibrary:
    """Spectra of R materials and how each of them varies.

    A material's spectrum is drawn as ``m + sum_q z_q f_q``, z ~ N(0, 1): mean ``m`` and variations ``f``.

    Args:
        names: The R materials' names, distinct; the classes of the scenes made from them.
        spectra: (R, C) mean spectra in any unit.
        variations: (R, Q, C) in the same units, or None where nothing is known of them.
        wavelengths_nm: (C,) increasing band centres in nanometres, or None.
        white: The value of a reflectance of 1; by default 1, or the largest mean where that is larger.
            Products of two spectra, path radiance and noise are measured by it.

    Raises:
        InvalidInputError: Fewer than two materials, shapes that don't fit each other, NaN or infinity, wavelengths
            that don't increase, or a spectrum that is zero throughout.
    """

    names: tuple[str, ...]
    spectra: NDArray[np.float32]
    variations: NDArray[np.float32] | None = None
    wavelengths_nm: NDArray[np.float64] | None = None
    white: float = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        names = tuple(self.names)
        if len(names) < 2 or len(set(names)) != len(names):
            raise InvalidInputError(f"endmember library: expected at least two distinct materials, got {names}.")
        spectra = _checked("spectra", self.spectra, (len(names), None))
        if empty := [name for name, spectrum in zip(names, spectra, strict=True) if not spectrum.any()]:
            raise InvalidInputError(f"endmember library: the spectrum of {', '.join(empty)} is zero throughout.")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "spectra", spectra)
        num_bands = spectra.shape[1]
        if self.variations is not None:
            object.__setattr__(
                self, "variations", _checked("variations", self.variations, (len(names), None, num_bands))
            )
        if self.wavelengths_nm is not None:
            wavelengths = np.array(self.wavelengths_nm, dtype=np.float64)
            if wavelengths.shape != (num_bands,) or not (np.diff(wavelengths) > 0).all() or not wavelengths[0] > 0:
                raise InvalidInputError(
                    f"endmember library: wavelengths of shape {wavelengths.shape}; expected {num_bands} increasing "
                    "values in nanometres, one per band."
                )
            wavelengths.setflags(write=False)
            object.__setattr__(self, "wavelengths_nm", wavelengths)
        if self.white is None:
            object.__setattr__(self, "white", max(1.0, float(spectra.max())))
        check_positive("endmember library", "white", self.white)

    @property
    def num_materials(self) -> int:
        """R."""
        return len(self.names)

    @property
    def num_bands(self) -> int:
        """C."""
        return int(self.spectra.shape[1])

    @classmethod
    def from_scene(
        cls,
        scene: Scene,
        *,
        class_names: tuple[str, ...] | None = None,
        wavelengths_nm: ArrayLike | None = None,
        white: float | None = None,
        num_variations: int = 4,
    ) -> "EndmemberLibrary":
        """Means and covariances of a scene's labelled pixels.

        A class's variations are the first Q eigenvectors of its covariance, each times the root of its eigenvalue. They
        hold what the scene's pixels differ by, its noise, mixing and light included.

        Args:
            scene: All its labels are used: take a scene whose labels may be seen.
            class_names: The classes to take, in this order; by default all that have labelled pixels.
            wavelengths_nm: (C,) band centres; by default the scene's.
            white: As for the class.
            num_variations: Q, or as many as the bands or pixels of the smallest class allow.

        Raises:
            InvalidInputError: A class isn't in the scene or has fewer than two labelled pixels.
        """
        check_count("endmember library", "num_variations", num_variations, 0)
        counts = dict(zip(scene.class_names, scene.class_counts.tolist(), strict=True))
        names = tuple(name for name in counts if counts[name]) if class_names is None else tuple(class_names)
        if missing := [name for name in names if counts.get(name, 0) < 2]:
            raise InvalidInputError(
                f"scene {scene.name!r}: {', '.join(missing)} has fewer than two labelled pixels; expected class_names "
                f"among {', '.join(name for name, count in counts.items() if count > 1) or 'none: it has no labels'}."
            )
        means, factors = [], []
        for name in names:
            pixels = scene.cube[scene.labels == scene.class_names.index(name) + 1].astype(np.float64)
            means.append(pixels.mean(axis=0))
            factors.append(_principal_variations(pixels - means[-1], num_variations))
        rank = min((len(factor) for factor in factors), default=0)
        return cls(
            names=names,
            spectra=np.array(means, dtype=np.float32),
            variations=np.array([factor[:rank] for factor in factors], dtype=np.float32) if rank else None,
            wavelengths_nm=scene.wavelengths_nm if wavelengths_nm is None else np.asarray(wavelengths_nm),
            white=white,  # type: ignore[arg-type]  # None asks for the default
        )

    @classmethod
    def from_file(cls, path: str | Path, *, white: float | None = None) -> "EndmemberLibrary":
        """Read a library file.

        Args:
            path: A ``.csv`` with one header line, a wavelength column and one column per material; or an ``.npz`` with
                a wavelength array and one array per material, all (C,). The wavelengths are called ``wavelength_nm``
                (or
                ``wavelength``), in nanometres, or ``wavelength_um``, in micrometres.
            white: As for the class.

        Returns:
            A library without variations; :meth:`with_random_walks` gives it some.

        Raises:
            MissingDataError: There is no such file.
            InvalidInputError: It can't be read, has no wavelength column or fewer than two materials, or columns
                that are not numbers or of different length.
        """
        location = expanded(path)
        if not os.path.exists(location):
            raise MissingDataError(f"there is no file {location}; check the path, or put the file there.")
        if location.is_dir() or location.suffix.lower() not in (".csv", ".npz"):
            got = "a folder" if location.is_dir() else f"{location.suffix or 'no ending'!r}"
            raise InvalidInputError(f"{location}: expected a library file that ends in .csv or .npz, got {got}.")
        columns = _read_csv(location) if location.suffix.lower() == ".csv" else _read_npz(location)
        axes = [name for name in columns if name.lower() in _WAVELENGTH_COLUMNS]
        if len(axes) != 1:
            raise InvalidInputError(
                f"{location}: expected one wavelength column ({', '.join(_WAVELENGTH_COLUMNS)}), found "
                f"{', '.join(axes) or 'none'} among {', '.join(columns)}."
            )
        wavelengths = columns.pop(axes[0]) * _WAVELENGTH_COLUMNS[axes[0].lower()]
        if wavelengths.min() < _PLAUSIBLE_NM[0] or wavelengths.max() > _PLAUSIBLE_NM[1]:
            raise InvalidInputError(
                f"{location}: {axes[0]} means {wavelengths.min():g} to {wavelengths.max():g} nm; expected "
                f"{_PLAUSIBLE_NM[0]:g} to {_PLAUSIBLE_NM[1]:g}. Is it in micrometres? Then name it wavelength_um."
            )
        if lengths := {name: column.size for name, column in columns.items() if column.size != wavelengths.size}:
            raise InvalidInputError(
                f"{location}: {wavelengths.size} wavelengths, but values: {lengths}; expected as many."
            )
        try:
            return cls(
                names=tuple(columns),
                spectra=np.array(list(columns.values()), dtype=np.float32).reshape(len(columns), wavelengths.size),
                wavelengths_nm=wavelengths,
                white=white,  # type: ignore[arg-type]  # None asks for the default
            )
        except InvalidInputError as error:
            raise InvalidInputError(f"{location}: {error}") from error

    def with_random_walks(self, *, relative_std: float = 0.05, num_variations: int = 4) -> "EndmemberLibrary":
        """The same library with variations that are smooth random walks along the bands.

        ``f_q(b) = c m(b) sqrt(2) cos(q pi t_b) / (q pi)``, q = 1..Q, t from 0 at the first band to 1 at the last: the
        Karhunen-Loève series of a Brownian motion less its mean, broken off after Q terms. ``c`` makes the standard
        deviation of ``x / m``, its mean square over bands, ``relative_std``.

        Raises:
            InvalidInputError: A value is out of range.
        """
        check_within("random walks", "relative_std", relative_std, 0.0)
        check_count("random walks", "num_variations", num_variations, 1)
        order = np.arange(1, num_variations + 1)[:, None]
        place = np.linspace(0, 1, self.num_bands)
        walk = math.sqrt(2) * np.cos(order * math.pi * place) / (order * math.pi)
        walk *= relative_std / math.sqrt(float((walk**2).sum(axis=0).mean()))
        return replace(self, variations=(self.spectra[:, None] * walk).astype(np.float32))


def _principal_variations(centred: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """(Q, C) from (pixels, C) deviations from their mean."""
    rank = min(rank, len(centred) - 1, centred.shape[1])
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(centred) - 1))
    factors: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0))).T[::-1][:rank]
    # An eigenvector's sign is the library's whim: here its largest value is positive.
    largest = np.take_along_axis(factors, np.abs(factors).argmax(axis=1)[:, None], axis=1)
    return factors * np.where(largest < 0, -1.0, 1.0)


def _checked(what: str, values: ArrayLike, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    array = np.array(values, dtype=np.float32)
    if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        expected = " x ".join("any" if n is None else str(n) for n in shape)
        raise InvalidInputError(f"endmember library: {what} of shape {array.shape}; expected {expected}.")
    if array.size == 0 or not np.isfinite(array).all():
        raise InvalidInputError(f"endmember library: NaN, infinity or nothing in {what}; leave those bands out.")
    array.setflags(write=False)
    return array


def _read_npz(location: Path) -> dict[str, NDArray[np.float64]]:
    shapes = array_shapes(location)
    if wrong := {name: shape for name, shape in shapes.items() if len(shape) != 1 or 0 in shape} or not shapes:
        raise InvalidInputError(
            f"{location}: arrays {wrong if shapes else 'none'}; expected (bands,) each, one the wavelengths and one a "
            "material."
        )
    return {name: read_array(location, name, ndim=1).astype(np.float64) for name in shapes}


def _read_csv(location: Path) -> dict[str, NDArray[np.float64]]:
    try:
        with location.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{location} could not be read ({first_line(error)}); expected UTF-8 text.") from error
    if len(rows) < 2:
        raise InvalidInputError(f"{location}: {len(rows)} lines; expected a header line and one line per band.")
    header = [cell.strip() for cell in rows[0]]
    if "" in header or len(set(header)) != len(header):
        raise InvalidInputError(f"{location}: column names {header}; expected distinct ones, none empty.")
    values = np.empty((len(rows) - 1, len(header)))
    for number, row in enumerate(rows[1:]):
        if len(row) != len(header):
            raise InvalidInputError(f"{location}: band {number + 1} has {len(row)} values; expected {len(header)}.")
        for place, cell in enumerate(row):
            try:
                values[number, place] = float(cell)
            except ValueError as error:
                raise InvalidInputError(
                    f"{location}: {header[place]} of band {number + 1} is {cell!r}; expected a number, and "
                    "commas between columns."
                ) from error
    return {name: values[:, place] for place, name in enumerate(header)}
