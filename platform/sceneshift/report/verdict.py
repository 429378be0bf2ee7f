"""Whether a network is worth its cost: the registered network compared with the best spectral floor, in one sentence.

The figure is average accuracy (AA) on the target, by which trials are chosen on the source. The best floor is the one
with the highest AA on the target itself, which is unknown beforehand: this favours the floors. The
interval is a bootstrap over the target's fields on the same draws for both (:mod:`sceneshift.report.uncertainty`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from sceneshift.report.uncertainty import LEVEL, FieldCounts, Interval, bootstrap_difference

#: The note on floors below every table that contains some.
FLOORS_TOLD = (
    "Floors classify single spectra (scikit-learn), trained on the pixels the registered model trained on; their "
    "normalization and settings are chosen by cross-validation over blocks of the source."
)


class Outcome(StrEnum):
    """How the registered network compares with the best floor."""

    BETTER = "better"
    SAME = "not distinguishable"
    WORSE = "worse"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The comparison on one target.

    Args:
        pair: The pair's or scene's name.
        floor: The best floor's name in tables.
        network_aa: Average accuracy of the registered network, 0..1.
        floor_aa: Average accuracy of the floor.
        difference: Network less floor, with its interval; without one if every class is a single field.
    """

    pair: str
    floor: str
    network_aa: float
    floor_aa: float
    difference: Interval

    @classmethod
    def of(cls, pair: str, network: FieldCounts, floors: Mapping[str, FieldCounts]) -> "Verdict":
        """Compare a network with the best of some floors.

        Args:
            pair: The pair's or scene's name.
            network: Predicted classes per field of the target, for the registered network.
            floors: The same for each floor, by its name in tables; at least one.
        """
        best = max(floors, key=lambda name: floors[name].scores().aa)
        return cls(
            pair=pair,
            floor=best,
            network_aa=network.scores().aa,
            floor_aa=floors[best].scores().aa,
            difference=bootstrap_difference(network, floors[best])["aa"],
        )

    @property
    def outcome(self) -> Outcome:
        """Better or worse if the interval excludes zero."""
        if np.isnan(self.difference.low):
            return Outcome.SAME
        if self.difference.low > 0:
            return Outcome.BETTER
        return Outcome.WORSE if self.difference.high < 0 else Outcome.SAME

    @property
    def sentence(self) -> str:
        """The verdict as a sentence; accuracies in per cent, differences in points."""
        words = {
            Outcome.BETTER: f"is better than the best spectral floor ({self.floor})",
            Outcome.SAME: f"cannot be distinguished from the best spectral floor ({self.floor})",
            Outcome.WORSE: f"is worse than the best spectral floor ({self.floor})",
        }[self.outcome]
        figures = f"AA {100 * self.network_aa:.1f} against {100 * self.floor_aa:.1f}"
        points = f"{100 * self.difference.value:+.1f} points".replace("-", "−")
        if np.isnan(self.difference.low):
            interval = "no interval: every class is a single field"
        else:
            low, high = (f"{100 * end:+.1f}".replace("-", "−") for end in (self.difference.low, self.difference.high))
            interval = f"{LEVEL:.0%} interval over fields {low} to {high}"
        return f"On {self.pair} the registered model {words}: {figures}, {points} ({interval})."

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ends = (self.difference.low, self.difference.high)
        return {
            "pair": self.pair,
            "outcome": self.outcome.value,
            "floor": self.floor,
            "network aa": self.network_aa,
            "floor aa": self.floor_aa,
            "interval of the difference": None if np.isnan(ends[0]) else list(ends),
            "sentence": self.sentence,
        }
