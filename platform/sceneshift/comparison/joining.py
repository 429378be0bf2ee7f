"""Joining target labels to what final networks predict: the one module of the comparison that opens targets.

It is called after the last training and the last choice. Every joining is counted in ``joins.json`` before a label is
read. The labels are read through :func:`sceneshift.catalogue.target.open_target` and not kept.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.target import TargetScorer, open_target
from sceneshift.comparison.cells import Cell, CellStore
from sceneshift.comparison.choosing import ChosenCell, Pool
from sceneshift.comparison.chosen_settings import settings_text
from sceneshift.comparison.class_maps import PairMaps
from sceneshift.comparison.preparing import PreparedComparison
from sceneshift.comparison.results import CellResult
from sceneshift.errors import StudyError
from sceneshift.seeding import derive_seed
from sceneshift.studies.json_files import read_json, write_json

#: The file that counts joinings.
JOINS = "joins.json"


@dataclass(frozen=True, kw_only=True)
class FinalNetwork:
    """A network that is scored: a row of the results.

    Args:
        pool: What its configuration was chosen from.
        chosen: What a strategy chose there.
        seed: Its seed.
        cell: The training it is from: a final one, or the one that was chosen; None where nothing was chosen.
        failed: Why there is nothing to score; empty if there is.
    """

    pool: Pool
    chosen: ChosenCell
    seed: int
    cell: Cell | None
    failed: str = ""

    @property
    def trained_on(self) -> str:
        """What it was trained on: "fields", or "blocks" for the network that was chosen itself."""
        return "blocks" if self.cell is not None and not self.cell.is_final else "fields"


def digest_of(networks: Sequence[FinalNetwork]) -> str:
    """Hash of what is scored, 16 hexadecimal digits: the same networks need not be joined to labels again."""
    values = [
        [
            *n.pool.place,
            n.chosen.strategy,
            n.seed,
            None if n.cell is None else n.cell.key,
            n.chosen.epoch,
            n.chosen.is_average,
            n.failed,
        ]
        for n in networks
    ]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


class JoinLog:
    """The joinings of a comparison.

    Args:
        folder: The comparison's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOINS

    def count(self, strategy: str, *, networks: int) -> None:
        """Note that target labels are about to be joined.

        Args:
            strategy: What chose the networks, or another reason.
            networks: How many networks are scored.

        Raises:
            StudyError: The file is damaged.
            StorageError: It can't be written.
        """
        entry = {"strategy": strategy, "networks": networks, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        write_json(self._path, [*self._entries(), entry], indent=1)

    def counts(self) -> dict[str, int]:
        """How often target labels were joined, by strategy."""
        found: dict[str, int] = {}
        for entry in self._entries():
            found[entry["strategy"]] = found.get(entry["strategy"], 0) + 1
        return found

    def _entries(self) -> list[dict[str, str]]:
        return read_json(self._path, advice="put a copy back: it counts how often target labels were read") or []


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What is made of predictions and target labels.

    Args:
        cells: A row of the results per network.
        maps: For each pair, the maps of all methods beside the truth: of the networks that the first strategy chose
            under the first budget, one per method, of the first seed with scores.
    """

    cells: tuple[CellResult, ...]
    maps: tuple[PairMaps, ...]


def join_labels(
    prepared: PreparedComparison, networks: Sequence[FinalNetwork], store: CellStore, log: JoinLog
) -> Joined:
    """Score final networks on all labelled pixels of their targets, and put maps beside the truth.

    Args:
        prepared: The comparison.
        networks: The networks, all of them chosen.
        store: What their trainings have left.
        log: Counts the joining, by strategy, before labels are read.

    Raises:
        StudyError: A network's map is missing or damaged.
    """
    for strategy in dict.fromkeys(network.chosen.strategy for network in networks):
        log.count(strategy, networks=sum(n.chosen.strategy == strategy and not n.failed for n in networks))
    doors = {pair: open_target(data.recipes[0]) for pair, data in prepared.blocks.items()}
    return Joined(
        cells=tuple(_result(prepared, network, store, doors[network.pool.pair]) for network in networks),
        maps=tuple(_maps(prepared, networks, store, pair, door) for pair, door in doors.items()),
    )


def _maps(
    prepared: PreparedComparison, networks: Sequence[FinalNetwork], store: CellStore, pair: str, door: TargetScorer
) -> PairMaps:
    spec = prepared.spec
    strategy, budget = spec.strategies[0], spec.budgets[0]
    shown: dict[str, FinalNetwork] = {}
    for network in networks:
        place = network.pool.pair, network.chosen.strategy, network.pool.budget
        if place == (pair, strategy, budget) and not network.failed:
            shown.setdefault(network.pool.label, network)
    note = f"chosen by {strategy}, {budget}"
    if seeds := sorted({network.seed for network in shown.values()}):
        note += f", seed {' and '.join(map(str, seeds))}"
    if without := [entry.label for entry in spec.methods if entry.is_on(pair) and entry.label not in shown]:
        note += f"; without a network: {', '.join(without)}"
    return PairMaps(
        pair=pair,
        note=note,
        truth=door.ground_truth(),
        predicted={label: map_of(network, store) for label, network in shown.items()},
        class_names=door.class_names,
    )


def _result(prepared: PreparedComparison, network: FinalNetwork, store: CellStore, door: TargetScorer) -> CellResult:
    pool, entry, num_classes = network.pool, prepared.entry(network.pool.label), len(door.class_names)
    seconds, scores = float("nan"), None
    if network.cell is not None:
        outcome = store.outcome(network.cell.key)
        seconds = float("nan") if outcome is None else outcome.seconds
        if not network.failed:
            scores = door.score(map_of(network, store))
    figures = dict.fromkeys(("oa", "aa", "kappa"), float("nan")) if scores is None else scores.as_dict()
    return CellResult(
        pair=pool.pair,
        group=prepared.groups[pool.pair],
        method=entry.method,
        label=entry.label,
        is_floor=entry.is_floor,
        protocol=prepared.spec.protocol,
        budget=str(pool.budget),
        strategy=network.chosen.strategy,
        seed=network.seed,
        trained_on=network.trained_on,
        configuration=-1 if network.chosen.cell is None else network.chosen.cell.configuration,
        epoch=network.chosen.epoch,
        epochs=0 if network.cell is None else network.cell.spec.epochs,
        seconds=seconds,
        **figures,
        confusion=np.zeros((num_classes, num_classes), np.int64) if scores is None else scores.confusion,
        class_names=door.class_names,
        failed=network.failed,
        settings="" if network.cell is None else settings_text(network.cell),
    )


def map_of(network: FinalNetwork, store: CellStore) -> NDArray[np.int64]:
    """(H, W) class ids that a network predicts, of the epoch that was chosen.

    A final training has no running average of weights: without validation pixels nothing says where one begins. Its own
    weights are scored, also where averaged ones were chosen.

    Raises:
        StudyError: There is no such map.
    """
    cell = network.cell
    assert cell is not None
    is_average = network.chosen.is_average and not cell.is_final
    found = store.maps(cell.key).get((cell.pair, network.chosen.epoch, is_average))
    if found is None:
        raise StudyError(
            f"{cell.name} has no map of its target after epoch {network.chosen.epoch}; delete its folder "
            f"{store.location(cell.key)} to train it again."
        )
    return found.class_map.astype(np.int64)


def score_epochs(
    prepared: PreparedComparison, cells: Sequence[Cell], store: CellStore, log: JoinLog, *, most_pixels: int
) -> tuple[list[dict[str, object]], Mapping[str, NDArray[np.int64]]]:
    """Score every evaluated epoch of trainings, for published records.

    Args:
        prepared: The comparison.
        cells: The trainings; those that did not end are left out.
        store: What they have left.
        log: Counts the joining before labels are read.
        most_pixels: Labelled target pixels whose predicted classes are returned, at most; drawn at random, the same for
            all trainings on a pair.

    Returns:
        A row per candidate: training, epoch, whether it is the running average, OA, AA and kappa on all labelled target
        pixels, and the predicted class ids of the pixels as bytes; and the flat indices of the pixels by pair.
    """
    log.count("none: every epoch, for publication", networks=len(cells))
    rows: list[dict[str, object]] = []
    pixels: dict[str, NDArray[np.int64]] = {}
    for pair, data in prepared.blocks.items():
        door = open_target(data.recipes[0])
        known = np.flatnonzero(door.ground_truth())
        if len(known) > most_pixels:
            rng = np.random.default_rng(derive_seed("published target pixels", pair))
            known = np.sort(rng.choice(known, most_pixels, replace=False))
        pixels[pair] = known.astype(np.int64)
        for cell in (cell for cell in cells if cell.pair == pair):
            for _, epoch, is_average in (maps := store.maps(cell.key)):
                class_map = maps[pair, epoch, is_average].class_map
                rows.append(
                    {
                        "training": cell.key,
                        "epoch": epoch,
                        "is_average": is_average,
                        **{f"target_{k}": v for k, v in door.score(class_map.astype(np.int64)).as_dict().items()},
                        "predicted": class_map.ravel()[known].tobytes(),
                    }
                )
    return rows, pixels
