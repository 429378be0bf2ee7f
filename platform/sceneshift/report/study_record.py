"""A study's records on disk, for its report: the trial store, and the files written when it closed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from sceneshift.errors import StudyError, first_line
from sceneshift.report.uncertainty import FieldCounts
from sceneshift.search.trial_record import REFERENCE_TRIAL, Ended, TrialRecord
from sceneshift.search.trial_store import read_store
from sceneshift.selection.registry import find_strategy
from sceneshift.selection.strategy import SourceBlocks, Strategy

#: The files a closing writes into the study's report folder.
SUMMARY, EVIDENCE = "summary.json", "evidence.json"

#: The trial store of a study, in its directory.
STORE_FILE = "optuna.db"

#: The roles in a study's tables: two configurations as trained by trials, and the constant prediction of the source's
#: largest class. Floors appear among them by their titles.
BEST, DEFAULTS, MAJORITY = "best", "defaults", "majority class"

#: The chosen configuration trained once more on pixels of every labelled field; it has no validation scores.
REFITTED = "best, every field"


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """Everything that is recorded about a study.

    Args:
        directory: The study's.
        study: Optuna's study.
        settings: The settings it began with.
        records: Its trials.
        openings: How often target labels have been read.
        summary: The summary written by the closing; None before it.
        evidence: The facts recorded by the closing for the report; None before it, and for studies of earlier versions.
        closed_in: The folder of the closing's files, where it is not the search's own closing.
    """

    directory: Path
    study: optuna.Study
    settings: Mapping[str, Any]
    records: Sequence[TrialRecord]
    openings: int
    summary: Mapping[str, Any] | None
    evidence: Mapping[str, Any] | None
    closed_in: Path | None = None

    @classmethod
    def read(cls, directory: Path, *, closed_in: Path | None = None) -> "StudyRecord":
        """Read a study's directory; nothing is changed.

        Args:
            directory: The study's.
            closed_in: The folder of a closing's files; by default that of the search's own closing.

        Raises:
            StudyError: There is no study, or a file of it can't be read.
        """
        reading = read_store(directory / STORE_FILE)
        return cls(
            directory=directory,
            study=reading.study,
            settings=reading.settings,
            records=reading.records,
            openings=reading.openings,
            summary=_read_json((closed_in or directory / "report") / SUMMARY),
            evidence=_read_json((closed_in or directory / "report") / EVIDENCE),
            closed_in=closed_in,
        )

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.study_name

    @property
    def report_folder(self) -> Path:
        """The folder of the closing's files, and the report's default folder."""
        return self.closed_in or self.directory / "report"

    @property
    def strategy(self) -> Strategy[Any]:
        """What chose trial and epoch, or would: of the closing, else of the search."""
        chosen = (self.summary or {}).get("choice", {}).get("strategy")
        return find_strategy(chosen or str(self.settings.get("strategy", SourceBlocks.name)))

    @property
    def metric(self) -> str:
        """The score that steered the search."""
        return find_strategy(str(self.settings.get("strategy", SourceBlocks.name))).metric

    @property
    def method(self) -> str:
        """The method that was searched."""
        return str(self.settings["method"])

    @property
    def epochs(self) -> int:
        """Epochs of a trial that runs to its end."""
        return int(self.settings["epochs"])

    @property
    def pairs(self) -> Sequence[str]:
        """Names of the pairs, or of the scene."""
        return [str(name) for name in self.settings["pairs"]]

    @property
    def space_hash(self) -> str:
        """Hash of the search space's text; the second name is from version 0.1."""
        return str(self.settings.get("search_space.hash", self.settings.get("search-space hash")))

    @property
    def is_within_one_scene(self) -> bool:
        """Whether source and target are two sides of one scene."""
        if self.evidence is not None:
            return any("test" in noted["splits"] for noted in self.evidence["pairs"].values())
        # The second is how version 0.1 wrote it.
        return any(key.startswith(("test_split.hash.", "test split hash of ")) for key in self.settings)

    @property
    def is_closed(self) -> bool:
        """Whether winner and defaults have been scored on the targets."""
        return self.summary is not None

    @property
    def is_stale(self) -> bool:
        """Whether trials have been added since the closing."""
        if self.summary is None:
            return False
        closed_with = sum(int(self.summary["trials"][state]) for state in ("complete", "pruned", "fail"))
        return closed_with != len(self.records)

    @property
    def best(self) -> TrialRecord | None:
        """The trial that the closing chose; before it, the one that it would choose now."""
        if self.summary is not None:
            number = int(self.summary["best"]["trial"])
            return next((record for record in self.records if record.number == number), None)
        complete = [r for r in self.records if r.state == "complete" and r.value is not None and np.isfinite(r.value)]
        return max(complete, key=lambda record: (record.value, -record.number), default=None)

    @property
    def defaults(self) -> TrialRecord | None:
        """The reference trial."""
        return next((record for record in self.records if record.number == REFERENCE_TRIAL), None)

    @property
    def stopped_by_asha(self) -> list[TrialRecord]:
        """The trials that ASHA stopped for being worse, not those ended by the time budget."""
        return [r for r in self.records if r.state == "pruned" and not _out_of_time(r)]

    @property
    def stopped_by_time(self) -> list[TrialRecord]:
        """The trials the time budget ended."""
        return [r for r in self.records if r.state == "pruned" and _out_of_time(r)]

    @property
    def compared_epoch(self) -> int:
        """The last epoch that (nearly) every trial reached: before the first rung, ASHA stops none."""
        if self.evidence is not None:
            rung = min(int(self.evidence["profile"]["grace_epochs"]), self.epochs)
        else:
            rung = min((record.last_epoch for record in self.stopped_by_asha), default=self.epochs)
        reached = [record.last_epoch for record in self.records if record.last_epoch > 0]
        return rung if any(epoch >= rung for epoch in reached) else max(reached, default=1)

    def shown(self) -> dict[str, TrialRecord]:
        """The winner and the defaults by role, if they exist."""
        roles = {BEST: self.best, DEFAULTS: self.defaults}
        return {role: record for role, record in roles.items() if record is not None}

    @staticmethod
    def source_flights(noted: Mapping[str, Any]) -> set[str]:
        """The flights that a pair's sources are of, from the facts recorded for it; earlier versions knew one."""
        return {str(scene["flight"]) for scene in (noted["sources"] if "sources" in noted else [noted["source"]])}

    def pair_evidence(self, pair: str) -> Mapping[str, Any] | None:
        """The facts recorded by the closing for a pair."""
        found: Mapping[str, Any] | None = None if self.evidence is None else self.evidence["pairs"].get(pair)
        return found

    @property
    def verdicts(self) -> Sequence[Mapping[str, Any]]:
        """How the registered networks compare with the best floors; empty before closing and for earlier versions."""
        return [] if self.summary is None else self.summary.get("verdicts", [])

    def registered_role(self, pair: str) -> str:
        """The role of the network that is registered for a pair."""
        return BEST if self.summary is None else str(self.summary.get("registered", {}).get(pair, BEST))

    def best_floor(self, pair: str) -> str | None:
        """The floor with the highest AA on the target, if there are floors."""
        return next((str(verdict["floor"]) for verdict in self.verdicts if verdict["pair"] == pair), None)

    def compared_counts(self, pair: str) -> dict[str, FieldCounts]:
        """As :meth:`field_counts`: the registered network, the best floor, then the other networks; no other floor."""
        found = self.field_counts(pair)
        roles = (self.registered_role(pair), self.best_floor(pair), BEST, DEFAULTS)
        return {role: found[role] for role in dict.fromkeys(roles) if role is not None and role in found}

    def field_counts(self, pair: str) -> dict[str, FieldCounts]:
        """By role, the predicted classes per field of the target; empty if the closing recorded none."""
        noted = self.pair_evidence(pair)
        return {
            role: FieldCounts(
                classes=np.asarray(fields["classes"], dtype=np.int64),
                predicted=np.asarray(fields["predicted"], dtype=np.int64),
            )
            for role, fields in (noted["fields"] if noted else {}).items()
        }


def _out_of_time(trial: TrialRecord) -> bool:
    # A store of version 0.1 has the reason only as text.
    return trial.ended is Ended.TIME_BUDGET or (trial.ended is None and "time budget" in trial.reason)


def _read_json(path: Path) -> Mapping[str, Any] | None:
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(
            f"{path} can't be read ({first_line(error)}). Put a copy back, or remove it to have a report without it."
        ) from error
    assert isinstance(found, dict)
    return found
