"""What of a comparison is committed with the project: results, epochs, specification and timed steps, in little space.

Scores of every evaluated epoch and the classes predicted for some target pixels let others choose and test in other
ways. For them target labels are joined to all trainings, which is counted like every joining.
"""

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet as pq

from sceneshift.catalogue.pair_spec import NamedPair, Recipe
from sceneshift.catalogue.sides import is_embedded
from sceneshift.comparison.cells import Cell
from sceneshift.comparison.chosen_settings import settings_in_epochs, settings_text, with_settings
from sceneshift.comparison.class_maps import MAPS, PairMaps, read_maps, write_maps
from sceneshift.comparison.comparing import Compared
from sceneshift.comparison.joining import JoinLog, score_epochs
from sceneshift.comparison.outputs import write_outputs
from sceneshift.comparison.pools import distinct
from sceneshift.comparison.results import RESULTS, ComparisonResults
from sceneshift.comparison.timing import TIMINGS
from sceneshift.errors import InvalidInputError, MissingDataError, StorageError, StudyError, first_line
from sceneshift.tracking.provenance import code_tags

#: Files of a published comparison.
EPOCHS, SPEC = "epochs.parquet", "comparison.toml"

#: Bytes of a published comparison, at most.
MOST_BYTES = 20_000_000

_METADATA = b"sceneshift.comparison.epochs"
_FORMAT = 1


def publish(compared: Compared, spec_file: Path, root: Path, folder: Path, *, most_pixels: int = 2000) -> Path:
    """Write what is to be committed of a comparison that has been scored.

    Args:
        compared: The comparison with its results.
        spec_file: Its TOML file.
        root: The folder of all that is published; below it, a folder is named by date and commit.
        folder: The comparison's own folder.
        most_pixels: Target pixels per pair whose predicted classes are published, at most.

    Returns:
        The folder that was written.

    Raises:
        StudyError: There are no results, the folder exists, or it would be larger than :data:`MOST_BYTES`.
        StorageError: It can't be written.
    """
    results = compared.results
    if results is None:
        raise StudyError(f"comparison {compared.prepared.spec.name!r} has no results yet; run it to its end first.")
    commit = code_tags()["git.commit"][:7]
    place = root / f"{datetime.now(UTC):%Y-%m-%d}_{commit}" / results.name
    if place.exists():
        raise StudyError(f"{place} exists, and what is published is not overwritten; move it away.")
    writing = place.with_name(f"{place.name}.writing")
    try:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir(parents=True)
        shutil.copyfile(spec_file, writing / SPEC)
        if (folder / TIMINGS).exists():
            shutil.copyfile(folder / TIMINGS, writing / TIMINGS)
        _write_epochs(compared, writing / EPOCHS, JoinLog(folder), most_pixels=most_pixels)
        # After the epochs, whose joining is counted, too.
        published = ComparisonResults(
            name=results.name, cells=results.cells, caption=results.caption, joins=JoinLog(folder).counts()
        )
        published.write(writing / RESULTS)
        if maps := _maps_to_publish(compared):
            write_maps(maps, writing / MAPS)
        write_outputs(published, writing, maps=maps)
        size = sum(path.stat().st_size for path in writing.rglob("*") if path.is_file())
        if size > MOST_BYTES:
            raise StudyError(
                f"{results.name}: {size / 1e6:.1f} MB would be published; expected at most {MOST_BYTES / 1e6:.0f} MB. "
                f"Nothing was published; give fewer --publish-pixels than {most_pixels}."
            )
        writing.rename(place)
    except OSError as error:
        raise StorageError(f"{place} can't be written ({first_line(error)}).") from error
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return place


def reproduce(folder: Path) -> list[Path]:
    """Make the tables of a published comparison again, from what is in its folder alone.

    Results of earlier versions have no settings; those of the file of epochs are taken then, if it is there.

    Args:
        folder: The published folder.

    Returns:
        The files that were written, in that folder.

    Raises:
        MissingDataError: There are no results in it.
        StudyError: They are damaged or of another version.
    """
    path = folder / RESULTS
    if not path.exists():
        raise MissingDataError(f"{folder} has no {RESULTS}; give the folder of a published comparison.")
    maps = read_maps(folder / MAPS) if (folder / MAPS).exists() else ()
    results = ComparisonResults.read(path)
    if (folder / EPOCHS).exists() and not any(cell.settings for cell in results.cells):
        rows, _ = read_epochs(folder / EPOCHS)
        results = with_settings(results, settings_in_epochs(results, rows))
    return write_outputs(results, folder, maps=maps)


def _maps_to_publish(compared: Compared) -> tuple[PairMaps, ...]:
    """The maps of scenes that come with the package: labels of other scenes are not ours to hand on."""
    targets = {pair: data.recipes[0] for pair, data in compared.prepared.blocks.items()}
    return tuple(each for each in compared.maps if _comes_with_the_package(targets[each.pair]))


def _comes_with_the_package(recipe: Recipe) -> bool:
    return isinstance(recipe, NamedPair) and is_embedded(recipe.sides().target, recipe.catalogue)


def read_epochs(path: Path) -> tuple[list[dict[str, Any]], Mapping[str, NDArray[np.int64]]]:
    """Read published epochs.

    Args:
        path: The file.

    Returns:
        A row per candidate of every training (:func:`publish`), and the flat indices of the target pixels by pair,
        whose predicted class ids 1..K are the bytes ``predicted``.

    Raises:
        StudyError: It is damaged, or of another version.
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        metadata = json.loads((table.schema.metadata or {})[_METADATA])
        if metadata["format"] != _FORMAT:
            raise ValueError(f"format {metadata['format']}, expected {_FORMAT}")
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(f"{path} can't be read ({first_line(error)}); put a copy back.") from error
    pixels = {pair: np.array(indices, dtype=np.int64) for pair, indices in metadata["target_pixels"].items()}
    return table.to_pylist(), pixels


def _write_epochs(compared: Compared, path: Path, log: JoinLog, *, most_pixels: int) -> None:
    if most_pixels < 1:
        raise InvalidInputError(f"publish_pixels = {most_pixels}; expected at least 1.")
    cells = distinct(
        cell
        for cell in (
            *(cell for pool in compared.pools for cell in pool.cells),
            *(network.cell for network in compared.networks if network.cell is not None),
        )
        if compared.store.outcome(cell.key) is not None
    )
    rows, pixels = score_epochs(compared.prepared, cells, compared.store, log, most_pixels=most_pixels)
    by_key = {cell.key: cell for cell in cells}
    described = [{**_description(by_key[str(row["training"])], row, compared), **row} for row in rows]
    metadata = {"format": _FORMAT, "target_pixels": {pair: found.tolist() for pair, found in pixels.items()}}
    table = pa.Table.from_pylist(described).replace_schema_metadata({_METADATA: json.dumps(metadata).encode()})
    pq.write_table(table, path, compression="zstd", compression_level=15, write_page_checksum=True)


def _description(cell: Cell, row: Mapping[str, object], compared: Compared) -> dict[str, Any]:
    outcome = compared.store.outcome(cell.key)
    assert outcome is not None
    metrics = outcome.epochs.get(int(str(row["epoch"])), {})
    return {
        "pair": cell.pair,
        "method": cell.spec.method,
        "label": cell.label,
        "configuration": cell.configuration,
        "is_final": cell.is_final,
        "seed": cell.seed,
        "settings": settings_text(cell),
        **{f"source_{name}": metrics.get(f"val/{name}") for name in ("oa", "aa", "kappa")},
    }
