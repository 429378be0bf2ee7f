"""The candidates among which a strategy chooses: the epochs of trials, each with what it left."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sceneshift.selection.views import LabelledView, SourceView, UnlabelledView, View

#: The view of the regime.
V = TypeVar("V", SourceView, UnlabelledView, LabelledView)

#: The metrics of one epoch; see :class:`sceneshift.training.loop.EpochReport`.
Metrics = Mapping[str, float]


@dataclass(frozen=True, kw_only=True, order=True)
class Candidate:
    """Weights that can be chosen. Candidates are ordered by trial, epoch, and the average after the epoch's weights.

    Args:
        trial: The trial's number.
        epoch: 1-based.
        is_average: Whether they are the running average of weights up to this epoch, not the epoch's own.
    """

    trial: int
    epoch: int
    is_average: bool = False


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen.

    Args:
        trial: The trial's number.
        epoch: The epoch whose weights are used.
        score: Its score.
        is_average: Whether the running average of weights up to that epoch is used.
    """

    trial: int
    epoch: int
    score: float
    is_average: bool = False


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What a configuration reaches on the targets of other pairs.

    Args:
        held_out: The group of scenes of the pair that is chosen for, from
            :func:`sceneshift.catalogue.groups.scene_groups`; scores of its pairs are not read.
        groups: The group of every pair that has a score.
        scores: Accuracy on the target by the pair's name, 0..1, for example AA, mean over seeds.
    """

    held_out: str
    groups: Mapping[str, str]
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class PooledTrial(Generic[V]):
    """One training, as strategies see it.

    Args:
        number: 0-based; of equal scores the lower number is chosen.
        configuration: A name of its configuration; trainings that share it differ in their seed alone.
        is_complete: Whether it ran all its epochs; others are never chosen, their scores being of shorter trainings.
        epochs: Metrics by 1-based epoch; those named ``selection/<strategy>`` are scores that workers computed.
        view: The type of the views.
        outputs: Reads the views by candidate and pair. Reading is lazy and repeated on every call, so that a pool of
            thousands of candidates does not have to fit in memory.
        elsewhere: Scores on other pairs; None where there are none.
    """

    number: int
    configuration: str
    is_complete: bool
    epochs: Mapping[int, Metrics]
    view: type[View]
    outputs: Callable[[], Mapping[Candidate, Mapping[str, V]]]
    elsewhere: Elsewhere | None = None
