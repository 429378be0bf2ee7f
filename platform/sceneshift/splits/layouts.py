"""The search for a split whose sides keep a guard band: layouts are drawn, and the best is kept.

A layout consists of blocks (:mod:`sceneshift.splits.blocks`) or fields (:mod:`sceneshift.splits.fields`); how layouts
are compared is the same for both, and defined here.

Shape letters: H rows, W columns, K classes, P patch size.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.seeding import derive_seed
from sceneshift.splits.split import Split, check_patch_size, check_share, grow, refuse_empty_classes


class LayoutOptions(TypedDict, total=False):
    """Options of a split by blocks or by fields.

    Args:
        validation_fraction: The share of each class's pixels that should validate; 0.2 by default.
        guard: Chebyshev distance kept between the sides; by default ``patch_size // 2``.
        min_pixels: A class with fewer pixels on either side is not scored; 10 by default.
        num_candidates: Layouts drawn; 512 by default.
        rare_to_training: Use all pixels of a class that can't be on both sides for training, however few they are.
    """

    validation_fraction: float
    guard: int | None
    min_pixels: int
    num_candidates: int
    rare_to_training: bool


#: Given a generator, a share and a patch size, (H, W) labelled pixels of one side.
Draw = Callable[[np.random.Generator, float, int], NDArray[np.bool_]]

#: Layouts drawn for each other setting when searching for the cause of a failure.
_CAUSE_CANDIDATES = 64


class NoLayoutError(InvalidInputError):
    """No split of the scene with a guard band is possible with these settings."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Layout:
    """(H, W) training and validation pixels, and (K,) which classes are scored."""

    trains: NDArray[np.bool_]
    validates: NDArray[np.bool_]
    scored: NDArray[np.bool_]


def best_layout(
    scene: Scene,
    draw: Draw,
    *,
    kind: str,
    patch_size: int,
    seed: int,
    validation_fraction: float = 0.2,
    guard: int | None = None,
    min_pixels: int = 10,
    num_candidates: int = 512,
    rare_to_training: bool = False,
) -> Split:
    """Draw layouts and return a split made from the best.

    The best layout is the one with the most trained classes, then the most scored classes, then the most pixels in use
    with validation shares nearest to the requested one. Only the given scene's labels are used: for a pair those of the
    source, for a single scene those of both sides. Training pixels within the guard
    of a validation pixel are left unused.

    With ``rare_to_training`` a layout is allowed to have a class on one side only: all its pixels train, the guard
    around them is kept free of validation pixels, and the class is not scored. If more than half is to validate, the
    training side is drawn instead and validation pixels give way to the guard, so that the guard does not use up a
    small training share.

    Args:
        scene: The source.
        draw: Given a generator, a share and a patch size, (H, W) labelled pixels of one side with about that share of
            each class.
        kind: The split's kind; the candidates' seeds are derived from it.
        patch_size: The largest patch that will be cut; odd.
        seed: Draws the layouts.
        validation_fraction: See :class:`LayoutOptions`.
        guard: See :class:`LayoutOptions`.
        min_pixels: See :class:`LayoutOptions`.
        num_candidates: See :class:`LayoutOptions`.
        rare_to_training: See :class:`LayoutOptions`.

    Raises:
        InvalidInputError: An argument is out of range.
        NoLayoutError: No layout leaves every class pixels to train on, or (with ``rare_to_training``) none has a class
            on both sides. The message says whether the patch size or the share is the cause.
    """
    check_patch_size(patch_size, scene.shape, f"scene {scene.name!r}")
    check_share("validation_fraction", validation_fraction)
    guard = patch_size // 2 if guard is None else guard
    for name, value, least in (
        ("guard", guard, 0),
        ("min_pixels", min_pixels, 1),
        ("num_candidates", num_candidates, 1),
    ):
        if value < least:
            raise InvalidInputError(f"{name} = {value}; expected at least {least}.")
    refuse_empty_classes(scene)

    def search(patch: int, share: float, candidates: int) -> _Layout | None:
        return _search(
            scene,
            draw,
            kind=kind,
            patch_size=patch,
            seed=seed,
            validation_fraction=share,
            guard=guard if patch == patch_size else min(guard, patch // 2),
            min_pixels=min_pixels,
            num_candidates=candidates,
            rare_to_training=rare_to_training,
        )

    best = search(patch_size, validation_fraction, num_candidates)
    if best is None:
        lacks = (
            f"has a single class with {min_pixels} pixels on both sides"
            if rare_to_training
            else f"leaves every class {min_pixels} training pixels"
        )
        counts = dict(zip(scene.class_names, scene.class_counts.tolist(), strict=True))
        raise NoLayoutError(
            f"scene {scene.name!r}: no {kind.removesuffix('s')} layout for patches of {patch_size}, a guard of {guard} "
            f"and a training share of {1 - validation_fraction:g} {lacks} (labelled pixels: {counts}). "
            + _cause(scene, search, kind, patch_size, validation_fraction, min_pixels, rare_to_training)
        )
    scored = np.flatnonzero(best.scored)
    return Split(
        shape=scene.shape,
        train=np.flatnonzero(best.trains),
        validation=np.flatnonzero(best.validates & np.isin(scene.labels, 1 + scored)),
        scored_classes=tuple(int(k) for k in scored),
        patch_size=patch_size,
        guard=guard,
        seed=seed,
        kind=kind,
    )


def _search(
    scene: Scene,
    draw: Draw,
    *,
    kind: str,
    patch_size: int,
    seed: int,
    validation_fraction: float,
    guard: int,
    min_pixels: int,
    num_candidates: int,
    rare_to_training: bool,
) -> _Layout | None:
    """The best of the given number of layouts; None if none is acceptable."""
    train_blocks = rare_to_training and validation_fraction > 0.5
    drawn_fraction = 1 - validation_fraction if train_blocks else validation_fraction
    best: tuple[tuple[float, ...], _Layout] | None = None
    for candidate in range(num_candidates):
        drawn = draw(np.random.default_rng(derive_seed(seed, kind, candidate)), drawn_fraction, patch_size)
        other = (scene.labels > 0) & ~grow(drawn, guard)
        trains, validates = (drawn, other) if train_blocks else (other, drawn)
        if rare_to_training:
            layout = _train_rare_whole(scene, trains, validates, guard=guard, min_pixels=min_pixels)
            if not train_blocks:  # pixels that were unused because of removed validation pixels train again
                trains = (scene.labels > 0) & ~grow(layout.validates, guard)
                if kind == "fields":  # no pixel of a validation field may train
                    trains &= ~(drawn & np.isin(scene.labels, 1 + np.flatnonzero(layout.scored)))
                layout = replace(layout, trains=trains)
        else:
            layout = _Layout(trains=trains, validates=validates, scored=_scored(scene, trains, validates, min_pixels))
        if not layout.scored.any():
            continue
        rank = _rank(scene, layout, validation_fraction, min_pixels, train_blocks=train_blocks)
        if best is None or rank > best[0]:
            best = (rank, layout)
    if best is None or (not rare_to_training and best[0][0] < scene.num_classes):
        return None
    return best[1]


def _rank(
    scene: Scene, layout: _Layout, validation_fraction: float, min_pixels: int, *, train_blocks: bool
) -> tuple[float, ...]:
    """Classes trained, classes scored, and the number of pixels in use in shares near the requested one."""
    num_train = _class_counts(scene, layout.trains)
    num_validation = _class_counts(scene, layout.validates)
    drawn, left = (num_train, num_validation) if train_blocks else (num_validation, num_train)
    wanted = (1 - validation_fraction if train_blocks else validation_fraction) * scene.class_counts
    balance = np.minimum(drawn / wanted, wanted / np.maximum(drawn, 1))
    quality = float((balance * left / scene.class_counts).mean())
    return float((num_train >= min_pixels).sum()), float(layout.scored.sum()), quality


def _train_rare_whole(
    scene: Scene, trains: NDArray[np.bool_], validates: NDArray[np.bool_], *, guard: int, min_pixels: int
) -> _Layout:
    """Move every class with too few pixels on a side to training, until no such class is left."""
    whole = np.zeros(scene.num_classes, dtype=bool)
    while True:
        scored = _scored(scene, trains, validates, min_pixels)
        # A class moved to training can take its neighbours' validation pixels, which may make them rare as well.
        if not (~scored & ~whole).any():
            return _Layout(trains=trains, validates=validates, scored=scored)
        whole |= ~scored
        pixels = np.isin(scene.labels, 1 + np.flatnonzero(whole))
        validates = validates & ~grow(pixels, guard)
        trains = trains | pixels


def _scored(
    scene: Scene, trains: NDArray[np.bool_], validates: NDArray[np.bool_], min_pixels: int
) -> NDArray[np.bool_]:
    scored: NDArray[np.bool_] = (_class_counts(scene, trains) >= min_pixels) & (
        _class_counts(scene, validates) >= min_pixels
    )
    return scored


def _class_counts(scene: Scene, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(scene.labels[mask], minlength=scene.num_classes + 1)[1:]


def _cause(
    scene: Scene,
    search: Callable[[int, float, int], _Layout | None],
    kind: str,
    patch_size: int,
    validation_fraction: float,
    min_pixels: int,
    rare_to_training: bool,
) -> str:
    """The setting that causes the failure, found by changing one at a time."""
    counts = scene.class_counts
    if rare_to_training and int((counts >= 2 * min_pixels).sum()) == 0:
        return f"The labels are to blame: no class has the {2 * min_pixels} pixels that both sides need. Label more."
    if not rare_to_training and (rare := [n for n, c in zip(scene.class_names, counts, strict=True) if c < min_pixels]):
        return f"{', '.join(rare)} must have {min_pixels} pixels to train on, and has fewer: leave it out of the pair."
    works = []
    patches = range(patch_size - 2, 0, -2)
    if patch := next((p for p in patches if search(p, validation_fraction, _CAUSE_CANDIDATES)), None):
        works.append(f"patch_size {patch} (--patch-size, or the largest of the search space)")
    shares = sorted((0.2, 0.5, 0.8, 0.9), key=lambda share: abs(share - validation_fraction))
    if share := next((s for s in shares if search(patch_size, s, _CAUSE_CANDIDATES)), None):
        works.append(f"a training share of {1 - share:g} (--train-fraction)")
    if works:
        change = "change that setting" if len(works) == 1 else "change one of these settings"
        return f"There is one with {' or with '.join(works)}; {change}."
    if kind == "fields":
        return (
            "--split fields (--by-field) is to blame: a class that is one field can only train. Use --split blocks, "
            "which cuts fields."
        )
    rarest = scene.class_names[int(counts.argmin())]
    return (
        f"Neither smaller patches nor another share alone (--patch-size, --train-fraction) has one: leave {rarest} "
        "out, or use --split random, which leaks."
    )
