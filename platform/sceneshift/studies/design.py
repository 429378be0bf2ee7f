"""The design of the selection study: what is trained, decided once, before anything is.

It is stored next to the study's results, so that trainings of another design are rejected, not mixed in.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from sceneshift.catalogue.builtin import EMBEDDED_PAIRS, PAIRS
from sceneshift.errors import InvalidInputError, MissingDataError, StudyError, first_line, nearest_name
from sceneshift.methods.registry import find_method
from sceneshift.safe_files import replacing
from sceneshift.search.random_draws import random_configurations
from sceneshift.search.space import SearchSpace
from sceneshift.seeding import derive_seed
from sceneshift.studies.simulated_pairs import SimulatedPairFile
from sceneshift.training.data import DataSpec
from sceneshift.training.spec import TrainSpec, flat

#: The version of design files and published rows.
FORMAT = 1

#: The file of a design, next to the results.
DESIGN_FILE = "design.json"

#: Groups of scenes that share no flight, by pair. Only these are independent of each other.
GROUPS: Mapping[str, str] = {
    **dict.fromkeys(EMBEDDED_PAIRS, "Indian Pines"),
    **dict.fromkeys(
        ("samson-jasper_ridge", "jasper_ridge-samson", "muufl-jasper_ridge", "jasper_ridge-muufl"),
        "Samson, Jasper Ridge, MUUFL",
    ),
    "simulated-a": "simulated A",
    "simulated-b": "simulated B",
}

#: The pairs that everything is decided on.
STUDY_PAIRS = ("west-east", "sw-se", "samson-jasper_ridge", "muufl-jasper_ridge", "simulated-a")

#: The pairs that are opened once, with everything fixed. The pixels of nw-ne are also pixels of west-east.
CONFIRMATION_PAIRS = ("nw-ne", "jasper_ridge-samson", "jasper_ridge-muufl", "simulated-b")


@dataclass(frozen=True, kw_only=True)
class StudyDesign:
    """What a study trains: every configuration of every method on every pair, with several seeds.

    Args:
        seed: Decides the configurations, the splits of the sources and the seeds of trainings.
        epochs: Of every training.
        pixels_per_class: Training pixels per class, at most.
        num_seeds: Trainings of each configuration.
        num_refit_seeds: Trainings of each chosen configuration on all fields.
        evaluate_every: Epochs between two evaluations; each is recorded.
        patch_size: The largest patch of the configurations; splits are made for it.
        pairs: The study's pairs.
        confirmation_pairs: Pairs that are refused unless they are asked for explicitly.
        profile: The profile that restricted the spaces.
        spaces: Hash of each method's space file.
        simulated: Hash of each simulated pair's description.
        configurations: Drawn at random from each method's space; a number means the same on every pair.

    Raises:
        InvalidInputError: A number is out of range, or a pair is of no known group of scenes.
    """

    seed: int
    epochs: int
    pixels_per_class: int
    num_seeds: int
    num_refit_seeds: int
    evaluate_every: int
    patch_size: int
    pairs: tuple[str, ...]
    confirmation_pairs: tuple[str, ...]
    profile: str
    spaces: Mapping[str, str]
    simulated: Mapping[str, str]
    configurations: Mapping[str, tuple[Mapping[str, Any], ...]]

    def __post_init__(self) -> None:
        for name in ("epochs", "pixels_per_class", "num_seeds", "num_refit_seeds", "evaluate_every"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name} = {getattr(self, name)}; expected at least 1.")
        if unknown := [pair for pair in (*self.pairs, *self.confirmation_pairs) if pair not in GROUPS]:
            raise InvalidInputError(
                f"pair {unknown[0]!r} is of no known group of scenes; expected some of {[*GROUPS]}."
            )
        for method, configurations in self.configurations.items():
            config_type = find_method(method).config_type
            for configuration in configurations:
                config_type.from_mapping(configuration)

    @classmethod
    def draw(
        cls,
        spaces: Mapping[str, SearchSpace],
        *,
        num_configurations: int = 40,
        profile: str = "laptop",
        simulated: Sequence[SimulatedPairFile] = (),
        seed: int = 0,
        epochs: int = 40,
        pixels_per_class: int = 60,
        num_seeds: int = 2,
        num_refit_seeds: int = 3,
        evaluate_every: int = 1,
    ) -> Self:
        """Draw a design's configurations at random, within a profile's limits; no first trials.

        Args:
            spaces: By the method's name.
            num_configurations: Of each method.
            profile: Name of the profile in every space.
            simulated: The simulated pairs' descriptions.
            seed: As for the class.
            epochs: As for the class.
            pixels_per_class: As for the class.
            num_seeds: As for the class.
            num_refit_seeds: As for the class.
            evaluate_every: As for the class.
        """
        if num_configurations < 1:
            raise InvalidInputError(f"num_configurations = {num_configurations}; expected at least 1.")
        profiles = {method: space.profile(profile) for method, space in spaces.items()}
        drawn = {
            method: tuple(
                random_configurations(
                    space, profiles[method], num=num_configurations, seed=derive_seed(seed, "configurations", method)
                )
            )
            for method, space in spaces.items()
        }
        return cls(
            seed=seed,
            epochs=epochs,
            pixels_per_class=pixels_per_class,
            num_seeds=num_seeds,
            num_refit_seeds=num_refit_seeds,
            evaluate_every=evaluate_every,
            patch_size=max(space.largest_patch(profiles[method]) for method, space in spaces.items()),
            pairs=STUDY_PAIRS,
            confirmation_pairs=CONFIRMATION_PAIRS,
            profile=profile,
            spaces={method: space.source_hash for method, space in spaces.items()},
            simulated={file.name: file.source_hash for file in simulated},
            configurations=drawn,
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods' names."""
        return tuple(self.configurations)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": FORMAT, **json.loads(json.dumps(asdict(self)))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore a design from :meth:`as_dict`.

        Raises:
            StudyError: Another version of this package wrote it.
        """
        values = dict(values)
        if (found := values.pop("format", None)) != FORMAT:
            raise StudyError(f"the design is of format {found}; this version of sceneshift reads format {FORMAT}.")
        configurations = {method: tuple(each) for method, each in values.pop("configurations").items()}
        pairs, confirmation_pairs = tuple(values.pop("pairs")), tuple(values.pop("confirmation_pairs"))
        return cls(**values, pairs=pairs, confirmation_pairs=confirmation_pairs, configurations=configurations)

    def key(self) -> str:
        """Hash of the design, 16 hexadecimal digits: what every training and row of it carries."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def chosen_pairs(self, asked: Sequence[str], *, confirm: bool) -> tuple[str, ...]:
        """The pairs a command works on.

        Args:
            asked: Names; none for all that are allowed.
            confirm: Whether the confirmation pairs are asked for: they, and no others, are then worked on.

        Raises:
            InvalidInputError: A pair is not the design's, or is a confirmation pair and that was not asked for.
        """
        allowed, refused = self.pairs, self.confirmation_pairs
        if confirm:
            allowed, refused = refused, allowed
        for name in asked:
            if name in refused and not confirm:
                raise InvalidInputError(
                    f"{name} is kept for confirmation, to be opened once with all else fixed; pass --confirm for that."
                )
            if name not in allowed:
                raise InvalidInputError(
                    f"pair {name!r}{nearest_name(name, allowed)}; expected some of {', '.join(allowed)}."
                )
        return tuple(name for name in allowed if not asked or name in asked)

    def chosen_methods(self, asked: Sequence[str]) -> tuple[str, ...]:
        """The methods a command works on.

        Raises:
            InvalidInputError: A method is not the design's.
        """
        for name in asked:
            if name not in self.configurations:
                raise InvalidInputError(
                    f"method {name!r}{nearest_name(name, self.methods)}; expected some of {', '.join(self.methods)}."
                )
        return tuple(name for name in self.methods if not asked or name in asked)

    def spec(self, cell: "Cell", *, data_dir: str | None, catalogue: str | None) -> TrainSpec:
        """What a cell trains.

        Args:
            cell: The cell.
            data_dir: The folder of the scenes' files.
            catalogue: TOML file of the simulated pairs.
        """
        spec = TrainSpec(
            method=cell.method,
            config=find_method(cell.method).config_type.from_mapping(
                self.configurations[cell.method][cell.configuration]
            ),
            epochs=self.epochs,
            seed=derive_seed(self.seed, cell.kind, cell.configuration, cell.seed),
            evaluate_every=self.evaluate_every,
            record=not cell.is_refit,
            target_access="none" if cell.is_refit else "unlabelled",
            data=DataSpec(
                pairs=(cell.pair,),
                patch_size=self.patch_size,
                pixels_per_class=self.pixels_per_class,
                seed=self.seed,
                data_dir=data_dir,
                # Embedded and published pairs are found without one, whatever the user's own catalogue says.
                catalogue=catalogue if cell.pair not in (*EMBEDDED_PAIRS, *PAIRS) else None,
            ),
        )
        return spec.on_every_field(pixels_per_class=self.pixels_per_class) if cell.is_refit else spec

    def cells(self, pair: str, method: str) -> tuple["Cell", ...]:
        """All trainings of a batch, configuration by configuration."""
        return tuple(
            Cell(pair=pair, method=method, configuration=number, seed=seed)
            for number in range(len(self.configurations[method]))
            for seed in range(self.num_seeds)
        )


@dataclass(frozen=True, kw_only=True, order=True)
class Cell:
    """One training of a study.

    Args:
        pair: The pair's name.
        method: The method's name.
        configuration: Number of the configuration in the design, 0-based.
        seed: Number of the seed, 0-based.
        is_refit: Whether it trains on all fields, after the choice.
    """

    pair: str
    method: str
    configuration: int
    seed: int
    is_refit: bool = False

    @property
    def kind(self) -> str:
        """Its kind, in folders and seeds."""
        return "refit" if self.is_refit else "training"

    @property
    def name(self) -> str:
        """Its name within a batch."""
        return f"c{self.configuration:03d}-s{self.seed}"

    def folder(self, work: Path) -> Path:
        """Where its files are."""
        return work / ("refits" if self.is_refit else "cells") / self.pair / self.method / self.name


def open_design(folder: Path, drawn: StudyDesign) -> StudyDesign:
    """Store a design next to its results; where there is one already, it must be the same.

    Args:
        folder: The results.
        drawn: The design at hand.

    Raises:
        StudyError: The results are of another design.
        InvalidInputError: The file can't be written.
    """
    path = folder / DESIGN_FILE
    if path.exists():
        stored = read_design(folder)
        if stored.key() != drawn.key():
            before, now = flat(stored.as_dict()), flat(drawn.as_dict())
            changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
            raise StudyError(
                f"{path} is of another design: {', '.join(changed)} changed. Nothing was trained; give another --out "
                "and --work, or take back the change."
            )
        return stored
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(drawn.as_dict(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} can't be written ({first_line(error)}); give another --out.") from error
    return drawn


def read_design(folder: Path) -> StudyDesign:
    """Read the design of results.

    Raises:
        MissingDataError: There is none.
        StudyError: It is damaged or of another version.
    """
    path = folder / DESIGN_FILE
    try:
        return StudyDesign.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise MissingDataError(f"no design at {path}; `selection_study.py pool` writes it.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path} is damaged ({first_line(error)}); put a copy back.") from error
