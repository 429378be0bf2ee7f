"""The JSON description stored with a model's weights: everything needed to classify a scene with it anywhere.

Shape letters: C bands, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, first_line
from sceneshift.methods.method import MethodConfig
from sceneshift.methods.registry import find_method
from sceneshift.scenes.class_colours import class_colours
from sceneshift.scenes.measured import LeftOut
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.scene import Footprint, Scene, UnlabelledScene
from sceneshift.scenes.value_summary import ValueSummary
from sceneshift.tracking.held_back import HeldBack

#: The format this package writes, and the newest it reads. Format 1 had no number and lacked the source's bands,
#: values and location; format 2 lacked its unit, format 3 magnitude and floor of its values, and what was left out of
#: its file; format 4 what was answered on held-back pixels; format 5 knew one source only.
FORMAT = 6

#: Joins the names of several sources.
_JOINED = "+"


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What a model is and what it was trained on.

    Args:
        method: The method's name.
        config: Its configuration, as plain values.
        bands: C.
        class_names: The K classes in the order of the ids 1..K.
        class_colours: Their colours, ``#rrggbb``.
        source_scene: The name of the scene it was trained on; of several, their names joined by ``+``.
        normalization: The normalization fitted on the source, of several on all together, as plain values.
        wavelengths_nm: (C,) band centres; None if the source's are unknown.
        source_steps: Normalizations that had been applied to the source's file before.
        source_values: Summary of the source's values, of several of all together; None in models of format 1.
        source_footprint: The location of the first source; None in models of format 1.
        source_unit: The unit of the source's values; None if it states none or several differ, and in models of formats
            1 and 2.
        source_left_out: What of the first source's file was not trained on; None where that is nothing, and in older
            formats.
        other_footprints: The locations of the other sources; none in models up to format 5.
        profile: The size of the search, or ``training``.
        study: The study or run it comes from.
        held_back: Answers on pixels held back from training; None where none were recorded, and in older formats.
        format: Format of the description itself.
    """

    method: str
    config: Mapping[str, Any]
    bands: int
    class_names: tuple[str, ...]
    class_colours: tuple[str, ...]
    source_scene: str
    normalization: Mapping[str, Any]
    wavelengths_nm: tuple[float, ...] | None = None
    source_steps: tuple[str, ...] = ()
    source_values: ValueSummary | None = None
    source_footprint: Footprint | None = None
    source_unit: str | None = None
    source_left_out: LeftOut | None = None
    other_footprints: tuple[Footprint, ...] = ()
    profile: str = ""
    study: str = ""
    held_back: HeldBack | None = None
    format: int = FORMAT

    @classmethod
    def of(
        cls,
        *,
        method: str,
        config: MethodConfig,
        sources: Sequence[Scene],
        normalization: Normalization,
        profile: str = "",
        study: str = "",
        held_back: HeldBack | None = None,
    ) -> Self:
        """Describe what was trained.

        Args:
            method: The method's name.
            config: Its configuration.
            sources: The scenes it was trained on; names, bands, locations and a summary of their values are stored, no
                pixels.
            normalization: The one fitted on them.
            profile: The size of the search, or ``training``.
            study: The study or run it comes from.
            held_back: Answers on pixels held back from training.
        """
        source, *others = sources
        cube = source.cube
        if others:
            cube = np.concatenate([scene.cube.reshape(-1, 1, scene.num_bands) for scene in sources])
        return cls(
            method=method,
            config=asdict(config),
            bands=source.num_bands,
            class_names=source.class_names,
            class_colours=tuple(class_colours(source.num_classes)),
            source_scene=_JOINED.join(scene.name for scene in sources),
            normalization=normalization.as_dict(),
            wavelengths_nm=None if source.wavelengths_nm is None else tuple(source.wavelengths_nm.tolist()),
            source_steps=source.normalization,
            source_values=ValueSummary.of(cube),
            source_footprint=source.footprint,
            source_unit=source.unit if all(scene.unit == source.unit for scene in others) else None,
            source_left_out=source.left_out,
            other_footprints=tuple(scene.footprint for scene in others),
            profile=profile,
            study=study,
            held_back=held_back,
        )

    @property
    def source_scenes(self) -> tuple[str, ...]:
        """The names of the scenes it was trained on."""
        return tuple(self.source_scene.split(_JOINED)) if self.other_footprints else (self.source_scene,)

    @property
    def patch_size(self) -> int:
        """P."""
        return int(self.config["patch_size"])

    @property
    def fitted_normalization(self) -> Normalization:
        """The normalization that the model applies.

        Raises:
            InvalidInputError: The description holds something else.
        """
        return Normalization.from_dict(self.normalization)

    @property
    def method_config(self) -> MethodConfig:
        """The method's configuration.

        Raises:
            InvalidInputError: The method or one of its parameters is unknown to this version.
        """
        return find_method(self.method).config_type.from_mapping(self.config)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, from which :meth:`from_dict` restores the description without loss."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a description from what :meth:`as_dict` gave, or an older version of this package.

        Raises:
            InvalidInputError: It is of a newer format, or something else.
        """
        if not isinstance(values, Mapping):
            raise InvalidInputError(f"{values!r} is not a model's description; expected a mapping.")
        version = values.get("format", 1)
        if version not in range(1, FORMAT + 1):
            raise InvalidInputError(
                f"the model's description is of format {version!r}; this version reads 1 to {FORMAT}. Install a newer "
                "one, or load the model by mlflow.pyfunc.load_model in an environment without sceneshift: the model "
                "brings the code it was made with."
            )
        known = {f.name for f in fields(cls)}
        given = dict(values)
        if version == 1:
            given |= {"format": 1, "class_colours": class_colours(len(values.get("class_names", ())))}
        if unknown := sorted(set(given) - known):
            raise InvalidInputError(f"the model's description holds {', '.join(unknown)}; was it changed by hand?")
        try:
            return cls(**{key: _READ.get(key, _as_is)(value) for key, value in given.items()})
        except (TypeError, KeyError, ValueError) as error:
            raise InvalidInputError(
                f"the model's description is broken ({first_line(error)}); log it again."
            ) from error

    def shares_pixels_with(self, scene: UnlabelledScene) -> bool:
        """Whether a scene shares pixels with a source, judging by names and footprints."""
        known = (*(() if self.source_footprint is None else (self.source_footprint,)), *self.other_footprints)
        return any(scene.footprint.overlaps(footprint) for footprint in known)

    def made_cube(self, height: int = 2, width: int = 3) -> NDArray[np.float32]:
        """A small cube (height, width, C) of synthetic values in the source's range, without any of its pixels."""
        low, high = (0.0, 1.0) if self.source_values is None else (self.source_values.dark, self.source_values.bright)
        bands, pixels = np.arange(self.bands), np.arange(height * width)[:, None]
        waves = 0.5 + 0.3 * np.sin(2 * np.pi * (bands / self.bands + pixels / (height * width)))
        return (low + (high - low) * waves).astype(np.float32).reshape(height, width, self.bands)


def _as_is(value: Any) -> Any:  # noqa: ANN401 - plain JSON
    return value


def _or_none(read: Any) -> Any:  # noqa: ANN401 - a function, and one made of it
    return lambda value: None if value is None else read(value)


def _footprint(value: Mapping[str, Any]) -> Footprint:
    (top, bottom), (left, right), mask = value["rows"], value["columns"], value.get("mask")
    return Footprint(
        parent=str(value["parent"]),
        rows=(int(top), int(bottom)),
        columns=(int(left), int(right)),
        mask=None if mask is None else str(mask),
    )


_READ: dict[str, Any] = {
    "bands": int,
    "class_names": tuple,
    "class_colours": tuple,
    "source_steps": tuple,
    "wavelengths_nm": _or_none(lambda value: tuple(map(float, value))),
    "source_values": _or_none(ValueSummary.from_dict),
    "source_footprint": _or_none(_footprint),
    "source_left_out": _or_none(LeftOut.from_dict),
    "other_footprints": lambda values: tuple(map(_footprint, values)),
    "held_back": _or_none(HeldBack.from_dict),
}
