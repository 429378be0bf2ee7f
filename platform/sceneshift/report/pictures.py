"""Pictures of a study.

Shape letters: H rows, W columns, K classes.
"""

import textwrap
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from sklearn.metrics import ConfusionMatrixDisplay

from sceneshift.report.importances import EQUAL_WARNING, FEWEST_TRIALS, compared_at_epoch, shared_parameters
from sceneshift.report.scene_pictures import false_colour_bands, false_colours
from sceneshift.scenes.class_colours import class_colours
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.scores import Scores

_DPI = 120
_UNLABELLED = "#ffffff"

#: Neither is the colour of a class.
RIGHT, WRONG = "#cfcfcf", "#1a1a1a"


def draw_class_map(
    path: Path,
    scene: UnlabelledScene,
    class_map: NDArray[np.int64],
    truth: NDArray[np.int64],
    *,
    class_names: Sequence[str],
    title: str,
) -> None:
    """Draw a scene in false colours, its ground truth, its class map, and where the map is right or wrong.

    Args:
        path: PNG to write.
        scene: The scene that was mapped.
        class_map: (H, W) class ids 1..K.
        truth: (H, W) class ids, 0 = unlabelled.
        class_names: K names.
        title: The title above the picture.
    """
    colours = class_colours(len(class_names))
    classes = {
        "cmap": ListedColormap([_UNLABELLED, *colours]),
        "norm": BoundaryNorm(np.arange(len(class_names) + 2) - 0.5, len(class_names) + 1),
    }
    outcomes = {
        "cmap": ListedColormap([_UNLABELLED, RIGHT, WRONG]),
        "norm": BoundaryNorm(np.arange(4) - 0.5, 3),
    }
    outcome = np.where(truth == 0, 0, np.where(class_map == truth, 1, 2))
    panels: tuple[tuple[str, NDArray[Any], dict[str, Any]], ...] = (
        ("false colours\n" + false_colour_bands(scene)[1].partition(" (")[0], false_colours(scene), {}),
        ("ground truth\n(white: unlabelled)", truth, classes),
        ("class map\nof every pixel", class_map, classes),
        ("labelled pixels,\nright (grey) or wrong (black)", outcome, outcomes),
    )
    height, width = truth.shape
    figure = Figure(figsize=(12.0, 1.7 + 2.8 * height / width), dpi=_DPI, layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, len(panels))
    for ax, (name, image, how) in zip(axes, panels, strict=True):
        ax.imshow(image, interpolation="nearest", **how)
        ax.set_title(name, fontsize=10)
        ax.set_xticks([])
        ax.set_yticks([])
    figure.legend(
        handles=[Patch(facecolor=c, label=n) for c, n in zip(colours, class_names, strict=True)],
        loc="outside lower center",
        ncols=min(len(class_names), 5),
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(title, fontsize=11)
    figure.savefig(path)


def draw_confusion(path: Path, scores: Scores, *, class_names: Sequence[str], title: str) -> None:
    """Draw a confusion matrix: shares of each true class as colour, counts as numbers."""
    size = 3.2 + 0.75 * len(class_names)
    figure = Figure(figsize=(size + 0.8, size), dpi=_DPI, layout="constrained")
    ax = figure.subplots()
    counts = scores.confusion
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    shown = ConfusionMatrixDisplay(shares, display_labels=list(class_names))
    shown.plot(ax=ax, cmap="Blues", include_values=False, xticks_rotation=35, im_kw={"vmin": 0, "vmax": 1})
    for (row, column), count in np.ndenumerate(counts):
        ax.text(
            column,
            row,
            str(count),
            ha="center",
            va="center",
            color="white" if shares[row, column] > 0.55 else "black",
        )
    for label in ax.get_xticklabels():
        label.set_horizontalalignment("right")
    ax.set_xlabel("predicted")
    ax.set_ylabel("ground truth")
    ax.set_title("\n".join(textwrap.wrap(title, 62)), fontsize=10)
    figure.savefig(path)


def draw_optimization_history(path: Path, study: optuna.Study) -> bool:
    """Draw the objective over trials; returns False if no trial is complete."""
    complete = _complete(study)
    if not complete:
        return False
    _draw_optuna(
        path,
        lambda: optuna.visualization.matplotlib.plot_optimization_history(study),
        title=f"Optimization history ({len(complete)} trials ran all their epochs)",
    )
    return True


def draw_parameter_importances(path: Path, study: optuna.Study, *, epoch: int) -> bool:
    """Draw how much each parameter mattered for the objective at one epoch; False if too few trials tell.

    Trials and parameters are those of :func:`sceneshift.report.importances.compared_at_epoch` and
    :func:`~sceneshift.report.importances.shared_parameters`.

    Args:
        path: PNG to write.
        study: The study.
        epoch: 1-based; the last one that every trial runs.
    """
    compared = compared_at_epoch(study, epoch)
    trials, shared = _complete(compared), shared_parameters(compared)
    if len(trials) < FEWEST_TRIALS or not shared:
        return False
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=EQUAL_WARNING)
        try:
            optuna.importance.get_param_importances(compared, params=shared)
        except UserWarning:
            return False
    _draw_optuna(
        path,
        lambda: optuna.visualization.matplotlib.plot_param_importances(compared, params=shared),
        title=f"Parameter importances at epoch {epoch} ({len(trials)} trials: a lead, not a finding)",
    )
    return True


def _complete(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))


def _draw_optuna(path: Path, plot: Callable[[], Axes], *, title: str) -> None:
    import matplotlib.pyplot as plt

    with warnings.catch_warnings(), mpl.rc_context({"figure.dpi": _DPI}), plt.style.context("default"):
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        axes = plot()
        # Optuna places some titles on the left and some in the middle; ours replaces either.
        axes.set_title("")
        axes.set_title(title, loc="left", fontsize=11)
        figure = axes.get_figure()
        assert isinstance(figure, Figure)
        figure.set_size_inches(8.5, 4.6)
        figure.savefig(path, dpi=_DPI, bbox_inches="tight")
        plt.close(figure)
