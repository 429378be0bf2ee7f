"""Configurations that an earlier comparison has chosen, trained again under another budget or with new settings."""

import json
from collections.abc import Mapping
from pathlib import Path

from sceneshift.comparison.results import RESULTS, CellResult, ComparisonResults
from sceneshift.comparison.spec import ComparisonSpec, MethodEntry
from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.methods.method import MethodConfig
from sceneshift.methods.registry import find_method


def chosen_before(spec: ComparisonSpec, folder: Path) -> Mapping[tuple[str, str], MethodConfig]:
    """What an earlier comparison chose for each pair and method.

    Args:
        spec: The comparison at hand; its first strategy must have chosen there, of whose budgets the first counts.
        folder: The earlier one's folder, of ``results/comparisons/`` or ``results/published/``.

    Returns:
        By pair and label, the configuration of the method of that label there, with the settings here.

    Raises:
        MissingDataError: The folder has no results.
        StudyError: They are damaged.
        InvalidInputError: A method, pair or strategy has no choice there, or several.
    """
    results = ComparisonResults.read(folder / RESULTS)
    strategy = spec.strategies[0]
    rows = [cell for cell in results.cells if cell.strategy == strategy]
    if not rows:
        known = sorted({cell.strategy for cell in results.cells})
        raise InvalidInputError(
            f"tuned_in: in {folder} nothing was chosen by {strategy}, the first of strategies; expected "
            f"{' or '.join(known)}."
        )
    rows = [cell for cell in rows if cell.budget == rows[0].budget]
    return {
        (pair, entry.label): _config(rows, entry, pair, folder)
        for entry in spec.methods
        for pair in filter(entry.is_on, spec.pairs)
    }


def _config(rows: list[CellResult], entry: MethodEntry, pair: str, folder: Path) -> MethodConfig:
    of_label = [cell for cell in rows if cell.label == entry.label]
    if not of_label:
        labels = sorted({cell.label for cell in rows})
        raise InvalidInputError(
            f"tuned_in: {folder} has no method of label {entry.label!r}{nearest_name(entry.label, labels)}; expected "
            f"one of {', '.join(labels)}."
        )
    if of_label[0].method != entry.method:
        raise InvalidInputError(
            f"tuned_in: {entry.label!r} is {of_label[0].method} in {folder} and {entry.method} here; expected the same "
            "method under the same label."
        )
    chosen = {cell.settings for cell in of_label if cell.pair == pair and cell.settings}
    if len(chosen) != 1:
        raise InvalidInputError(
            f"tuned_in: {folder} has {len(chosen) or 'no'} chosen configuration{'s' if chosen else ''} of "
            f'{entry.label!r} on pair {pair!r}; expected one, as with protocol = "tune-once" and no failed training.'
        )
    settings = {**json.loads(chosen.pop()), **entry.settings}
    try:
        return find_method(entry.method).config_type.from_mapping(settings)
    except InvalidInputError as error:
        raise InvalidInputError(f"tuned_in: {entry.label} on pair {pair}, chosen in {folder}: {error}") from error
