"""How much a search may cost, under a name that every table carries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A named size of search.

    Args:
        name: What tables and tags call it.
        description: One line for people.
        epochs: Epochs of a trial that isn't stopped early; the most, where ``least_epochs`` leaves them open.
        least_epochs: Where it is given, timed steps choose the epochs, from so many on, to fit the time budget on the
            machine (:mod:`sceneshift.search.pace`).
        num_samples: Trials.
        time_budget_s: Seconds after which the search stops, or None.
        pixels_per_class: Most training pixels a class and source scene, or None for all.
        limits: Lowest and highest value allowed, by parameter; the space and the defaults are clipped to it.
        choices: The choices allowed of a categorical parameter, by parameter; the space draws from these alone, and a
            default that is none of them becomes the first of the space's that is.
        startup_trials: Random trials before TPE models what it has seen.
        grace_epochs: No trial is stopped before this epoch; of fewer epochs than ``epochs`` the same share.
        reduction_factor: ASHA keeps one in so many at each rung.
        first_trials: What is tried after the published defaults, before anything is drawn: each the values that differ
            from the defaults, by suggested name.

    Raises:
        InvalidInputError: A number is out of range.
    """

    name: str
    description: str
    epochs: int
    num_samples: int
    least_epochs: int | None = None
    time_budget_s: float | None = None
    pixels_per_class: int | None = None
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    choices: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    startup_trials: int = 10
    grace_epochs: int = 1
    reduction_factor: int = 3
    first_trials: Sequence[Mapping[str, Any]] = ()

    def with_epochs(self, epochs: int) -> "Profile":
        """The same profile for a decided number of epochs, at most ``epochs``; ASHA's grace is the same share."""
        grace = max(1, round(self.grace_epochs * epochs / self.epochs))
        return replace(self, epochs=epochs, grace_epochs=grace, least_epochs=None)

    def __post_init__(self) -> None:
        for name in ("epochs", "num_samples", "grace_epochs", "startup_trials"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"profile {self.name!r}: {name} = {getattr(self, name)}; expected at least 1.")
        if self.reduction_factor < 2:
            raise InvalidInputError(
                f"profile {self.name!r}: reduction_factor = {self.reduction_factor}; expected 2 or more."
            )
        if self.time_budget_s is not None and self.time_budget_s <= 0:
            raise InvalidInputError(
                f"profile {self.name!r}: time_budget_s = {self.time_budget_s}; expected seconds above 0."
            )
        if self.least_epochs is not None and not 1 <= self.least_epochs <= self.epochs:
            raise InvalidInputError(
                f"profile {self.name!r}: least_epochs = {self.least_epochs}; expected 1 to epochs = {self.epochs}."
            )
        if self.least_epochs is not None and self.time_budget_s is None:
            raise InvalidInputError(f"profile {self.name!r}: least_epochs needs a time_budget_s to fit epochs to.")
        for parameter, (low, high) in self.limits.items():
            if low > high:
                raise InvalidInputError(f"profile {self.name!r}: limits of {parameter} run from {low} to {high}.")
        for parameter, allowed in self.choices.items():
            if isinstance(allowed, str) or len(allowed) == 0:
                raise InvalidInputError(
                    f"profile {self.name!r}: choices of {parameter} = {allowed!r}; expected a list of one or more."
                )
