"""Published rows of a study: one Parquet file per pair and method, a row per candidate.

They hold everything the tables need, in little space, so that records and checkpoints need not be kept: scores on the
source and the target, every strategy's score and, for candidates that some strategy chooses and for every last epoch,
the confusion matrix and the predicted classes. Pixels are named by their place; no spectrum and no label of a scene is
among them.

Shape letters: N target pixels, K classes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet as pq

from sceneshift.errors import StorageError, StudyError, first_line
from sceneshift.safe_files import replacing
from sceneshift.studies.design import FORMAT, StudyDesign

_FACTS = b"sceneshift.study"

#: The start of the columns with the scores of strategies.
SCORE = "score:"

#: What identifies a candidate within a batch.
KEYS = ("configuration", "seed", "epoch", "is_average")

#: Scores on the target.
TARGET_FIGURES = ("target_oa", "target_aa", "target_kappa")

#: Parts of the accuracy estimate, of chosen candidates.
ESTIMATES = ("estimate", "estimate_atc", "estimate_doc", "estimate_agreement", "estimate_deviation")

#: Rows that a file must not exceed, as a guard against publishing records.
_MOST_ROWS = 100_000


@dataclass(frozen=True, kw_only=True)
class BatchFacts:
    """What the rows of a batch have in common.

    Args:
        design: Key of the design.
        pair: The pair.
        method: The method.
        is_refit: Whether the trainings are refits on all fields.
        num_cells: Trainings in the file, those that diverged included.
        is_complete: Whether they are all of the design's; of refits, whether the choices known then are all there.
        diverged: Names of the trainings whose loss became infinite; they have no rows.
        class_names: The K classes.
        target_pixels: Flat indices of the N scored target pixels.
        largest_class_share: Share of the target's labelled pixels of its largest class.
        seconds: Seconds of every training by name, evaluation included.
        code: Versions and the hash of the code.
        target_labels_read: Always true: target labels were read after every evaluated epoch. No figure of these
            trainings is one of an unseen target.
        drawn_at_random: Always true: configurations are the design's random draws, trained in full.
    """

    design: str
    pair: str
    method: str
    is_refit: bool
    num_cells: int
    is_complete: bool
    diverged: Sequence[str]
    class_names: Sequence[str]
    target_pixels: Sequence[int]
    largest_class_share: float
    seconds: Mapping[str, float]
    code: Mapping[str, str]
    target_labels_read: bool = True
    drawn_at_random: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedBatch:
    """A file of published rows.

    Args:
        facts: What the rows have in common.
        rows: :data:`KEYS`; ``source_oa|aa|kappa`` on all validation pixels; :data:`TARGET_FIGURES`, 0..1;
            ``score:<strategy>``, NaN where it may not choose the candidate; and of some candidates
            :data:`ESTIMATES`, ``confusion`` (K * K counts, rows are the truth) and ``predicted`` (N bytes).
    """

    facts: BatchFacts
    rows: pd.DataFrame

    def confusion(self, row: Mapping[str, Any]) -> NDArray[np.int64] | None:
        """(K, K) of a candidate; None where none was kept."""
        counts = row["confusion"]
        num_classes = len(self.facts.class_names)
        if counts is None:
            return None
        return np.asarray(counts, dtype=np.int64).reshape(num_classes, num_classes)


def batch_path(out: Path, pair: str, method: str, *, is_refit: bool = False) -> Path:
    """The file of a batch."""
    return out / pair / f"{method}{'.refits' if is_refit else ''}.parquet"


def write_batch(path: Path, batch: PublishedBatch) -> None:
    """Write a batch; a file with more trainings is never replaced by one with fewer.

    Raises:
        StudyError: The file that is there has more trainings, or is of another design.
        StorageError: It can't be written.
    """
    if len(batch.rows) > _MOST_ROWS:
        raise StudyError(f"{path}: {len(batch.rows)} rows; expected at most {_MOST_ROWS}. Publish one batch a file.")
    if path.exists():
        there = read_facts(path)
        if there.design != batch.facts.design:
            raise StudyError(
                f"{path} is of design {there.design}, these rows of {batch.facts.design}; give another --out."
            )
        if there.num_cells > batch.facts.num_cells:
            raise StudyError(
                f"{path} has {there.num_cells} trainings, and {batch.facts.num_cells} are at hand; nothing was "
                "overwritten. Train the others again, or move the file away."
            )
    rows = batch.rows
    floats = [name for name in rows.columns if rows[name].dtype == np.float32]
    kinds = {"confusion": pa.list_(pa.int32()), "predicted": pa.binary()}
    columns = {
        name: pa.array(rows[name].tolist(), kinds[name]) if name in kinds else pa.array(rows[name]) for name in rows
    }
    table = pa.table(columns).replace_schema_metadata(
        {_FACTS: json.dumps({"format": FORMAT, **asdict(batch.facts)}).encode()}
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            pq.write_table(
                table,
                temporary,
                compression="zstd",
                compression_level=15,
                use_dictionary=[name for name in KEYS if name in columns],
                use_byte_stream_split=floats,
                write_page_checksum=True,
            )
    except OSError as error:
        raise StorageError(f"{path} can't be written ({first_line(error)}).") from error


def read_facts(path: Path) -> BatchFacts:
    """Read what the rows of a file have in common, without the rows.

    Raises:
        StudyError: It is no file of this version, or damaged.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
        values = json.loads(metadata[_FACTS])
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(f"{path} can't be read ({first_line(error)}); put a copy back.") from error
    if (found := values.pop("format", None)) != FORMAT:
        raise StudyError(f"{path} is of format {found}; this version of sceneshift reads format {FORMAT}.")
    return BatchFacts(**values)


def read_batch(path: Path, design: StudyDesign) -> PublishedBatch:
    """Read a batch, and check that nothing entered it but random configurations trained in full.

    Raises:
        StudyError: It is damaged, of another design, or holds a training that may not enter.
    """
    facts = read_facts(path)
    try:
        rows = pq.read_table(path, page_checksum_verification=True).to_pandas()
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} is damaged ({first_line(error)}); put a copy back.") from error
    batch = PublishedBatch(facts=facts, rows=rows)
    check_batch(batch, design, where=str(path))
    return batch


def check_batch(batch: PublishedBatch, design: StudyDesign, *, where: str) -> None:
    """Refuse rows that may not enter a study.

    Args:
        batch: The rows.
        design: The study's design.
        where: What they are, for messages.

    Raises:
        StudyError: They are of another design, were not drawn at random, are of no configuration of the design, or of a
            training that did not run all its epochs.
    """
    facts, rows = batch.facts, batch.rows
    if facts.design != design.key():
        raise StudyError(f"{where} is of design {facts.design}; this study is of {design.key()}.")
    if not facts.drawn_at_random:
        raise StudyError(f"{where}: its trials were not drawn at random, and only such may enter. Leave it out.")
    if facts.pair not in (*design.pairs, *design.confirmation_pairs) or facts.method not in design.configurations:
        raise StudyError(f"{where}: {facts.method} on {facts.pair} is not in the design.")
    if rows.empty:  # all trainings diverged
        return
    num = len(design.configurations[facts.method])
    num_seeds = design.num_refit_seeds if facts.is_refit else design.num_seeds
    outside = rows[~rows["configuration"].between(0, num - 1) | ~rows["seed"].between(0, num_seeds - 1)]
    if len(outside):
        raise StudyError(
            f"{where}: {len(outside)} rows are of configurations or seeds outside the design's {num} and {num_seeds}."
        )
    if facts.is_refit:
        return
    lasts = rows[~rows["is_average"]].groupby(["configuration", "seed"])["epoch"].max()
    short = lasts[lasts != design.epochs]
    if len(short):
        (configuration, seed), epoch = next(iter(short.items()))
        raise StudyError(
            f"{where}: configuration {configuration}, seed {seed} ends at epoch {epoch} of {design.epochs}; only "
            "trials trained in full may enter. Leave it out."
        )
