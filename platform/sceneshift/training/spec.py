"""One training, whole: what is trained, for how long, from which seed, on which pixels."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from sceneshift.errors import StudyError
from sceneshift.methods.registry import find_method
from sceneshift.training.data import DataSpec
from sceneshift.training.loop import TrainingPlan

#: The version of the rendering. A run of another one is refused by name.
FORMAT = 2

#: What changes nothing of what is trained.
_LOOKS_ALONE = ("evaluate_every",)


@dataclass(frozen=True, kw_only=True)
class TrainSpec(TrainingPlan):
    """A :class:`~sceneshift.training.loop.TrainingPlan` with its data.

    This is the one rendering of a run: what MLflow is tagged with, what a resumed run is compared by, what
    ``--from-run`` runs again.

    Args:
        data: The scenes and pixels; patches may be smaller than those its splits are made for.

    Raises:
        InvalidInputError: As for the plan.
    """

    data: DataSpec

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("config", "data")}
        return {"format": FORMAT, **own, "config": asdict(self.config), "data": self.data.as_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Take back what :meth:`as_dict` gave.

        Raises:
            StudyError: Another version of this package wrote it.
            InvalidInputError: A value is wrong.
        """
        values = dict(values)
        if (found := values.pop("format", None)) != FORMAT:
            raise StudyError(
                f"this run is described in format {found}; this version of sceneshift reads format {FORMAT}. Use the "
                "version that made it."
            )
        config = find_method(values["method"]).config_type.from_mapping(values.pop("config"))
        return cls(**{**values, "config": config, "data": DataSpec.from_dict(values.pop("data"))})

    def key(self) -> str:
        """Hash of all that decides the result, 16 hexadecimal digits."""
        values = {name: value for name, value in self.as_dict().items() if name not in _LOOKS_ALONE}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def on_every_field(self, *, pixels_per_class: int | None) -> Self:
        """The same training on pixels drawn over all labelled pixels of its sources, with none held back.

        Args:
            pixels_per_class: The most pixels per class; None for all.
        """
        data = self.data
        # A scene's default share is another where nothing validates; its test pixels are to stay the same.
        fraction = data.train_fraction if data.scene is None else data.fraction
        data = replace(data, validates=False, train_fraction=fraction, pixels_per_class=pixels_per_class)
        return replace(self, data=data)


def flat(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """A rendering with one entry per value, named ``config.lr``: a message then names the one that differs."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, prefix=f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
