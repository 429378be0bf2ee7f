"""Search spaces: define-by-run Python files, read by path on the driver.

A space file holds ``DEFAULTS`` (the published values by suggested name), ``PROFILES`` (name to
:class:`~sceneshift.search.profile.Profile`), the default data (``PAIRS``, names
of scene pairs, or ``SCENE``, one scene) and ``space(trial)``, which calls Optuna's ``trial.suggest_…`` and
returns the method's configuration as plain values. Workers never see the file.
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from sceneshift.errors import InvalidInputError, MissingDataError, nearest_name
from sceneshift.search.profile import Profile


class Suggests(Protocol):
    """The part of an Optuna trial that a space may use."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: ANN401
        """One of the choices."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """An integer from low to high, both included."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from low to high."""


class ClippedTrial:
    """A trial whose ranges and choices are restricted to those a profile allows.

    Args:
        trial: The trial that makes the suggestions.
        limits: Lowest and highest value by parameter name.
        choices: Allowed choices by parameter name; None allows all.
    """

    def __init__(
        self,
        trial: Suggests,
        limits: Mapping[str, tuple[float, float]],
        choices: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self._trial = trial
        self._limits = limits
        self._choices = choices or {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: ANN401
        """Suggest one of the choices that are allowed and within the limits.

        Raises:
            InvalidInputError: There is none.
        """
        if name in self._limits:
            low, high = self._limits[name]
            within = [choice for choice in choices if low <= choice <= high]
            if not within:
                raise InvalidInputError(
                    f"{name}: no choice of {list(choices)} is within the profile's {low} to {high}."
                )
            choices = within
        if name in self._choices:
            allowed = [choice for choice in choices if choice in self._choices[name]]
            if not allowed:
                raise InvalidInputError(
                    f"{name}: none of the choices {list(choices)} is allowed; expected one of "
                    f"{list(self._choices[name])} among them. Add it to the space."
                )
            choices = allowed
        return self._trial.suggest_categorical(name, choices)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Suggest an integer within range and limits."""
        first, last = self._clip(name, low, high)
        return self._trial.suggest_int(name, int(first), int(last), step=step, log=log)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Suggest a number within range and limits."""
        first, last = self._clip(name, low, high)
        return self._trial.suggest_float(name, first, last, step=step, log=log)

    def _clip(self, name: str, low: float, high: float) -> tuple[float, float]:
        limit_low, limit_high = self._limits.get(name, (low, high))
        first, last = max(low, limit_low), min(high, limit_high)
        if first > last:
            raise InvalidInputError(
                f"{name}: the range {low} to {high} does not meet the profile's {limit_low} to {limit_high}."
            )
        return first, last


class HeldTrial:
    """A trial that is not asked for parameters that have a given value.

    Args:
        trial: The trial that makes the other suggestions.
        held: The values by parameter name.
    """

    def __init__(self, trial: Suggests, held: Mapping[str, Any]) -> None:
        self._trial = trial
        self._held = held

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: ANN401
        """The given value, or one of the choices."""
        return self._held[name] if name in self._held else self._trial.suggest_categorical(name, choices)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """The given value, or an integer from low to high."""
        if name in self._held:
            return int(self._held[name])
        return self._trial.suggest_int(name, low, high, step=step, log=log)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The given value, or a number from low to high."""
        if name in self._held:
            return float(self._held[name])
        return self._trial.suggest_float(name, low, high, step=step, log=log)


class FixedTrial:
    """Suggests given values, moved to the nearest value the space allows.

    Args:
        values: The values by suggested name.
        narrowed: Names with restricted choices: a value that is not allowed is replaced by the first that is.
    """

    def __init__(self, values: Mapping[str, Any], *, narrowed: Collection[str] = ()) -> None:
        self._values = values
        self._narrowed = narrowed
        self.params: dict[str, Any] = {}
        self.choices: dict[str, Sequence[Any]] = {}

    def _value(self, name: str) -> Any:  # noqa: ANN401
        if name not in self._values:
            raise InvalidInputError(
                f"the space suggests {name!r}, for which DEFAULTS has no value"
                f"{nearest_name(name, self._values)}. Add it to DEFAULTS."
            )
        return self._values[name]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: ANN401
        """The value if allowed, else the nearest of numeric choices, or the first of restricted choices."""
        value = self._value(name)
        if value not in choices and name in self._narrowed:
            value = choices[0]
        elif value not in choices:
            if not all(isinstance(c, int | float) for c in [value, *choices]):
                raise InvalidInputError(f"{name} = {value!r} is none of the choices {list(choices)}.")
            value = min(choices, key=lambda choice: abs(choice - value))
        self.params[name] = value
        self.choices[name] = list(choices)
        return value

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """The value, clipped to the range."""
        value = int(min(max(self._value(name), low), high))
        self.params[name] = value
        self.choices[name] = [low, high]
        return value

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The value, clipped to the range."""
        value = float(min(max(self._value(name), low), high))
        self.params[name] = value
        self.choices[name] = [low, high]
        return value


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """A space file, read and checked.

    Args:
        path: Where it was read from.
        source_hash: SHA-256 of the file's text and of the modules of this room that it imports, 16 hexadecimal digits.
        defaults: Published values by suggested name.
        profiles: The profiles by name.
        pairs: Default scene pairs; empty if the default is a scene.
        scene: The default scene, or None.
        sample: The file's ``space``.
    """

    path: str
    source_hash: str
    defaults: Mapping[str, Any]
    profiles: Mapping[str, Profile]
    pairs: tuple[str, ...]
    scene: str | None
    sample: Callable[[Suggests], dict[str, Any]]

    def holding(self, settings: Mapping[str, Any]) -> "SearchSpace":
        """This space with some settings held at given values, of which it is not asked.

        Args:
            settings: By the name of the setting; those that the space doesn't mention are added to its configurations.
        """
        if not settings:
            return self

        def sample(trial: Suggests) -> dict[str, Any]:
            return {**self.sample(HeldTrial(trial, settings)), **settings}

        text = json.dumps([self.source_hash, dict(settings)], sort_keys=True)
        return replace(self, sample=sample, source_hash=hashlib.sha256(text.encode()).hexdigest()[:16])

    def profile(self, name: str) -> Profile:
        """Return the profile of that name.

        Raises:
            InvalidInputError: There is none.
        """
        if name not in self.profiles:
            raise InvalidInputError(
                f"{self.path} has no profile {name!r}{nearest_name(name, self.profiles)}. "
                f"Known: {', '.join(self.profiles)}."
            )
        return self.profiles[name]

    def config(self, trial: Suggests, profile: Profile) -> dict[str, Any]:
        """Ask a trial for a configuration within a profile.

        Raises:
            InvalidInputError: The profile leaves nothing of a range or of the choices, or the space sets a parameter to
                a value that is not among the profile's choices.
        """
        config = self.sample(ClippedTrial(trial, profile.limits, profile.choices))
        for name, allowed in profile.choices.items():
            if name in config and config[name] not in allowed:
                raise InvalidInputError(
                    f"{self.path} sets {name} = {config[name]!r}; expected one of {list(allowed)}. Suggest it by this "
                    "name, or set an allowed one."
                )
        return config

    def default_trial(self, profile: Profile) -> FixedTrial:
        """The published values clipped to a profile, as a trial that has already been asked.

        Raises:
            InvalidInputError: DEFAULTS lacks a suggested name, or the profile limits an unknown one.
        """
        return self._fixed_trial(self.defaults, profile)

    def enqueued(self, profile: Profile) -> list[dict[str, Any]]:
        """The values of the first trials by suggested name, clipped to a profile: the defaults, then the others.

        Raises:
            InvalidInputError: As for :meth:`default_trial`, or one of the profile's first trials names a
                parameter that DEFAULTS lacks.
        """
        found = [self.default_trial(profile).params]
        for values in profile.first_trials:
            if unknown := sorted(set(values) - set(self.defaults)):
                raise InvalidInputError(
                    f"first_trials of profile {profile.name!r} name {unknown[0]!r}, which DEFAULTS of {self.path} does "
                    f"not{nearest_name(unknown[0], self.defaults)}."
                )
            found.append(self._fixed_trial({**self.defaults, **values}, profile).params)
        return found

    def _fixed_trial(self, values: Mapping[str, Any], profile: Profile) -> FixedTrial:
        fixed = FixedTrial(values, narrowed=profile.choices.keys())
        unknown = sorted(set(profile.limits) - set(self.defaults))
        if not unknown:
            config = self.config(fixed, profile)
            unknown = sorted(set(profile.choices) - set(self.defaults) - set(config))
        if unknown:
            raise InvalidInputError(
                f"profile {profile.name!r} limits {unknown[0]!r}, which {self.path} does not suggest"
                f"{nearest_name(unknown[0], self.defaults)}."
            )
        return fixed

    def largest_patch(self, profile: Profile) -> int:
        """The largest patch size the search can suggest; splits are made for it.

        Raises:
            InvalidInputError: The space doesn't suggest ``patch_size``.
        """
        choices = self.default_trial(profile).choices.get("patch_size")
        if choices is None:
            raise InvalidInputError(f"{self.path} doesn't suggest patch_size; the split needs to know it.")
        return int(max(choices))


def spaces_folder() -> Path:
    """The folder of the search spaces that come with the package.

    In a checkout this is ``search_spaces/``, whose files are there to be edited; an installed package has a copy of
    them.
    """
    package = Path(__file__).parents[1]
    checkout = package.parents[1] / "search_spaces"
    return checkout if package.parent.name == "platform" and checkout.is_dir() else package / "search_spaces"


def shipped_spaces() -> dict[str, Path]:
    """The search spaces that come with the package, by the name of their method."""
    return {path.stem: path for path in sorted(spaces_folder().glob("*.py")) if path.stem != "__init__"}


def find_space(method: str) -> Path:
    """The file of a method's shipped search space.

    Raises:
        MissingDataError: The method has none.
    """
    shipped = shipped_spaces()
    if method not in shipped:
        raise MissingDataError(
            f"no search space for {method!r}{nearest_name(method, shipped)}. Shipped: {', '.join(shipped)}."
        )
    return shipped[method]


def load_space(path: str | Path) -> SearchSpace:
    """Read a space file.

    Args:
        path: The file, or the name of a method whose shipped space is meant, such as ``s2amsnet``.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: It lacks ``DEFAULTS``, ``PROFILES`` or ``space``, or names no data or both kinds.
    """
    if not Path(path).is_file() and str(path) in (shipped := shipped_spaces()):
        path = shipped[str(path)]
    path = Path(path).resolve()
    if not path.is_file():
        raise MissingDataError(f"no search space at {path}; shipped ones, by name: {', '.join(shipped_spaces())}.")
    text = path.read_bytes()
    spec = importlib.util.spec_from_file_location(f"search_space_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing = [name for name in ("DEFAULTS", "PROFILES", "space") if not hasattr(module, name)]
    if missing:
        raise InvalidInputError(f"{path} does not define {', '.join(missing)}; see search_spaces/s2amsnet.py.")
    if hasattr(module, "PAIRS") == hasattr(module, "SCENE"):
        raise InvalidInputError(
            f"{path} must define either PAIRS or SCENE, what is searched on by default; see search_spaces/s2amsnet.py."
        )
    return SearchSpace(
        path=str(path),
        source_hash=hashlib.sha256(text + _shared_text(module)).hexdigest()[:16],
        defaults=module.DEFAULTS,
        profiles={profile.name: profile for profile in module.PROFILES},
        pairs=tuple(getattr(module, "PAIRS", ())),
        scene=getattr(module, "SCENE", None),
        sample=module.space,
    )


def _shared_text(space: ModuleType) -> bytes:
    """The text of the modules of this room that a space file has imported as modules: what it shares with others."""
    package = __name__.rpartition(".")[0]
    shared = {
        value.__name__: value
        for value in vars(space).values()
        if isinstance(value, ModuleType) and value.__name__.startswith(f"{package}.")
    }
    return b"".join(Path(str(shared[name].__file__)).read_bytes() for name in sorted(shared))
