"""The specification of a comparison: what a TOML file says, checked as far as that needs no data."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sceneshift.catalogue.toml_table import Table
from sceneshift.errors import InvalidInputError, MissingDataError, first_line, nearest_name
from sceneshift.methods.registry import METHODS, find_method
from sceneshift.methods.spectral import SpectralFloor
from sceneshift.selection.registry import find_strategy
from sceneshift.selection.strategy import Setting, SourceBlocks
from sceneshift.selection.views import Reads
from sceneshift.training.target_pixels import TARGET_ACCESS

#: How configurations are chosen: once for all final networks, or anew for each of them.
PROTOCOLS = ("tune-once", "tune-anew")

#: What final networks are trained on: every labelled field, or the training blocks, as they were chosen.
FINAL_NETWORKS = ("fields", "blocks")

#: How sources can be divided while configurations are chosen.
SPLITS = ("blocks", "fields", "random")

#: Evaluations of a training with a budget in seconds, at most.
MOST_EVALUATIONS = 40

_KEYS = (
    *("pairs", "methods", "seeds", "strategies", "epochs", "seconds", "num_configurations", "protocol", "profile"),
    *("pixels_per_class", "evaluate_every", "split", "split_seed", "target_access", "final_networks"),
    *("data_dir", "catalogue", "tuned_in"),
)
_METHOD_KEYS = ("method", "label", "space", "preset", "settings", "pairs")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class MethodEntry:
    """A row of the comparison's tables: a method with the space it is tuned in.

    Args:
        method: The method's name.
        label: Its name in tables.
        space: The file of its search space; None for a spectral floor, which is tuned over its own grid.
        settings: Values that are not tuned.
        pairs: The comparison's pairs that it is trained on; None for all. A method that compares sources can't be
            trained on a pair of one.
    """

    method: str
    label: str
    space: Path | None
    settings: Mapping[str, Any]
    pairs: tuple[str, ...] | None = None

    def is_on(self, pair: str) -> bool:
        """Whether it is trained on a pair."""
        return self.pairs is None or pair in self.pairs

    @property
    def is_floor(self) -> bool:
        """Whether it is a spectral floor."""
        return issubclass(find_method(self.method), SpectralFloor)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long every network of a table is trained; one of the two is given.

    Args:
        epochs: Passes over the training pixels, the same for all.
        seconds: Seconds of training steps on this machine, by which the epochs of each configuration are decided.
    """

    epochs: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.epochs} epochs" if self.seconds is None else f"{self.seconds:g} s"

    def evaluate_every(self, epochs: int, *, least: int) -> int:
        """Epochs between two evaluations of a training.

        Args:
            epochs: Of the training.
            least: What the comparison says; with a budget in seconds an evaluation may be rarer.
        """
        return least if self.seconds is None else max(least, -(-epochs // MOST_EVALUATIONS))


@dataclass(frozen=True, kw_only=True)
class ComparisonSpec:
    """What is compared.

    Args:
        name: The comparison's name: that of its file.
        pairs: Names of pairs.
        methods: The methods.
        seeds: Seeds of the final networks; with protocol "tune-anew" each of them is a repeat, with its own
            configurations and trainings.
        strategies: Names of strategies for model selection; the first decides the main table.
        budgets: Budgets, of which each gets tables of its own.
        num_configurations: Configurations of each method, drawn at random; the first is the published one.
        protocol: One of :data:`PROTOCOLS`.
        profile: Name of the profile that limits the search spaces.
        pixels_per_class: Training pixels per class and source, at most; None for all.
        evaluate_every: Epochs between two evaluations.
        split: How sources are divided while configurations are chosen.
        split_seed: Seed of splits, draws and trainings.
        target_access: What strategies may read of targets: "none", or "unlabelled" pixels.
        final_networks: One of :data:`FINAL_NETWORKS`.
        data_dir: Folder of the scenes' files.
        catalogue: TOML file of the user's scenes and pairs.
        tuned_in: Folder of a comparison with results, whose choices are the configurations of this one: for each
            method and pair the one that was chosen there. Nothing is drawn then.

    Raises:
        InvalidInputError: A value is unknown, or values don't go together.
    """

    name: str
    pairs: tuple[str, ...]
    methods: tuple[MethodEntry, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    strategies: tuple[str, ...] = (SourceBlocks.name,)
    budgets: tuple[Budget, ...] = (Budget(epochs=40),)
    num_configurations: int = 10
    protocol: str = "tune-once"
    profile: str = "laptop"
    pixels_per_class: int | None = 60
    evaluate_every: int = 1
    split: str = "blocks"
    split_seed: int = 0
    target_access: str = "none"
    final_networks: str = "fields"
    data_dir: str | None = None
    catalogue: str | None = None
    tuned_in: Path | None = None

    def __post_init__(self) -> None:
        labels = [entry.label for entry in self.methods]
        if repeated := sorted({label for label in labels if labels.count(label) > 1}):
            raise InvalidInputError(
                f"methods: {repeated[0]!r} is the label of several; expected each once. Give them other labels."
            )
        for entry in self.methods:
            for pair in entry.pairs or ():
                if pair not in self.pairs:
                    raise InvalidInputError(
                        f"methods, {entry.label}: pairs names {pair!r}{nearest_name(pair, self.pairs)}; expected some "
                        f"of the comparison's, {', '.join(self.pairs)}."
                    )
        for pair in self.pairs:
            if not any(entry.is_on(pair) for entry in self.methods):
                raise InvalidInputError(
                    f"pairs: no method is on {pair!r}; leave it out, or add it to a method's pairs."
                )
        if self.tuned_in is not None and (self.num_configurations, self.protocol) != (1, "tune-once"):
            raise InvalidInputError(
                f"tuned_in = {str(self.tuned_in)!r} with num_configurations = {self.num_configurations} and protocol = "
                f"{self.protocol!r}: the one configuration that was chosen there is trained, for all seeds. Leave "
                "num_configurations and protocol out."
            )
        for name in self.strategies:
            self.check_strategy(name)

    def check_strategy(self, name: str) -> None:
        """Refuse a strategy that can't choose among this comparison's trainings.

        Raises:
            InvalidInputError: It is unknown, reads what it may not, or needs what is not there.
        """
        strategy = find_strategy(name)
        if strategy.reads is Reads.LABELS:
            raise InvalidInputError(
                f"strategy {name!r} reads target labels, and a comparison joins them after the last choice; leave it "
                "out."
            )
        strategy.check(
            Setting(
                record=True,
                target_access=self.target_access,
                split=self.split,
                num_seeds=1,
                num_candidates=self.num_configurations * min(map(self._evaluations, self.budgets)),
            )
        )

    def _evaluations(self, budget: Budget) -> int:
        return MOST_EVALUATIONS if budget.epochs is None else max(1, budget.epochs // self.evaluate_every)

    @property
    def repeats(self) -> tuple[int, ...]:
        """The repeats of drawing, training and choosing: one, or one for each seed."""
        return (0,) if self.protocol == "tune-once" else self.seeds

    def seeds_of(self, repeat: int) -> tuple[int, ...]:
        """The seeds of the final networks of a repeat."""
        return self.seeds if self.protocol == "tune-once" else (repeat,)

    def caption(self) -> dict[str, str]:
        """What captions of tables say of it, by name."""
        return {
            "pairs": ", ".join(self.pairs),
            "split": f"{self.split}, seed {self.split_seed}",
            "strategies": ", ".join(self.strategies),
            "seeds": ", ".join(map(str, self.seeds)),
            "budget": ", ".join(map(str, self.budgets)),
            "profile": self.profile,
            "protocol": self.protocol,
            "configurations": self._configurations(),
            "pixels per class": "all" if self.pixels_per_class is None else str(self.pixels_per_class),
            "target access": self.target_access,
            "final networks": self.final_networks,
        }

    def _configurations(self) -> str:
        return str(self.num_configurations) if self.tuned_in is None else f"chosen in {self.tuned_in.name}"


def read_spec(path: Path, *, spaces: Path) -> ComparisonSpec:
    """Read a comparison's TOML file.

    Args:
        path: The file; relative paths in it are relative to its folder.
        spaces: Folder of the search spaces that are found by the method's name.

    Raises:
        MissingDataError: There is no such file, or no such search space.
        InvalidInputError: It is no TOML file, or a key or value is wrong; the message names it.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingDataError(f"there is no file {path}; see comparisons/example.toml.") from error
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} can't be read ({first_line(error)}); see comparisons/example.toml.") from error
    if not _NAME.fullmatch(path.stem):
        raise InvalidInputError(
            f"{path.name}: the file's name names the comparison; expected letters, digits, '_', '-' and '.'. Rename it."
        )
    table = Table(str(path), values)
    table.refuse_unknown(_KEYS)
    for key in ("pairs", "methods"):
        if key not in table:
            raise table.wrong(key, expected="a list", advice=f"Write {key} = [ … ]; see comparisons/example.toml.")
    tuned_in = _path(table, "tuned_in", path.parent)
    return ComparisonSpec(
        name=path.stem,
        pairs=table.texts("pairs") or (),
        methods=tuple(_entry(each, path.parent, spaces, where=str(path)) for each in _methods(table)),
        budgets=_budgets(table),
        pixels_per_class=_pixels_per_class(table),
        protocol=table.choice("protocol", PROTOCOLS, default="tune-once"),
        split=table.choice("split", SPLITS, default="blocks"),
        target_access=table.choice("target_access", TARGET_ACCESS, default="none"),
        final_networks=table.choice("final_networks", FINAL_NETWORKS, default="fields"),
        profile=table.text("profile") or "laptop",
        strategies=table.texts("strategies") or (SourceBlocks.name,),
        seeds=_seeds(table),
        num_configurations=_number(table, "num_configurations", least=1, default=10 if tuned_in is None else 1),
        evaluate_every=_number(table, "evaluate_every", least=1, default=1),
        split_seed=_number(table, "split_seed", least=0, default=0),
        data_dir=_path(table, "data_dir", path.parent),
        catalogue=_path(table, "catalogue", path.parent),
        tuned_in=None if tuned_in is None else Path(tuned_in),
    )


def _number(table: Table, key: str, *, least: int, default: int) -> int:
    found = table.whole_number(key, least=least)
    return default if found is None else found


def _seeds(table: Table) -> tuple[int, ...]:
    seeds = table.numbers("seeds", least=0) or (0, 1, 2)
    if len(set(seeds)) != len(seeds):
        raise table.wrong("seeds", expected="different whole numbers", advice="Write each once.")
    return seeds


def _budgets(table: Table) -> tuple[Budget, ...]:
    epochs, seconds = table.whole_number("epochs", least=1), table.seconds("seconds")
    if epochs is None and seconds is None:
        raise table.wrong("epochs", expected="a budget", advice="Write epochs = 40, or seconds = 60, or both.")
    by_epochs = () if epochs is None else (Budget(epochs=epochs),)
    return by_epochs if seconds is None else (*by_epochs, Budget(seconds=seconds))


def _pixels_per_class(table: Table) -> int | None:
    if "pixels_per_class" not in table:
        return 60
    try:
        if table.text("pixels_per_class") == "all":
            return None
    except InvalidInputError:
        pass
    return table.whole_number("pixels_per_class", least=1)


def _path(table: Table, key: str, folder: Path) -> str | None:
    given = table.text(key)
    return None if given is None else str((folder / given).resolve())


def _methods(table: Table) -> "list[str | Table]":
    return table.texts_or_tables("methods") or []


def _entry(given: "str | Table", folder: Path, spaces: Path, *, where: str) -> MethodEntry:
    table = Table(f"{where}, methods, {given!r}", {"method": given}) if isinstance(given, str) else given
    table.refuse_unknown(_METHOD_KEYS)
    name = table.text("method")
    if name is None:
        raise table.wrong("method", expected="a method's name", advice=f"Known: {', '.join(METHODS)}.")
    if name not in METHODS:
        raise InvalidInputError(
            f"{table.where}: no method is called {name!r}{nearest_name(name, METHODS)}. Known: {', '.join(METHODS)}."
        )
    method = find_method(name)
    title = method.title if issubclass(method, SpectralFloor) else name
    space = table.text("space")
    path: Path | None
    if space is not None:
        path = folder / space if space.endswith(".py") else spaces / f"{space}.py"
    else:
        path = None if issubclass(method, SpectralFloor) else spaces / f"{name}.py"
    if path is not None and not path.is_file():
        known = sorted(each.stem for each in spaces.glob("*.py"))
        raise MissingDataError(
            f"{table.where}: there is no search space {path}; expected one of {', '.join(known)}, or a file. Write "
            'space = "NAME" or space = "path/to/space.py".'
        )
    try:
        preset = method.config_type.preset(table.text("preset"))
    except InvalidInputError as error:
        raise InvalidInputError(f"{table.where}: {error}") from error
    return MethodEntry(
        method=name,
        label=table.text("label") or title,
        space=path,
        settings={**preset, **table.values("settings")},
        pairs=table.texts("pairs"),
    )
