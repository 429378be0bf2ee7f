"""What to do with a pair of scenes, from how far apart they are: advice in words before anything is trained.

The target's labels were read for it, which the command that prints it says. What is advised on normalization comes from
the source alone.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from sceneshift.methods.floors import FittedFloor
from sceneshift.report.scene_gap import SceneGap
from sceneshift.scenes.normalization import NORMALIZATIONS
from sceneshift.scores import Scores

#: With fewer labelled pixels of a class in a source, advice says so: a laptop search draws up to a hundred.
FEW_PIXELS = 100


def advise(
    pair: str, gaps: Mapping[str, SceneGap], floor: FittedFloor, reached: Scores, *, allowed: Sequence[str]
) -> list[str]:
    """Lines on normalization, classes, what to expect, and the next command.

    Args:
        pair: The pair's name.
        gaps: How far the target is from each source, by the source's name.
        floor: A spectral floor fitted on the sources.
        reached: Its scores on the target.
        allowed: The normalizations that the scenes' units allow.
    """
    return [
        "What to make of it:",
        f"- Normalization: {_about_normalization(floor, allowed)}",
        *(
            f"- Classes{'' if len(gaps) == 1 else f' of {source}'}: {line}"
            for source, gap in gaps.items()
            for line in _about_classes(gap)
        ),
        f"- To expect: {floor.title.lower()} on {floor.num_pixels} single spectra of the source reaches OA "
        f"{100 * reached.oa:.1f} and AA {100 * reached.aa:.1f} on the target. A network that stays below has learned "
        "nothing that a line through the spectra has not; every search prints this floor beside its network.",
        f"- Next: sceneshift tune s2amsnet --pairs {pair}",
    ]


def _about_normalization(floor: FittedFloor, allowed: Sequence[str]) -> str:
    left_out = [name for name in NORMALIZATIONS if name not in allowed]
    units = f"the units leave out {', '.join(left_out)}; " if left_out else "the units allow all; "
    if floor.validation_aa is None:
        return f"{units}the source is too small to compare them; search all."
    return (
        f"{units}over blocks of the source, {floor.title.lower()} does best with {floor.normalization} (AA "
        f"{100 * floor.validation_aa:.1f}). Networks may differ: a search tries all."
    )


def _about_classes(gap: SceneGap) -> list[str]:
    lines = []
    counts = dict(zip(gap.class_names, gap.counts.T.tolist(), strict=True))
    if few := [f"{name} {counts[name][0]}" for name in gap.compared if counts[name][0] < FEW_PIXELS]:
        lines.append(f"few labelled source pixels: {', '.join(few)}; a laptop search draws up to {FEW_PIXELS} a class.")
    if absent := [name for name in gap.class_names if name not in gap.compared]:
        lines.append(f"{', '.join(absent)}: not labelled in both scenes, so nothing can be learned or scored of them.")
    moved = [
        f"{name} (looks like {other})" for name, other in zip(gap.compared, gap.nearest, strict=True) if name != other
    ]
    if moved:
        lines.append(
            f"in the target, the mean spectrum of {', '.join(moved)} is nearer to another class of the source than to "
            "its own; expect them to be confused."
        )
    known = np.nan_to_num(gap.angles, nan=-1.0)
    lines.append(
        f"{gap.class_names[int(known.argmax())]} differs most between the scenes, by {np.degrees(known.max()):.1f} "
        "degrees."
    )
    return lines
