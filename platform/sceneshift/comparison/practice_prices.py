"""What each practice of :mod:`sceneshift.comparison.practices` adds to a published figure, in points."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sceneshift.comparison.statistics import LEVEL, over_seeds
from sceneshift.report.tables import NOTHING, Table
from sceneshift.report.themes import BEST, DEFAULTS, OTHER, Picture, paint, plain_style

#: All pairs together: the mean over them, seed by seed.
ALL_PAIRS = "all pairs"

_ByKind = Mapping[str, Mapping[str, NDArray[np.float64]]]


@dataclass(frozen=True, kw_only=True)
class Practice:
    """A practice that is priced.

    Args:
        name: Its name.
        meaning: What is reported, and in place of what.
        price: From the figures of one pair and method, by kind of training and name, each (S, E) by seed and epoch, and
            from "oa" or "aa", the points that it adds by seed, (S,) in 0..1.
    """

    name: str
    meaning: str
    price: Callable[[_ByKind, str], NDArray[np.float64]]


def _best_epoch(kinds: _ByKind, figure: str) -> NDArray[np.float64]:
    reached = kinds["plain"][f"target_{figure}"]
    gain: NDArray[np.float64] = reached[np.arange(len(reached)), _best(kinds["plain"])] - reached[:, -1]
    return gain


def _rewound(kinds: _ByKind, figure: str) -> NDArray[np.float64]:
    reached, name = kinds["rewound"], f"target_{figure}"
    last = kinds["plain"][name][:, -1]
    gain: NDArray[np.float64] = reached[name][np.arange(len(last)), _best(reached)] - last
    return gain


def _random_split(kinds: _ByKind, figure: str) -> NDArray[np.float64]:
    name = f"source_{figure}"
    gain: NDArray[np.float64] = kinds["random-split"][name][:, -1] - kinds["plain"][name][:, -1]
    return gain


def _one_seed(kinds: _ByKind, figure: str) -> NDArray[np.float64]:
    last = kinds["plain"][f"target_{figure}"][:, -1]
    others = (last.sum() - last) / (len(last) - 1) if len(last) > 1 else np.full_like(last, np.nan)
    off: NDArray[np.float64] = np.abs(last - others)
    return off


def _best(figures: Mapping[str, NDArray[np.float64]]) -> NDArray[np.int64]:
    best: NDArray[np.int64] = figures["target_oa"].argmax(axis=1)
    return best


PRACTICES = (
    Practice(
        name="best epoch on the target",
        meaning="the epoch with the best OA on the target's labels, in place of the last",
        price=_best_epoch,
    ),
    Practice(
        name="rewound on the target",
        meaning="the network set back to the best checkpoint on the target's labels at every look, and the best epoch "
        "of that, in place of the last epoch of a training of its own",
        price=_rewound,
    ),
    Practice(
        name="random pixel split",
        meaning="held-out pixels of the source drawn at random, next to training pixels, in place of separate blocks",
        price=_random_split,
    ),
    Practice(
        name="one seed repeated",
        meaning="one seed's figure with a spread of 0: how far it is from the mean of the other seeds, either way",
        price=_one_seed,
    ),
)


def prices(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Price every practice, method and pair.

    Args:
        rows: What :func:`sceneshift.comparison.practices.train_practice` returned. Of a pair and method, only the seeds
            that all kinds have are used.

    Returns:
        Columns practice, method, pair (or :data:`ALL_PAIRS`), figure ("oa" or "aa"), points, low, high, seeds; in
        points of 0..100, the interval at :data:`sceneshift.comparison.statistics.LEVEL`.
    """
    figures = _figures(rows)
    found: list[dict[str, Any]] = []
    for practice in PRACTICES:
        for method in dict.fromkeys(method for method, _ in figures):
            pairs = {pair: kinds for (other, pair), kinds in figures.items() if other == method}
            for figure in ("oa", "aa"):
                by_pair = {pair: 100 * practice.price(kinds, figure) for pair, kinds in pairs.items()}
                num = min(map(len, by_pair.values()))
                together = np.mean([each[:num] for each in by_pair.values()], axis=0)
                for pair, points in {**by_pair, ALL_PAIRS: together}.items():
                    interval = over_seeds(points).interval(LEVEL)
                    found.append(
                        {
                            "practice": practice.name,
                            "method": method,
                            "pair": pair,
                            "figure": figure,
                            "points": interval.value,
                            "low": interval.low,
                            "high": interval.high,
                            "seeds": int((~np.isnan(points)).sum()),
                        }
                    )
    columns = ["practice", "method", "pair", "figure", "points", "low", "high", "seeds"]
    return pd.DataFrame(found, columns=columns)


def _figures(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, dict[str, NDArray[np.float64]]]]:
    """By method and pair: by kind of training: each figure by seed and epoch, of the seeds that all kinds have."""
    places: dict[tuple[str, str], dict[str, dict[int, Mapping[str, Any]]]] = {}
    for row in rows:
        by_kind = places.setdefault((row["method"], row["pair"]), {})
        by_kind.setdefault(row["kind"], {})[row["seed"]] = row
    found = {}
    for place, by_kind in places.items():
        seeds = sorted(set.intersection(*(set(of_kind) for of_kind in by_kind.values())))
        if len(by_kind) < 3 or not seeds:
            continue
        found[place] = {
            kind: {
                name: np.array([of_kind[seed][name] for seed in seeds], dtype=np.float64)
                for name in ("target_oa", "target_aa", "source_oa", "source_aa")
            }
            for kind, of_kind in by_kind.items()
        }
    return found


def as_markdown(table: pd.DataFrame, *, heading: str) -> str:
    """The prices as a Markdown page: a table per figure, all pairs and each.

    Args:
        table: What :func:`prices` returned.
        heading: What was trained, in a sentence.
    """
    parts = ["# What practices of the field add", heading]
    for figure in ("oa", "aa"):
        rows = table[table["figure"] == figure].to_dict("records")
        columns = ("practice", "method", "pair", f"points of {figure.upper()}", "95 % interval", "seeds")
        shown = Table(
            name=figure,
            caption=f"Points of {figure.upper()} that each practice adds.",
            columns=columns,
            rows=[
                (row["practice"], row["method"], row["pair"], f"{row['points']:+.1f}", _interval(row), row["seeds"])
                for row in rows
            ],
        )
        parts.append(shown.markdown().rstrip())
    parts.append("\n".join(f"- **{practice.name}**: {practice.meaning}." for practice in PRACTICES))
    return "\n\n".join(parts) + "\n"


def _interval(row: Mapping[Hashable, Any]) -> str:
    return NOTHING if np.isnan(row["low"]) else f"{row['low']:+.1f} to {row['high']:+.1f}"


def draw_prices(table: pd.DataFrame) -> Picture:
    """Draw the prices in OA over all pairs, with their intervals, a colour per method."""
    shown = table[(table["figure"] == "oa") & (table["pair"] == ALL_PAIRS)]
    methods = list(dict.fromkeys(shown["method"]))
    names = [practice.name for practice in PRACTICES]
    with plain_style():
        figure = Figure(figsize=(7.2, 0.9 + 0.55 * len(names)), layout="constrained")
        ax = figure.subplots()
        for number, method in enumerate(methods):
            rows = shown[shown["method"] == method]
            places = [names.index(name) + 0.22 * (number - (len(methods) - 1) / 2) for name in rows["practice"]]
            errors = np.abs(rows[["low", "high"]].to_numpy().T - rows["points"].to_numpy())
            colour = (BEST, DEFAULTS, OTHER)[number % 3]
            ax.errorbar(
                rows["points"], places, xerr=np.nan_to_num(errors), fmt="os^"[number % 3], color=colour, label=method
            )
        ax.axvline(0, color=OTHER, linewidth=1)
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.set_xlabel("points of OA that the practice adds, with 95 % interval")
        ax.legend(loc="lower right")
        return paint(figure, alt="Points of overall accuracy that each practice adds.", name="practices")
