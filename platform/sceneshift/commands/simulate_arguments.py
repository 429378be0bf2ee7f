"""The command line of ``scenes.py simulate``. Imports nothing heavy, so that ``--help`` answers immediately."""

import ast
import re
from dataclasses import dataclass
from typing import Any, Literal

from sceneshift.errors import InvalidInputError

#: Pattern of pair names, which become names of files, of tables in a catalogue, and of models.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

#: The flags that set the strength of a shift, in the order in which the shifts are applied.
SHIFT_FLAGS = (
    "season",
    "class_balance",
    "illumination",
    "resolution",
    "atmosphere",
    "sensor_response",
    "added_noise",
)

#: What --set may set besides the shifts; settings with their own flag are excluded.
OWN_FLAGS = {
    "library.white": "--white",
    "mixing.model": "--mixing",
    "variability.scaling": "--scaling",
    "variability.perturbation": "--perturbation",
    "variability.length": "--variability-length",
    "ground.length": "--area",
    "ground.proportions": "--shares",
    "noise.snr": "--snr",
    **{f"{shift}.strength": f"--{shift.replace('_', '-')}" for shift in SHIFT_FLAGS},
}


@dataclass(frozen=True, kw_only=True)
class Simulate:
    """Simulate a pair of scenes from spectra: abundances are known, the target differs only by the requested shifts.

    docs/simulation.md has every formula. A shift's strength ranges from 0 (none) to 1 (the full effect).
    """

    out: str
    """Folder to create: source.arrow, target.arrow, abundances, scenes.toml (for --catalogue), pictures, settings."""

    name: str = "simulated"
    """The pair's name."""

    scene: str | None = None
    """Take spectra from the classes of this scene (name or file): means and covariances. Default: indian_pines."""

    library: str | None = None
    """Take spectra from this file instead: .csv or .npz, with a wavelength column and a column per material."""

    classes: tuple[str, ...] | None = None
    """The classes or materials to use, in this order. Default: all."""

    wavelengths_nm: tuple[float, float] | None = None
    """Centres of the first and last band of a scene without wavelengths; the others are evenly spaced in between."""

    white: float | None = None
    """The value that corresponds to a reflectance of 1. Default: 1, or the largest mean if that is larger."""

    size: tuple[int, int] = (128, 128)
    """Rows and columns."""

    area: float = 16.0
    """Spatial coherence: correlation length of the materials in pixels, which sets the size of areas of one class."""

    shares: tuple[float, ...] | None = None
    """Each material's share of the area; the sum may be any number. Default: equal."""

    mixing: Literal["linear", "fan", "gbm"] = "linear"
    """How materials mix in a pixel: linear, or bilinear by Fan's or the generalized model."""

    scaling: float = 0.05
    """Variability: standard deviation of the logarithm of each material's brightness, pixel by pixel."""

    perturbation: float = 1.0
    """Variability: how far spectra vary in the directions in which their class varies; 1 is as far as its pixels do."""

    variability_length: float = 0.0
    """Variability: its correlation length in pixels; with 0, every pixel is drawn independently."""

    snr: float = 300.0
    """Signal-to-noise ratio of both scenes, at white; 0 for no noise."""

    season: float = 0.0
    """Strength of the shift: materials become more similar, vegetation dries."""

    class_balance: float = 0.0
    """Strength of the shift: different shares of the classes."""

    illumination: float = 0.0
    """Strength of the shift: a lower sun over sloping ground."""

    resolution: float = 0.0
    """Strength of the shift: larger pixels."""

    atmosphere: float = 0.0
    """Strength of the shift: path radiance and transmittance; needs wavelengths."""

    sensor_response: float = 0.0
    """Strength of the shift: moved band centres and wider bands; needs wavelengths."""

    added_noise: float = 0.0
    """Strength of the shift: a noisier sensor."""

    same_ground: bool = False
    """The target shows the source's own ground: for comparing pixel by pixel, not for scores on unseen ground."""

    set: tuple[str, ...] = ()
    """Any other setting in docs/simulation.md, as part.name=value: season.browning=0.3 ground.softness=0.2."""

    seed: int = 0
    """Seed of all random draws."""

    data_dir: str | None = None
    """Folder with the scene's files. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes, for --scene. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""

    def __post_init__(self) -> None:
        """Reject arguments that can't be simulated.

        Raises:
            InvalidInputError: Naming the flag.
        """
        if not _NAME.fullmatch(self.name):
            raise InvalidInputError(
                f"--name {self.name!r}: expected letters, digits, '_', '-' and '.', a letter or digit first."
            )
        if self.scene is not None and self.library is not None:
            raise InvalidInputError("give --scene or --library, not both: spectra come from one of them.")
        if self.library is not None and self.wavelengths_nm is not None:
            raise InvalidInputError("--wavelengths-nm is for a scene without wavelengths; a library file has its own.")
        if self.wavelengths_nm is not None and not 0 < self.wavelengths_nm[0] < self.wavelengths_nm[1]:
            first, last = self.wavelengths_nm
            raise InvalidInputError(
                f"--wavelengths-nm {first:g} {last:g}: expected two positive numbers that increase."
            )
        self.settings()

    def settings(self) -> dict[str, dict[str, Any]]:
        """The settings given by --set, by part and name.

        Raises:
            InvalidInputError: An entry is not part.name=value, repeats another, or has its own flag.
        """
        given: dict[str, dict[str, Any]] = {}
        for entry in self.set:
            key, equals, text = entry.partition("=")
            part, dot, name = key.partition(".")
            if not (equals and dot and part and name and text):
                raise InvalidInputError(f"--set {entry!r}: expected part.name=value, such as season.browning=0.3.")
            if key in OWN_FLAGS:
                raise InvalidInputError(f"--set {entry}: {key} has its own flag, {OWN_FLAGS[key]}.")
            if name in given.setdefault(part, {}):
                raise InvalidInputError(f"--set {entry}: {key} is given twice.")
            try:
                given[part][name] = ast.literal_eval(text)
            except (ValueError, SyntaxError) as error:
                raise InvalidInputError(f"--set {entry}: {text!r} is not a number, tuple or dictionary.") from error
        return given
