"""The settings that were chosen for each method and pair, as far as they differ from the method's defaults."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from typing import Any

from sceneshift.comparison.cells import Cell as Training
from sceneshift.comparison.results import ComparisonResults
from sceneshift.comparison.score_grid import Setting
from sceneshift.methods.registry import METHODS, find_method
from sceneshift.report.tables import Cell, Table, Value

#: Digits of a number as shown; CSV files and the results have all of them.
_SHOWN_DIGITS = 4


def settings_text(training: Training) -> str:
    """All settings of a training as JSON, names sorted.

    Args:
        training: The training.
    """
    return json.dumps(training.spec.as_dict()["config"], sort_keys=True)


def with_settings(results: ComparisonResults, texts: Iterable[str]) -> ComparisonResults:
    """The same results with the settings of networks whose row has none, as in files of earlier versions.

    Args:
        results: The results.
        texts: The settings of each network, in the order of the rows, as JSON; empty where they are not known.
    """
    cells = [replace(cell, settings=cell.settings or text) for cell, text in zip(results.cells, texts, strict=True)]
    return replace(results, cells=tuple(cells))


def settings_in_epochs(results: ComparisonResults, epochs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The settings of each network as a published file of epochs has them; empty where it lacks the network.

    Args:
        results: The results.
        epochs: The rows of the file.
    """
    known = {
        (row["pair"], row["label"], row["configuration"], row["seed"], bool(row["is_final"])): str(row["settings"])
        for row in epochs
    }
    return [
        known.get((cell.pair, cell.label, cell.configuration, cell.seed, cell.trained_on == "fields"), "")
        for cell in results.cells
    ]


def settings_table(results: ComparisonResults, setting: Setting) -> Table | None:
    """A row per method and pair, and per seed where seeds have configurations of their own; None if none is known.

    Args:
        results: The comparison.
        setting: The networks that are shown are those of one protocol, budget and strategy.
    """
    seeds: dict[tuple[str, str, int, int, int, str, str], list[int]] = {}
    for cell in results.cells:
        if cell.settings and (cell.protocol, cell.budget, cell.strategy) == _place(setting):
            row = cell.label, cell.pair, cell.configuration, cell.epoch, cell.epochs, cell.method, cell.settings
            seeds.setdefault(row, []).append(cell.seed)
    if not seeds:
        return None
    rows: list[list[Cell | Value]] = []
    labels = list(dict.fromkeys(label for label, *_ in seeds))
    by_method = sorted(seeds.items(), key=lambda row: labels.index(row[0][0]))
    for (label, pair, configuration, epoch, epochs, method, settings), of_row in by_method:
        values = differing_settings(method, json.loads(settings))
        rows.append(
            [
                *(label, pair, ", ".join(map(str, sorted(of_row)))),
                *(configuration, epoch, epochs),
                Cell(value=_listed(values, digits=None), shown=_listed(values, digits=_SHOWN_DIGITS)),
            ]
        )
    return Table(
        name=f"settings_{setting.slug}",
        caption="Chosen settings that differ from the method's defaults, fixed ones included; configuration 0 is the "
        "published one (of a floor the default), and epoch the one whose weights are scored.",
        columns=["method", "pair", "seeds", "configuration", "epoch", "of epochs", "settings"],
        rows=rows,
        wide=True,
    )


def differing_settings(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from a method's defaults.

    Args:
        method: The method's name.
        settings: Settings by name.

    Returns:
        Those that differ; all of a method that this version doesn't have.
    """
    if method not in METHODS:
        return dict(settings)
    # As JSON has them: lists for tuples.
    defaults = {
        each.name: json.loads(json.dumps(each.default))
        for each in fields(find_method(method).config_type)
        if each.default is not MISSING
    }
    return {name: value for name, value in settings.items() if name not in defaults or defaults[name] != value}


def _place(setting: Setting) -> Sequence[str]:
    return setting.protocol, setting.budget, setting.strategy


def _listed(values: Mapping[str, Any], *, digits: int | None) -> str:
    return "; ".join(f"{name} = {_value(value, digits)}" for name, value in values.items()) or "the defaults"


def _value(value: Any, digits: int | None) -> str:  # noqa: ANN401  # whatever a setting is
    if isinstance(value, float) and digits is not None:
        return f"{value:.{digits}g}"
    return value if isinstance(value, str) else json.dumps(value)
