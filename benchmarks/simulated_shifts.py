"""What each simulated shift does to a scene: a picture, one column per shift, one row per strength.

    python benchmarks/simulated_shifts.py --picture docs/simulated_shifts.png
    python benchmarks/simulated_shifts.py --seconds
    python benchmarks/simulated_shifts.py --svm

Endmembers are five classes of Indian Pines. The embedded scene has no wavelengths of its own; even steps from 400 to
2500 nm are used instead. Source and target show the same ground and are stretched alike, so that what differs is
the shift alone (and noise: half a degree at strength 0). The last row is the label maps at the greatest strength.

--seconds times pairs of 512 x 512 pixels and 200 bands instead; run it with OPENBLAS_NUM_THREADS=1 on one core. --svm
prints how well a support vector machine trained on the source maps the target: six classes of Indian Pines, another
ground, 900 training pixels, RBF, C = 100, pixels of length 1, then bands scaled to 0..1 on the source.
"""

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer
from sklearn.svm import SVC

from sceneshift.catalogue.indian_pines import load_indian_pines
from sceneshift.scenes.class_colours import class_colours
from sceneshift.scenes.scene import Scene
from sceneshift.simulation.ground_shifts import ClassBalance, Illumination, Season, Shift
from sceneshift.simulation.library import EndmemberLibrary
from sceneshift.simulation.mixing import MIXING_MODELS, Mixing, Variability
from sceneshift.simulation.sensor_shifts import AddedNoise
from sceneshift.simulation.simulate import SimulatedPair, simulate
from sceneshift.simulation.spec import SHIFTS, Ground, Simulation

CLASSES = ("Corn-notill", "Grass-trees", "Hay-windrowed", "Woods", "Stone-Steel-Towers")
STRENGTHS = (0.0, 0.5, 1.0)
SVM_CLASSES = ("Corn-notill", "Corn-mintill", "Grass-trees", "Soybean-notill", "Soybean-mintill", "Woods")
SVM_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
FALSE_COLOUR_NM = (850.0, 660.0, 560.0)
SIZE = (120, 120)


@dataclass(frozen=True, kw_only=True)
class Args:
    """What to do."""

    picture: Path = Path("docs/simulated_shifts.png")
    """PNG to write."""

    seed: int = 4
    """Of the simulation."""

    seconds: bool = False
    """Time a large pair instead."""

    svm: bool = False
    """Print a support vector machine's accuracy under each shift instead."""


def library(class_names: tuple[str, ...] = CLASSES) -> EndmemberLibrary:
    """Classes of Indian Pines, in its own units."""
    return EndmemberLibrary.from_scene(
        load_indian_pines(), class_names=class_names, wavelengths_nm=np.linspace(400, 2500, 200)
    )


def pair_of(shift: Shift, seed: int) -> SimulatedPair:
    """A pair that differs by one shift."""
    return simulate(
        Simulation(
            library=library(),
            shape=SIZE,
            seed=seed,
            shifts=(shift,),
            variability=Variability(scaling=0.04, perturbation=0.5, length=2),
            ground=Ground(length=14),
            same_ground=True,
        )
    )


def false_colour(scene: Scene, low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W, 3) near infrared, red and green, each stretched from ``low`` to ``high``."""
    return np.clip((_three_bands(scene) - low) / (high - low), 0, 1)


def _three_bands(scene: Scene) -> NDArray[np.float32]:
    assert scene.wavelengths_nm is not None
    return scene.cube[:, :, [int(np.abs(scene.wavelengths_nm - centre).argmin()) for centre in FALSE_COLOUR_NM]]


def mean_angle(pair: SimulatedPair) -> float | None:
    """Mean spectral angle between source and target in degrees, where they have the same pixels."""
    if pair.source.shape != pair.target.shape:
        return None
    one, other = (scene.cube.reshape(-1, scene.num_bands).astype(np.float64) for scene in (pair.source, pair.target))
    cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def draw(path: Path, seed: int) -> None:
    """Write the picture."""
    colours = ListedColormap(["white", *class_colours(len(CLASSES))])
    figure = Figure(figsize=(2.05 * (len(SHIFTS) + 1), 2.3 * (len(STRENGTHS) + 1)), dpi=90, layout="constrained")
    axes = figure.subplots(len(STRENGTHS) + 1, len(SHIFTS) + 1)
    for column, kind in enumerate(SHIFTS, start=1):
        for row, strength in enumerate(STRENGTHS):
            pair = pair_of(kind(strength=strength), seed)
            low, high = np.percentile(_three_bands(pair.source).reshape(-1, 3), (1, 99), axis=0).astype(np.float32)
            low = low * np.float32(0.5)  # room for what grows darker
            angle = mean_angle(pair)
            title = (
                f"{pair.target.shape[0]} x {pair.target.shape[1]} pixels" if angle is None else f"{angle:.1f}° apart"
            )
            _show(axes[row, column], false_colour(pair.target, low, high), title)
            _show(axes[row, 0], false_colour(pair.source, low, high), "")
            axes[row, 0].set_ylabel(f"strength {strength:g}", fontsize=11)
        axes[0, column].set_title(f"{kind.name}\n{axes[0, column].get_title()}", fontsize=10)
        share = pair.target.class_counts / pair.target.labels.size
        _labels(axes[-1, column], pair.target, colours, f"shares {share.min():.2f} to {share.max():.2f}")
        _labels(axes[-1, 0], pair.source, colours, "")
    axes[0, 0].set_title("source", fontsize=10)
    axes[-1, 0].set_ylabel(f"labels at {STRENGTHS[-1]:g}", fontsize=11)
    figure.suptitle(
        "Targets under one shift each: 850, 660 and 560 nm, all stretched like the source; mean spectral angle to it",
        fontsize=12,
    )
    figure.savefig(path)


def _show(ax: Axes, image: NDArray[np.float32], title: str) -> None:
    ax.imshow(image, interpolation="nearest")
    ax.set_title(title, fontsize=9)
    ax.set_xticks([])
    ax.set_yticks([])


def _labels(ax: Axes, scene: Scene, colours: ListedColormap, title: str) -> None:
    ax.imshow(scene.labels, cmap=colours, vmin=0, vmax=len(CLASSES), interpolation="nearest")
    ax.set_title(title, fontsize=9)
    ax.set_xticks([])
    ax.set_yticks([])


def time_large_pairs() -> None:
    """Print seconds of 512 x 512 x 200 pairs, and the peak memory so far above what the process had at the start."""
    materials = library()
    at_start = _peak_mib()
    shifts = (Season(strength=0.5), ClassBalance(strength=0.5), Illumination(strength=0.5), AddedNoise(strength=0.5))
    shifts += tuple(kind(strength=0.5) for kind in SHIFTS if kind.needs_wavelengths)
    for model in MIXING_MODELS:
        recipe = Simulation(
            library=materials,
            shape=(512, 512),
            seed=0,
            shifts=shifts,
            mixing=Mixing(model=model),
            variability=Variability(scaling=0.05, perturbation=1.0, length=4),
        )
        before, cpu_before = time.perf_counter(), time.process_time()
        simulate(recipe)
        wall, cpu = time.perf_counter() - before, time.process_time() - cpu_before
        added = _peak_mib() - at_start
        print(f"{model:7} {wall:5.2f} s on the clock, {cpu:5.2f} s of the core, {added:.0f} MiB", flush=True)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def print_accuracies(seed: int) -> None:
    """Print overall accuracies on the target, one line per shift, one column per strength, as Markdown."""
    materials = library(SVM_CLASSES)
    print(f"| shift | {' | '.join(f'{strength:g}' for strength in SVM_STRENGTHS)} |")
    for kind in SHIFTS:
        accuracies = []
        for strength in SVM_STRENGTHS:
            pair = simulate(
                Simulation(
                    library=materials,
                    shape=(96, 96),
                    seed=seed,
                    shifts=(kind(strength=strength),),
                    variability=Variability(scaling=0.05, perturbation=1.0, length=2),
                )
            )
            accuracies.append(f"{100 * _svm_accuracy(pair):.0f}")
        print(f"| {kind.name} | {' | '.join(accuracies)} |", flush=True)


def _svm_accuracy(pair: SimulatedPair) -> float:
    machine = make_pipeline(Normalizer(), MinMaxScaler(), SVC(C=100))
    spectra, labels = (pair.source.cube.reshape(-1, pair.source.num_bands), pair.source.labels.ravel())
    training = np.random.default_rng(0).permutation(np.flatnonzero(labels))[:900]
    machine.fit(spectra[training], labels[training])
    unseen, truth = (pair.target.cube.reshape(-1, pair.target.num_bands), pair.target.labels.ravel())
    return float(machine.score(unseen[truth > 0], truth[truth > 0]))


def main(args: Args) -> int:
    """Draw, or time."""
    if args.seconds:
        time_large_pairs()
    elif args.svm:
        print_accuracies(args.seed)
    else:
        draw(args.picture, args.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args, description=__doc__)))
