"""Named search sizes; the name is in every table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A named size of search.

    Args:
        name: Its name in tables and tags.
        description: One line for users.
        epochs: Epochs of a trial that isn't stopped early; the maximum if ``least_epochs`` is given.
        least_epochs: The minimum, if the number of epochs is to be chosen by timing steps so that they fit the time
            budget on the machine (:mod:`sceneshift.search.pace`).
        num_samples: Number of trials.
        time_budget_s: Seconds after which the search stops, or None.
        pixels_per_class: Maximum of training pixels per class and source scene, or None for all.
        limits: Lowest and highest value allowed, by parameter; the space and the defaults are clipped to it.
        choices: The allowed choices of categorical parameters, by parameter; the space draws only from these, and a
            default that is not among them is replaced by the space's first choice that is.
        startup_trials: Random trials before TPE's model is used.
        grace_epochs: No trial is stopped before this epoch; with fewer than ``epochs``, it shrinks in proportion.
        reduction_factor: At each rung, ASHA keeps one trial in this many.
        first_trials: Trials to run after the published defaults and before any draws, each given by the values that
            differ from the defaults, by suggested name.

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
        """The same profile with a number of epochs up to ``epochs``; ASHA's grace period shrinks in proportion."""
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
