"""What a file holds besides the cube: names, wavelengths, location, as plain text.

Shape letters: C bands, K classes.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from sceneshift.errors import InvalidInputError, first_line
from sceneshift.files.formats.stored_values import StoredValues
from sceneshift.scenes.measured import LeftOut
from sceneshift.scenes.scene import Footprint, Georeference, Scene, UnlabelledScene


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a file may state about a scene; None where it states nothing.

    Args:
        name: The scene's name.
        class_names: The K class names.
        name_of_zero: The name of the number 0 in a label map, where the file names it and it may be a class's. Never
            written.
        class_colours: Their colours, ``#rrggbb``.
        band_names: (C,) names of the bands, if they are not wavelengths.
        wavelengths_nm: (C,) band centres in nanometres.
        fwhm_nm: (C,) band widths at half maximum, in nanometres.
        ignore_value: The value for missing data.
        ignore_values: (C,) the same band by band, where bands differ; None is a band without one.
        good_bands: (C,) which bands are good, where the file says that some are bad.
        normalization: Names of the steps the numbers have been through.
        footprint: Which pixels of which acquisition.
        georeference: Where it is on the ground.
        unit: Unit of the values.
        stored_as: How stored numbers become values; None where they are the values. Never written.
        left_out: What of an earlier file is not in the cube.
    """

    name: str | None = None
    class_names: tuple[str, ...] | None = None
    name_of_zero: str | None = None
    class_colours: tuple[str, ...] | None = None
    band_names: tuple[str, ...] | None = None
    wavelengths_nm: tuple[float, ...] | None = None
    fwhm_nm: tuple[float, ...] | None = None
    ignore_value: float | None = None
    ignore_values: tuple[float | None, ...] | None = None
    good_bands: tuple[bool, ...] | None = None
    normalization: tuple[str, ...] = ()
    footprint: Footprint | None = None
    georeference: Georeference | None = None
    unit: str | None = None
    stored_as: StoredValues | None = None
    left_out: LeftOut | None = None

    @classmethod
    def of(cls, scene: UnlabelledScene) -> Self:
        """Everything that describes a scene besides its arrays."""
        return cls(
            name=scene.name,
            class_names=scene.class_names if isinstance(scene, Scene) else None,
            wavelengths_nm=None if scene.wavelengths_nm is None else tuple(scene.wavelengths_nm.tolist()),
            normalization=scene.normalization,
            footprint=scene.footprint,
            georeference=scene.georeference,
            unit=scene.unit,
            left_out=scene.left_out,
        )

    def to_json(self) -> str:
        """One line of ASCII that :meth:`from_json` takes back without loss."""
        return json.dumps({key: value for key, value in asdict(self).items() if value is not None})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build a description from what :meth:`to_json` gave.

        Raises:
            InvalidInputError: The text is something else.
        """
        try:
            values: Any = json.loads(text)
        except ValueError as error:
            raise InvalidInputError(
                f"a scene's description is not JSON ({first_line(error)}): {text[:80]!r}."
            ) from error
        known = [f.name for f in fields(cls) if f.name not in ("stored_as", "name_of_zero")]
        if not isinstance(values, dict) or (unknown := set(values) - set(known)):
            got = sorted(unknown) if isinstance(values, dict) else type(values).__name__
            raise InvalidInputError(f"a scene's description holds {got}; expected {known}.")
        try:
            return cls(**{key: _READ.get(key, _as_is)(value) for key, value in values.items()})
        except (TypeError, KeyError, ValueError) as error:
            raise InvalidInputError(
                f"a scene's description is broken ({first_line(error)}): {text[:80]!r}; write the file again."
            ) from error


def _as_is(value: Any) -> Any:  # noqa: ANN401 - plain JSON
    if not isinstance(value, str | int | float):
        raise TypeError(f"{value!r} is neither text nor a number")
    return value


def _text(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _texts(value: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"{value!r} is not a list of texts")
    return tuple(value)


def _numbers(value: list[float]) -> tuple[float, ...]:
    return tuple(float(number) for number in value)


def _footprint(value: Mapping[str, Any]) -> Footprint:
    (top, bottom), (left, right), mask = value["rows"], value["columns"], value.get("mask")
    return Footprint(
        parent=str(value["parent"]),
        rows=(int(top), int(bottom)),
        columns=(int(left), int(right)),
        mask=None if mask is None else str(mask),
    )


def _georeference(value: Mapping[str, Any]) -> Georeference:
    a, b, c, d, e, f = value["transform"]
    return Georeference(transform=(a, b, c, d, e, f), crs=value["crs"])


def _left_out(value: dict[str, Any]) -> LeftOut:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} does not say what was left out")
    return LeftOut.from_dict(value)


_READ: dict[str, Callable[[Any], Any]] = {
    "class_names": _texts,
    "class_colours": _texts,
    "band_names": _texts,
    "normalization": _texts,
    "wavelengths_nm": _numbers,
    "fwhm_nm": _numbers,
    "footprint": _footprint,
    "georeference": _georeference,
    "left_out": _left_out,
    "unit": _text,
}
