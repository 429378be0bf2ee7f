"""The complete specification of one training: what is trained, for how long, from which seed, on which pixels."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from sceneshift.errors import StudyError
from sceneshift.methods.registry import find_method
from sceneshift.training.data import DataSpec
from sceneshift.training.plan import TrainingPlan

#: The version of this format. A run with another version is rejected with a message.
FORMAT = 2

#: Fields that do not affect what is trained.
_LOOKS_ALONE = ("evaluate_every", "record", "target_access", "maps_target")


@dataclass(frozen=True, kw_only=True)
class TrainSpec(TrainingPlan):
    """A :class:`~sceneshift.training.plan.TrainingPlan` with its data.

    This is the single description of a run: it is stored in MLflow's tags, compared on resume, and used by
    ``--from-run``.

    Args:
        data: The scenes and pixels; patches may be smaller than those its splits are made for.

    Raises:
        InvalidInputError: As for the plan.
    """

    data: DataSpec

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("config", "data")}
        if not self.maps_target:
            del own["maps_target"]  # as specifications from before there was one
        return {"format": FORMAT, **own, "config": asdict(self.config), "data": self.data.as_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore a specification from :meth:`as_dict`.

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
        """Hash of everything that determines the result, 16 hexadecimal digits."""
        values = {name: value for name, value in self.as_dict().items() if name not in _LOOKS_ALONE}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def on_every_field(self, *, pixels_per_class: int | None) -> Self:
        """The same training on pixels drawn over all labelled pixels of its sources, with none held back.

        Args:
            pixels_per_class: Maximum of pixels per class; None for all.
        """
        data = self.data
        # A scene's default share differs if nothing validates, but its test pixels must stay the same.
        fraction = data.train_fraction if data.scene is None else data.fraction
        data = replace(data, validates=False, train_fraction=fraction, pixels_per_class=pixels_per_class)
        return replace(self, data=data)


def flat(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Flatten nested values to one entry each, such as ``config.lr``, so that messages can name those that differ."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, prefix=f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
