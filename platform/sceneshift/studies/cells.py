"""One training of a study, from its place in the design to its files."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from sceneshift.studies.cell_files import CellFiles
from sceneshift.studies.cell_scores import cell_scores
from sceneshift.studies.design import Cell, StudyDesign
from sceneshift.studies.target_scores import Looker, StudyPixels
from sceneshift.tracking.provenance import code_tags
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.data import DataSpec, LoadedData
from sceneshift.training.loop import EpochReport, TrainingDiverged, train


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a study's files are.

    Args:
        work: The folder of records and checkpoints.
        data_dir: The folder of the scenes' files; None for what SCENESHIFT_DATA says.
        catalogue: TOML file of the simulated pairs.
    """

    work: Path
    data_dir: str | None
    catalogue: str


class _Enough(Exception):  # not an error: later epochs are not needed
    """Raised after the last epoch that is needed."""


def train_cell(design: StudyDesign, cell: Cell, places: Places, *, last_epoch: int | None = None) -> dict[str, Any]:
    """Train a cell, or continue it, and look at its target after every evaluated epoch.

    The training is :func:`sceneshift.training.loop.train`, as in every search.

    Args:
        design: The design.
        cell: Which of its trainings.
        places: Where files are.
        last_epoch: The epoch to end after; by default the design's last.

    Returns:
        What its ``done.json`` says.

    Raises:
        SceneshiftError: The data isn't there, a file can't be written, or what is there is damaged.
    """
    files = CellFiles(cell.folder(places.work))
    ends_after = design.epochs if last_epoch is None else last_epoch
    done = files.done(design.key())
    if done is not None and (done["diverged"] is not None or done["epochs"] >= ends_after):
        return done
    torch.set_num_threads(1)
    spec = design.spec(cell, data_dir=places.data_dir, catalogue=places.catalogue)
    data = loaded_batch(spec.data)
    looker = Looker(spec, data, study_pixels(spec.data))
    checkpoints = CheckpointFolder(str(files.folder))
    seconds = {"looking_s": 0.0}
    diverged: str | None = None
    history: dict[int, Mapping[str, float]] = {}

    def hear(report: EpochReport) -> None:
        if spec.evaluates(report.epoch):
            began = time.perf_counter()
            state = checkpoints.load(report.epoch)
            assert state is not None  # it is reported once it is stored
            history.update(state["history"])
            files.write_look(report.epoch, looker.candidates(state))
            seconds["looking_s"] += time.perf_counter() - began
        if ends_after < design.epochs and report.epoch >= ends_after:
            raise _Enough

    began = time.perf_counter()
    try:
        train(
            spec,
            data.sources,
            report=hear,
            checkpoints=checkpoints,
            targets=data.target_pixels(spec.target_access),
        )
    except _Enough:
        pass
    except TrainingDiverged as error:
        diverged = str(error)
    trained = time.perf_counter()
    values: dict[str, Any] = {
        "design": design.key(),
        "pair": cell.pair,
        "method": cell.method,
        "configuration": cell.configuration,
        "seed": cell.seed,
        "epochs": max(history, default=0),
        "diverged": diverged,
        "target_labels_read": True,
        "code": code_tags(),
        "split": data.sources[0].split.content_hash,
        "metrics": {str(epoch): dict(metrics) for epoch, metrics in history.items()},
    }
    files.merge_looks()
    if diverged is None and not cell.is_refit:
        files.write_scores(cell_scores(files, history, study_pixels(spec.data)))
    ended = time.perf_counter()
    values |= {"seconds": {"all": ended - began, "scoring": ended - trained, "looking": seconds["looking_s"]}}
    files.write_done(values)
    return values


@cache
def loaded_batch(spec: DataSpec) -> LoadedData:
    """The scenes of a batch; a process that trains its cells one after another reads them once."""
    return spec.load()


@cache
def study_pixels(spec: DataSpec) -> StudyPixels:
    """The pixels that all cells of a pair look at."""
    return StudyPixels.draw(loaded_batch(spec))
