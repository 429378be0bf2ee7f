"""From what the trainings of a batch left to its published rows.

Shape letters: N pixels, K classes, R seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sceneshift.scores import Scores
from sceneshift.selection.accuracy_estimate import estimate_accuracy
from sceneshift.selection.candidates import Metrics
from sceneshift.studies.cell_files import CellFiles, EpochAndAverage, Looks
from sceneshift.studies.cell_scores import SINGLE_STRATEGIES, cell_scores, highest, joint_scores
from sceneshift.studies.cells import Places, loaded_batch, study_pixels
from sceneshift.studies.design import Cell, StudyDesign
from sceneshift.studies.published_rows import KEYS, SCORE, BatchFacts, PublishedBatch
from sceneshift.studies.target_scores import StudyPixels
from sceneshift.training.epoch_record import EpochRecord, RecordFolder

#: A candidate within a batch: configuration, seed, epoch and whether it is the running average.
_Candidate = tuple[int, int, EpochAndAverage]


def gather_batch(design: StudyDesign, cells: Sequence[Cell], places: Places, *, num_expected: int) -> PublishedBatch:
    """Make the rows of a batch from its finished trainings.

    Args:
        design: The design.
        cells: Trainings of one pair and method, finished or not.
        places: Where their files are.
        num_expected: Trainings of a complete batch.

    Raises:
        StudyError: A file is missing or damaged.
    """
    pair, method = cells[0].pair, cells[0].method
    is_refit = cells[0].is_refit
    data = design.spec(cells[0], data_dir=places.data_dir, catalogue=places.catalogue).data
    pixels = study_pixels(data)
    done = {
        (cell.configuration, cell.seed): (CellFiles(cell.folder(places.work)), values)
        for cell in cells
        if (values := CellFiles(cell.folder(places.work)).done(design.key())) is not None
    }
    whole = {key: files for key, (files, values) in done.items() if values["diverged"] is None}
    metrics = {key: _epochs(done[key][1]["metrics"]) for key in whole}
    looks = {key: files.looks() for key, files in whole.items()}
    scores = {} if is_refit else _scores(whole, metrics, pixels)
    kept = set() if is_refit else _kept(design, scores, looks, pixels)
    rows = pd.DataFrame(_rows(looks, scores, kept, pixels, len(loaded_batch(data).pairs[0].class_names)))
    if kept:
        rows = rows.join(_estimates(rows, kept, whole), how="left")
    facts = BatchFacts(
        design=design.key(),
        pair=pair,
        method=method,
        is_refit=is_refit,
        num_cells=len(done),
        is_complete=len(done) == num_expected,
        diverged=[f"c{c:03d}-s{s}" for (c, s), (_, values) in sorted(done.items()) if values["diverged"] is not None],
        class_names=list(loaded_batch(data).pairs[0].class_names),
        target_pixels=pixels.target.tolist(),
        largest_class_share=pixels.largest_class_share,
        seconds={f"c{c:03d}-s{s}": values["seconds"]["all"] for (c, s), (_, values) in sorted(done.items())},
        code=next((values["code"] for _, values in done.values()), {}),
    )
    return PublishedBatch(facts=facts, rows=_narrow(rows))


def _epochs(metrics: Mapping[str, Metrics]) -> dict[int, Metrics]:
    return {int(epoch): values for epoch, values in metrics.items()}


def _scores(
    whole: Mapping[tuple[int, int], CellFiles],
    metrics: Mapping[tuple[int, int], Mapping[int, Metrics]],
    pixels: StudyPixels,
) -> dict[str, dict[_Candidate, float]]:
    found: dict[str, dict[_Candidate, float]] = {name: {} for name in SINGLE_STRATEGIES}
    for key, files in whole.items():
        own = files.scores()
        if not set(SINGLE_STRATEGIES) <= set(own):  # a strategy is newer than the training
            own = cell_scores(files, metrics[key], pixels)
            files.write_scores(own)
        for name in SINGLE_STRATEGIES:
            found[name] |= {(*key, candidate): score for candidate, score in own[name].items()}
    return found | joint_scores({key: (files, metrics[key]) for key, files in whole.items()})


def _kept(
    design: StudyDesign,
    scores: Mapping[str, Mapping[_Candidate, float]],
    looks: Mapping[tuple[int, int], Looks],
    pixels: StudyPixels,
) -> set[_Candidate]:
    """The candidates that are published with what they predict: choices, each seed's best, and every last epoch."""
    seeds = {seed for _, seed in looks}
    kept = {choice for each in scores.values() for seed in seeds if (choice := highest(each, seed=seed)) is not None}
    kept |= {(*key, (design.epochs, False)) for key in looks}
    reached = {
        (*key, candidate): float(np.mean(predicted == pixels.target_labels))
        for key, of_cell in looks.items()
        for candidate, predicted in of_cell.target.items()
    }
    return kept | {best for seed in seeds if (best := highest(reached, seed=seed)) is not None}


def _rows(
    looks: Mapping[tuple[int, int], Looks],
    scores: Mapping[str, Mapping[_Candidate, float]],
    kept: set[_Candidate],
    pixels: StudyPixels,
    num_classes: int,
) -> Iterable[dict[str, Any]]:
    for (configuration, seed), of_cell in sorted(looks.items()):
        last = max(epoch for epoch, _ in of_cell.target)
        for epoch, average in sorted(of_cell.target):
            predicted = of_cell.target[epoch, average]
            target = Scores.from_labels(pixels.target_labels, predicted, num_classes=num_classes)
            candidate = configuration, seed, (epoch, average)
            source = of_cell.validation.get((epoch, average), {})
            # Of refits there are few, and which of their epochs were chosen is not asked here.
            is_kept = candidate in kept or (not scores and epoch == last)
            yield {
                **dict(zip(KEYS, (configuration, seed, epoch, average), strict=True)),
                **{f"source_{figure}": source.get(figure, np.nan) for figure in ("oa", "aa", "kappa")},
                **{f"target_{figure}": value for figure, value in target.as_dict().items()},
                **{SCORE + name: each.get(candidate, np.nan) for name, each in scores.items()},
                "confusion": target.confusion.ravel().tolist() if is_kept or not scores else None,
                "predicted": predicted.tobytes() if is_kept else None,
            }


def _estimates(rows: pd.DataFrame, kept: set[_Candidate], whole: Mapping[tuple[int, int], CellFiles]) -> pd.DataFrame:
    """Estimated accuracies of the kept candidates, not yet corrected by other pairs; one row per row with one."""
    wanted: dict[int, list[tuple[int, EpochAndAverage]]] = {}
    for configuration, seed, candidate in kept:
        wanted.setdefault(configuration, []).append((seed, candidate))
    places = {
        (row.configuration, row.seed, (row.epoch, row.is_average)): index
        for index, row in zip(rows.index, rows[list(KEYS)].itertuples(index=False), strict=True)
    }
    found: dict[Any, dict[str, float]] = {}
    for configuration, candidates in wanted.items():
        records: dict[int, dict[EpochAndAverage, EpochRecord]] = {}
        labels: NDArray[np.int64] | None = None
        for (other, seed), files in whole.items():
            if other == configuration:
                outputs = RecordFolder(str(files.folder)).read(("validation_logits", "target_logits"))
                records[seed] = {(record.epoch, record.is_average): record for record in outputs.records}
                (header,) = outputs.headers.values()
                labels = header.validation_labels
        for seed, candidate in candidates:
            record = records[seed].get(candidate)
            if record is None or record.target is None or labels is None:
                continue
            others = [own[candidate].target for own in records.values() if candidate in own]
            of_seeds = [target.logits for target in others if target is not None]
            if any(np.isnan(logits).any() for logits in (record.validation.logits, *of_seeds)):
                continue
            estimate = estimate_accuracy(
                record.validation.logits,
                labels,
                record.target.logits,
                residuals={},
                seeds_target_logits=np.stack(of_seeds) if len(of_seeds) > 1 else None,
            )
            found[places[configuration, seed, candidate]] = {
                "estimate": estimate.uncorrected,
                **{f"estimate_{name}": value for name, value in estimate.parts.items()},
                "estimate_deviation": estimate.sampling_deviation,
            }
    return pd.DataFrame.from_dict(found, orient="index")


def _narrow(rows: pd.DataFrame) -> pd.DataFrame:
    types = {name: np.float32 for name in rows if rows[name].dtype == np.float64}
    whole = {"configuration": np.int16, "seed": np.int8, "epoch": np.int16}
    return rows.astype({**types, **{name: kind for name, kind in whole.items() if name in rows}})
