"""A comparison from its specification to its results."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sceneshift.comparison.cells import Cell, CellStore
from sceneshift.comparison.choosing import ChosenCell, Pool, choices_as_rows, choose
from sceneshift.comparison.chosen_settings import settings_text, with_settings
from sceneshift.comparison.class_maps import MAPS, PairMaps, read_maps, write_maps
from sceneshift.comparison.joining import FinalNetwork, JoinLog, digest_of, join_labels
from sceneshift.comparison.listener import ComparisonListener
from sceneshift.comparison.placing import Places
from sceneshift.comparison.pools import distinct, expected_cost, expected_seconds, make_pools
from sceneshift.comparison.preparing import PreparedComparison, prepare
from sceneshift.comparison.results import RESULTS, ComparisonResults
from sceneshift.comparison.running import Batch, run_batch
from sceneshift.comparison.spec import ComparisonSpec
from sceneshift.comparison.timing import Timings
from sceneshift.cores import keep_to_allowed_cores
from sceneshift.errors import StudyError
from sceneshift.execution.executor import Executor, StopRequest
from sceneshift.studies.json_files import read_json, write_json
from sceneshift.studies.one_run import only_one
from sceneshift.studies.turns import in_turn
from sceneshift.tracking.provenance import code_tags

#: Files of a comparison's folder, beside its results.
CHOICES, SCORED = "choices.json", "scored.json"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """How far a comparison has come.

    Args:
        prepared: The comparison.
        pools: Its pools.
        store: Its trainings.
        networks: The final networks, where all is chosen.
        results: Their scores; None where the run ended before all trainings had.
        maps: Class maps beside the truth, of each pair.
        folder: Where results are.
    """

    prepared: PreparedComparison
    pools: tuple[Pool, ...]
    store: CellStore
    networks: tuple[FinalNetwork, ...] = ()
    results: ComparisonResults | None = None
    maps: tuple[PairMaps, ...] = ()
    folder: Path


def compare(
    spec: ComparisonSpec,
    folder: Path,
    *,
    places: Places,
    listener: ComparisonListener | None = None,
    stop: StopRequest | None = None,
    time_trainings: int | None = None,
    strategies: tuple[str, ...] = (),
) -> Compared:
    """Train what is missing, choose, train final networks, then join target labels and score.

    Trainings that have ended are not repeated. A training that failed is tried again, one that diverged is not.

    Args:
        spec: What is compared.
        folder: The comparison's folder, in which everything is kept.
        places: Where trainings run.
        listener: Notified while it runs.
        stop: Ends the run when asked to; the next run continues.
        time_trainings: Train so many and end, to learn what all will take.
        strategies: Choose by these instead of the specification's, without training: where the configuration that is
            chosen has no final network, the network that was chosen is scored itself.

    Returns:
        The results, or how far it has come.

    Raises:
        SceneshiftError: The comparison is not possible, or files can't be written.
    """
    keep_to_allowed_cores()
    listener, stop = listener or ComparisonListener(), stop or StopRequest()
    folder = folder.resolve()  # workers may be in another directory
    if strategies:
        spec = replace(spec, strategies=strategies)
    prepared = prepare(spec)
    with only_one(folder, flag="--storage-path"):
        store, timings = CellStore(folder / "cells"), Timings(prepared, folder)
        timings.time_all(listener.progress)
        pools = make_pools(prepared, timings)
        seconds = expected_seconds(pools, timings)
        listener.begins(prepared, expected_cost(prepared, pools, seconds, store, at_once=places.num_at_once))
        run = _Run(prepared, pools, store, folder=folder, places=places, listener=listener, stop=stop, seconds=seconds)
        so_far = Compared(prepared=prepared, pools=pools, store=store, folder=folder)
        tuning = distinct(cell for pool in pools for cell in pool.cells)
        if strategies:
            return run.choose_again(tuning)
        left = run.missing(tuning)
        if time_trainings is not None:
            left = in_turn(
                left,
                time_trainings,
                batch=lambda cell: (cell.pair, cell.label),
                method=lambda cell: cell.label,
                configuration=lambda cell: cell.configuration,
            )
        with contextlib.ExitStack() as stack:
            if not run.train(left, stack, is_final=False) or time_trainings is not None:
                return so_far
            choices = run.choose()
            networks = run.final_networks(choices)
            cells = distinct(n.cell for n in networks if n.cell is not None)
            if not run.train(run.missing(cells), stack, is_final=True):
                return so_far
        return run.score(networks, folder)


class _Run:
    """One run of a comparison."""

    def __init__(
        self,
        prepared: PreparedComparison,
        pools: tuple[Pool, ...],
        store: CellStore,
        *,
        folder: Path,
        places: Places,
        listener: ComparisonListener,
        stop: StopRequest,
        seconds: Mapping[str, float],
    ) -> None:
        self._prepared, self._pools, self._store, self._folder = prepared, pools, store, folder
        self._places, self._listener, self._stop, self._seconds = places, listener, stop, dict(seconds)
        self._failures: dict[str, str] = {}
        self._executor: Executor | None = None
        self._code = code_tags()

    def missing(self, cells: Sequence[Cell]) -> list[Cell]:
        """The trainings that have not ended."""
        return [cell for cell in cells if self._store.outcome(cell.key) is None]

    def train(self, cells: Sequence[Cell], stack: contextlib.ExitStack, *, is_final: bool) -> bool:
        """Train; returns False if the user stopped it."""
        if not cells:
            return True
        if self._executor is None:
            self._executor = stack.enter_context(self._places.opened(self._folder))
        data = self._prepared.fields if is_final else self._prepared.blocks
        self._listener.batch_begins(cells, self._seconds, at_once=self._places.num_at_once)
        self._failures |= run_batch(
            Batch(
                cells=cells,
                sources=[source for loaded in data.values() for source in loaded.sources],
                targets=self._prepared.targets(),
            ),
            self._executor,
            self._store,
            stop=self._stop,
            code=self._code,
            on_ended=self._listener.ended,
            on_epoch=self._listener.epoch,
            stall_timeout_s=self._places.stall_timeout_s,
        )
        return self._stop.reason is None

    def choose(self) -> list[tuple[Pool, ChosenCell]]:
        """Let every strategy choose from every pool, and keep what it chose."""
        pairs = [(pool, strategy) for pool in self._pools for strategy in self._prepared.spec.strategies]
        choices = []
        for number, (pool, strategy) in enumerate(pairs):
            choices.append((pool, choose(pool, strategy, self._store)))
            self._listener.progress("choosing, strategies and pools", number + 1, len(pairs))
        return choices

    def final_networks(self, choices: Sequence[tuple[Pool, ChosenCell]]) -> list[FinalNetwork]:
        """The networks that are scored, whose trainings may be missing still."""
        spec = self._prepared.spec
        found = []
        for pool, chosen in choices:
            if chosen.cell is None:
                nothing = f"no configuration was trained to its end{self._reasons(pool)}"
                found += [
                    FinalNetwork(pool=pool, chosen=chosen, seed=seed, cell=None, failed=nothing)
                    for seed in spec.seeds_of(pool.repeat)
                ]
            elif spec.final_networks == "blocks":
                found.append(FinalNetwork(pool=pool, chosen=chosen, seed=pool.repeat, cell=chosen.cell))
            else:
                for seed in spec.seeds_of(pool.repeat):
                    cell = self._prepared.final_cell(chosen.cell, label=pool.label, seed=seed)
                    self._seconds.setdefault(cell.key, self._seconds[chosen.cell.key])
                    found.append(FinalNetwork(pool=pool, chosen=chosen, seed=seed, cell=cell))
        return found

    def choose_again(self, tuning: Sequence[Cell]) -> Compared:
        """Choose and score without training; see :func:`compare`."""
        if missing := self.missing(tuning):
            raise StudyError(
                f"{len(missing)} of {len(tuning)} trainings to choose from have not ended, such as {missing[0].name}. "
                "Run the comparison first, without --strategies."
            )
        networks = []
        for network in self.final_networks(self.choose()):
            if network.cell is None or self._store.outcome(network.cell.key) is not None:
                networks.append(network)
            elif network.seed == self._prepared.spec.seeds_of(network.pool.repeat)[0]:  # once, not for every seed
                networks.append(replace(network, seed=network.pool.repeat, cell=network.chosen.cell))
        name = "+".join(self._prepared.spec.strategies)
        return self.score(networks, self._folder / "chosen-by" / name)

    def score(self, networks: Sequence[FinalNetwork], folder: Path) -> Compared:
        """Join target labels, unless these networks have been scored already, and write the results."""
        networks = [self._judged(network) for network in networks]
        scored, digest = folder / SCORED, digest_of(networks)
        known = read_json(scored, advice="delete it to score again")
        if known == digest and (folder / RESULTS).exists() and (folder / MAPS).exists():
            texts = ["" if network.cell is None else settings_text(network.cell) for network in networks]
            results, maps = with_settings(ComparisonResults.read(folder / RESULTS), texts), read_maps(folder / MAPS)
        else:
            choices = list({(n.pool.place, n.chosen.strategy): (n.pool, n.chosen) for n in networks}.values())
            write_json(folder / CHOICES, choices_as_rows(choices), indent=1)
            log = JoinLog(self._folder)
            joined = join_labels(self._prepared, networks, self._store, log)
            maps = joined.maps
            results = ComparisonResults(
                name=self._prepared.spec.name, cells=joined.cells, caption=self._caption(networks), joins=log.counts()
            )
            results.write(folder / RESULTS)
            write_maps(maps, folder / MAPS)
            write_json(scored, digest)
        return Compared(
            prepared=self._prepared,
            pools=self._pools,
            store=self._store,
            networks=tuple(networks),
            results=results,
            maps=maps,
            folder=folder,
        )

    def _judged(self, network: FinalNetwork) -> FinalNetwork:
        """The network, with the reason why it has no scores if its training failed or diverged."""
        if network.cell is None:
            return network
        outcome = self._store.outcome(network.cell.key)
        if outcome is None:
            reason = self._failures.get(network.cell.key, "its training did not end")
        elif outcome.diverged is not None:
            reason = outcome.diverged
        else:
            return network
        return replace(network, failed=reason)

    def _reasons(self, pool: Pool) -> str:
        for cell in pool.cells:
            outcome = self._store.outcome(cell.key)
            reason = self._failures.get(cell.key) if outcome is None else outcome.diverged
            if reason:
                return f"; configuration {cell.configuration}: {reason}"
        return ""

    def _caption(self, networks: Sequence[FinalNetwork]) -> dict[str, str]:
        """What captions say: the specification, the code, and what failed."""
        keys = dict.fromkeys(
            cell.key for n in networks for cell in (*n.pool.cells, *(() if n.cell is None else (n.cell,)))
        )
        outcomes = [outcome for key in keys if (outcome := self._store.outcome(key)) is not None]
        codes = dict.fromkeys(outcome.code["code.hash"] for outcome in outcomes)
        commits = dict.fromkeys(outcome.code["git.commit"][:7] for outcome in outcomes)
        dirty = any(outcome.code.get("git.dirty") == "true" for outcome in outcomes)
        caption = {
            **self._prepared.spec.caption(),
            "groups": "; ".join(f"{pair}: {group}" for pair, group in self._prepared.groups.items()),
            "commit": ", ".join(commits) + (", with uncommitted changes" if dirty else ""),
            "code": ", ".join(codes),
            "trainings": f"{len(outcomes)} of {len(keys)}",
        }
        if len(codes) > 1:
            caption["note"] = (
                f"Trainings were run by {len(codes)} versions of the package's code; the code of each method itself is "
                "the same in all of its trainings."
            )
        return caption
