"""A comparison's tables, pictures and page, made from its results alone. The same results give the same bytes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sceneshift.comparison.class_maps import PairMaps
from sceneshift.comparison.page import sections_of
from sceneshift.comparison.results import ComparisonResults
from sceneshift.comparison.score_grid import make_grids
from sceneshift.comparison.verdict import verdict_sentence
from sceneshift.errors import StorageError, first_line
from sceneshift.report.page import Folded, Part, render_html, render_markdown
from sceneshift.report.tables import Table
from sceneshift.report.themes import Picture
from sceneshift.safe_files import replacing

#: Digits of numbers in CSV files: the last ones depend on the processor that adds.
_DIGITS = 12


def write_outputs(
    results: ComparisonResults, folder: Path, *, maps: Sequence[PairMaps] = (), erm: str | None = None
) -> list[Path]:
    """Write ``index.html``, the same text as ``comparison.md``, ``tables/`` and ``pictures/``.

    Args:
        results: The comparison. The protocol, budget and strategy of its first cell are shown first.
        folder: Where to; it is made if missing.
        maps: Class maps to draw next to the truth.
        erm: The label that methods are compared with besides the best method and the best floor; by default the first
            of method ``cross_entropy``.

    Returns:
        The files; the page is the last.

    Raises:
        StudyError: There is no cell, or cells contradict each other.
        StorageError: The files can't be written.
    """
    grids = make_grids(results, erm=erm)
    sections = sections_of(results, grids, maps)
    title = f"Comparison {results.name}"
    lead = verdict_sentence(grids[0])
    footer = f"Written by sceneshift from the results of {results.name}."
    paths: list[Path] = []
    try:
        for name in ("tables", "pictures"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for part in _flat([part for section in sections for part in section.parts]):
            if isinstance(part, Table):
                paths += part.write(folder / "tables", digits=_DIGITS)
            elif isinstance(part, Picture):
                paths.append(_write(folder / "pictures" / f"{part.name}.png", part.light))
        text = render_markdown(title, lead, sections, footer=footer)
        paths.append(_write(folder / "comparison.md", text.encode()))
        # The page comes last: if it is new, so is everything else.
        page = render_html(title, lead, sections, footer=footer)
        paths.append(_write(folder / "index.html", page.encode()))
    except OSError as error:
        raise StorageError(f"{folder} can't be written ({first_line(error)}); give another folder.") from error
    return paths


def _flat(parts: Sequence[Part]) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Folded):
            yield from _flat(part.parts)
        else:
            yield part


def _write(path: Path, content: bytes) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path
