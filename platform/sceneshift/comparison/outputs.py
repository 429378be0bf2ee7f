"""Files that are made from the results of a comparison, and from nothing else."""

from pathlib import Path

from sceneshift.comparison.results import ComparisonResults
from sceneshift.errors import StorageError, first_line
from sceneshift.safe_files import replacing


def write_outputs(results: ComparisonResults, folder: Path) -> list[Path]:
    """Write the scores of all final networks as a table.

    Args:
        results: The results.
        folder: Where to.

    Returns:
        The files that were written.

    Raises:
        StorageError: A file can't be written.
    """
    path = folder / "networks.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            results.as_frame().to_csv(temporary, index=False)
    except OSError as error:
        raise StorageError(f"{path} can't be written ({first_line(error)}).") from error
    return [path]
