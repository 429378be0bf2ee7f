"""What a study's training leaves in the work folder, outside the repository.

``record/`` is the record of any training with ``--record``. Next to it is what only a study has: ``looks/``, one file
per evaluated epoch, with what :mod:`sceneshift.studies.target_scores` saw; they become ``looks.npz``. ``scores.json``
has the scores of strategies that look at one training alone. ``done.json`` is written last: without it, the training is
continued or done again.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import StorageError, StudyError, first_line
from sceneshift.safe_files import replacing
from sceneshift.studies.json_files import read_json, write_json
from sceneshift.studies.target_scores import Look

DONE, LOOKS, SCORES = "done.json", "looks.npz", "scores.json"

#: A candidate of one training: its epoch, and whether it is the running average.
EpochAndAverage = tuple[int, bool]


@dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """The outputs of all candidates of a training on the study's pixels.

    Args:
        target: Predicted class indices of the target pixels, (N,) uint8 each.
        nearby_logits: Logits on source pixels next to those that train, (M, K) float16 each.
        validation: OA, AA and kappa on all validation pixels; empty where nothing validates.
    """

    target: Mapping[EpochAndAverage, NDArray[np.uint8]]
    nearby_logits: Mapping[EpochAndAverage, NDArray[np.float16]]
    validation: Mapping[EpochAndAverage, Mapping[str, float]]


class CellFiles:
    """The files of one training.

    Args:
        folder: Their folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def done(self, design_key: str) -> dict[str, Any] | None:
        """What the finished training says of itself; None if it isn't finished.

        Args:
            design_key: The design that it must be of.

        Raises:
            StudyError: It is of another design, or the file is damaged.
        """
        path = self.folder / DONE
        values: dict[str, Any] | None = read_json(path, advice="delete it to train again")
        if values is None:
            return None
        if values.get("design") != design_key:
            raise StudyError(
                f"{path} is of design {values.get('design')}; this study is of {design_key}. Give another --work."
            )
        return values

    def write_done(self, values: Mapping[str, Any]) -> None:
        """Finish: what is needed no more goes, and the file that says so is written last."""
        for checkpoint in self.folder.glob("epoch_*.ckpt"):
            checkpoint.unlink()
        write_json(self.folder / DONE, values)

    def scores(self) -> dict[str, dict[EpochAndAverage, float]]:
        """The scores of strategies by name; a strategy is missing where none were computed yet."""
        stored = read_json(self.folder / SCORES, advice="delete it to score again")
        if stored is None:
            return {}
        return {name: {(int(e), bool(a)): _number(score) for e, a, score in rows} for name, rows in stored.items()}

    def write_scores(self, scores: Mapping[str, Mapping[EpochAndAverage, float]]) -> None:
        """Replace the scores."""
        rows = {
            name: [[epoch, average, score if np.isfinite(score) else None] for (epoch, average), score in each.items()]
            for name, each in scores.items()
        }
        write_json(self.folder / SCORES, rows)

    def write_look(self, epoch: int, looks: Mapping[bool, Look]) -> None:
        """Write the outputs of an epoch's candidates; an epoch that was written before is replaced."""
        self._put(self._part(epoch), {(epoch, average): look for average, look in looks.items()})

    def merge_looks(self) -> None:
        """Make one file of all epochs'.

        Raises:
            StorageError: It can't be written.
        """
        parts = sorted((self.folder / "looks").glob("*.npz"))
        if not parts:
            return
        arrays: dict[str, NDArray[Any]] = {}
        for part in parts:
            with np.load(part) as stored:
                arrays |= dict(stored)
        self._save(self.folder / LOOKS, arrays)
        shutil.rmtree(self.folder / "looks")

    def looks(self) -> Looks:
        """Read the outputs of all candidates.

        Raises:
            StudyError: The file is missing or damaged.
        """
        path = self.folder / LOOKS
        target: dict[EpochAndAverage, NDArray[np.uint8]] = {}
        nearby: dict[EpochAndAverage, NDArray[np.float16]] = {}
        validation: dict[EpochAndAverage, Mapping[str, float]] = {}
        try:
            with np.load(path) as stored:
                for name, array in stored.items():
                    kind, epoch, average = name.split("/")
                    candidate = int(epoch), average == "average"
                    if kind == "target":
                        target[candidate] = array
                    elif kind == "nearby":
                        nearby[candidate] = array
                    else:
                        validation[candidate] = dict(zip(("oa", "aa", "kappa"), array.tolist(), strict=True))
        except (OSError, ValueError, KeyError) as error:
            raise StudyError(f"{path} is missing or damaged ({first_line(error)}); train the cell again.") from error
        return Looks(target=target, nearby_logits=nearby, validation=validation)

    def _part(self, epoch: int) -> Path:
        folder = self.folder / "looks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{epoch:05d}.npz"

    def _put(self, path: Path, looks: Mapping[EpochAndAverage, Look]) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        for (epoch, average), look in looks.items():
            name = f"{epoch}/{'average' if average else 'weights'}"
            arrays[f"target/{name}"] = look.target
            arrays[f"nearby/{name}"] = look.nearby_logits
            if look.validation is not None:
                arrays[f"validation/{name}"] = np.array(list(look.validation.as_dict().values()))
        self._save(path, arrays)

    def _save(self, path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
        try:
            with replacing(path) as temporary:
                np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            raise StorageError(
                f"{path} can't be written ({first_line(error)}). Make room, then start the command again."
            ) from error


def _number(score: float | None) -> float:
    return float("nan") if score is None else float(score)
