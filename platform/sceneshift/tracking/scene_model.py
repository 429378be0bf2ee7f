"""A trained classifier with everything it needs to classify a scene, without MLflow and Ray.

Shape letters: H rows, W columns, D bands of a scene, B batch, C bands, P patch, K classes.
"""

import itertools
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, MissingDataError, first_line
from sceneshift.methods.registry import find_method
from sceneshift.scenes.alignment import BandResampling, resample_to
from sceneshift.scenes.common_bands import BandChoice, choose_bands
from sceneshift.scenes.measured import LeftOut, measured_pixels
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.scenes.value_summary import ValueSummary, refuse_other_values
from sceneshift.tracking.model_description import ModelDescription
from sceneshift.training.precision import computing_in
from sceneshift.training.scene_mapping import Prepare, Tile, classify_tiles, prediction_batch

_log = logging.getLogger(__name__)

#: The two files a model consists of.
WEIGHTS_FILE, DESCRIPTION_FILE = "weights.pt", "description.json"

#: Band centres closer than this are considered equal.
_SAME_NM = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadyScene:
    """A scene a model has accepted.

    Args:
        cube: (H, W, D), unchanged.
        prepare: Converts a piece of it to the network's input.
        notes: Notes for the user, one line each.
    """

    cube: NDArray[np.generic]
    prepare: Prepare
    notes: tuple[str, ...]


class SceneModel:
    """A trained classifier; :meth:`load` restores one from the files MLflow stores.

    Args:
        description: What it is.
        classifier: (B, C, P, P) to (B, K); put into eval mode.
    """

    def __init__(self, description: ModelDescription, classifier: torch.nn.Module) -> None:
        self.description = description
        self.classifier = classifier.eval()
        self._normalization = description.fitted_normalization

    @classmethod
    def load(cls, folder: Path, *, device: torch.device | str = "cpu") -> Self:
        """Load weights and description; code stored with them is not run.

        Args:
            folder: The folder with :data:`WEIGHTS_FILE` and :data:`DESCRIPTION_FILE`.
            device: The device for the classifier.

        Raises:
            MissingDataError: The files aren't there.
            InvalidInputError: They are of a newer format, damaged, or don't fit each other.
        """
        for name in (WEIGHTS_FILE, DESCRIPTION_FILE):
            if not (folder / name).is_file():
                raise MissingDataError(f"there is no {folder / name}: is it a model of this package?")
        try:
            values = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidInputError(f"{folder / DESCRIPTION_FILE} is not JSON ({first_line(error)}).") from error
        description = ModelDescription.from_dict(values)
        classifier = find_method(description.method).build_classifier(
            description.method_config, bands=description.bands, classes=len(description.class_names)
        )
        try:
            weights = torch.load(folder / WEIGHTS_FILE, map_location="cpu", weights_only=True)
        except Exception as error:  # for a damaged file torch raises almost anything, with advice to trust the file
            raise InvalidInputError(
                f"{folder / WEIGHTS_FILE} holds no weights ({type(error).__name__}); was it damaged? Copy it again."
            ) from error
        try:
            classifier.load_state_dict(weights)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise InvalidInputError(
                f"{folder / WEIGHTS_FILE} does not contain the weights of its description ({first_line(error)})."
            ) from error
        return cls(description, classifier.to(device))

    @property
    def device(self) -> torch.device:
        """The device of the classifier."""
        # A spectral floor has only buffers.
        return next(itertools.chain(self.classifier.parameters(), self.classifier.buffers())).device

    def ready(self, scene: UnlabelledScene | NDArray[np.generic], *, check_values: bool = True) -> ReadyScene:
        """Check that a scene is of the kind the model was trained on, before it is mapped.

        Args:
            scene: With its wavelengths, or a bare cube (H, W, C).
            check_values: Reject values that can't be of the source's kind
                (:mod:`sceneshift.scenes.value_summary`); reads all of the cube once.

        Raises:
            InvalidInputError: Bands, wavelengths, normalization or numbers don't fit.
        """
        description = self.description
        notes: list[str] = []
        resampling: BandResampling | BandChoice | None = None
        if isinstance(scene, UnlabelledScene):
            cube: NDArray[np.generic] = scene.cube
            resampling, notes = self._bands(scene)
            if scene.normalization != description.source_steps:
                raise InvalidInputError(
                    f"scene {scene.name!r} went through {list(scene.normalization) or 'no normalization'}, the "
                    f"model's source {description.source_scene!r} through "
                    f"{list(description.source_steps) or 'none'}; expected the "
                    "same. Give the scene as the source was."
                )
            if None not in (scene.unit, description.source_unit) and scene.unit != description.source_unit:
                notes.append(
                    f"the numbers of {scene.name} are {scene.unit}, those of the model's source "
                    f"{description.source_scene} {description.source_unit}"
                )
        else:
            cube = scene
            if cube.ndim != 3 or cube.size == 0:
                raise InvalidInputError(
                    f"an array of shape {cube.shape}; expected a cube (rows, columns, {description.bands})."
                )
            self._check_numbers(cube)
            resampling = choose_bands(description.source_left_out, bands_in_file=cube.shape[2], kept=None)
            if cube.shape[2] != description.bands and resampling is None:
                side = description.patch_size
                hint = (
                    f"A single patch is (1, {description.bands}, {side}, {side})."
                    if cube.shape[0] == description.bands
                    else ""
                )
                raise InvalidInputError(
                    f"a cube of shape {cube.shape}, {cube.shape[2]} bands; expected (rows, columns, "
                    f"{description.bands}): this model was trained on the "
                    f"{description.bands} bands of {description.source_scene}. " + (hint or "Are the bands last?")
                )
        if check_values:
            declared = isinstance(scene, UnlabelledScene) and None not in (scene.unit, description.source_unit)
            notes += self._check_values(
                ValueSummary.of(cube, prepare=None if resampling is None else resampling.apply), declared=declared
            )

        def prepare(piece: NDArray[np.generic]) -> NDArray[np.float32]:
            return self._normalization.apply(piece if resampling is None else resampling.apply(piece))

        return ReadyScene(cube=cube, prepare=prepare, notes=tuple(notes))

    def tiles(
        self,
        ready: ReadyScene,
        *,
        tile_shape: tuple[int, int] | None = None,
        tile_bytes: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Tile]:
        """Logits of every pixel, tile by tile; see :func:`sceneshift.training.scene_mapping.classify_tiles`."""
        return classify_tiles(
            self.classifier,
            ready.cube,
            patch_size=self.description.patch_size,
            device=self.device,
            prepare=ready.prepare,
            tile_shape=tile_shape,
            tile_bytes=tile_bytes,
            progress=progress,
        )

    def map_scene(
        self,
        scene: UnlabelledScene | NDArray[np.generic],
        *,
        check_values: bool = True,
        tile_shape: tuple[int, int] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.int64]:
        """Classify every measured pixel of a scene.

        Args:
            scene: With its wavelengths, or a bare cube (H, W, C), in the source's unit and not normalized.
            check_values: As for :meth:`ready`.
            tile_shape: Rows and columns processed at once; the map does not depend on it.
            progress: Called now and then with the number of pixels done and H * W.

        Returns:
            (H, W) class ids 1..K; 0 for unmeasured pixels, which are zero in every band.

        Raises:
            InvalidInputError: The scene is of another kind than the model was trained on.
        """
        ready = self._ready_and_warned(scene, check_values)
        class_map = np.empty(ready.cube.shape[:2], dtype=np.int64)
        for rows, columns, logits in self.tiles(ready, tile_shape=tile_shape, progress=progress):
            classes = logits.argmax(dim=2).cpu().numpy() + 1
            class_map[rows, columns] = np.where(measured_pixels(ready.cube[rows, columns]), classes, 0)
        return class_map

    def map_probabilities(
        self, scene: UnlabelledScene | NDArray[np.generic], *, check_values: bool = True
    ) -> NDArray[np.float32]:
        """(H, W, K) class probabilities (softmax), 0 for unmeasured pixels; otherwise as :meth:`map_scene`."""
        ready = self._ready_and_warned(scene, check_values)
        maps = np.empty((*ready.cube.shape[:2], len(self.description.class_names)), dtype=np.float32)
        for rows, columns, logits in self.tiles(ready):
            measured = measured_pixels(ready.cube[rows, columns])[..., None]
            maps[rows, columns] = np.where(measured, logits.softmax(dim=2).cpu().numpy(), 0)
        return maps

    @torch.inference_mode()
    def patch_logits(self, patches: NDArray[np.generic], *, check_values: bool = True) -> torch.Tensor:
        """Logits of the centre pixels of patches.

        Args:
            patches: (B, C, P, P), in the source's unit and not normalized.
            check_values: As for :meth:`ready`.

        Returns:
            (B, K), on the CPU.

        Raises:
            InvalidInputError: Shape or numbers don't fit the model.
        """
        description, side = self.description, self.description.patch_size
        if patches.ndim != 4 or patches.shape[1:] != (description.bands, side, side) or len(patches) == 0:
            raise InvalidInputError(
                f"patches of shape {patches.shape}; this model takes (B, {description.bands}, {side}, {side}): "
                f"{description.bands} bands, {side} x {side} pixels."
            )
        self._check_numbers(patches)
        last = patches.transpose(0, 2, 3, 1)
        if check_values:
            self._check_values(ValueSummary.of(last), is_part=True)
        normalized = torch.from_numpy(np.ascontiguousarray(self._normalization.apply(last).transpose(0, 3, 1, 2)))
        batches = torch.split(normalized.to(self.device), prediction_batch(self.device))
        with computing_in("float32", self.device):
            return torch.cat([self.classifier(batch) for batch in batches]).cpu()

    def _ready_and_warned(self, scene: UnlabelledScene | NDArray[np.generic], check_values: bool) -> ReadyScene:
        ready = self.ready(scene, check_values=check_values)
        for note in ready.notes:
            _log.warning(note)
        return ready

    def _bands(self, scene: UnlabelledScene) -> tuple[BandResampling | BandChoice | None, list[str]]:
        """How a scene's bands are converted to the model's, and notes about it for the user."""
        description = self.description
        if description.wavelengths_nm is None or scene.wavelengths_nm is None:
            left_out = scene.left_out or LeftOut(bands_in_file=scene.num_bands)
            choice = choose_bands(description.source_left_out, bands_in_file=left_out.bands_in_file, kept=left_out.kept)
            if choice is not None:
                return choice, [choice.note]
            if scene.num_bands != description.bands:
                whose = "the model" if description.wavelengths_nm is None else "the scene"
                raise InvalidInputError(
                    f"scene {scene.name!r} has {scene.num_bands} bands, this model was trained on {description.bands} "
                    f"({description.source_scene}), and {whose} has no wavelengths to resample by; expected the "
                    "same bands."
                )
            if description.wavelengths_nm is None and scene.wavelengths_nm is None:
                return None, []
            whose = "the model's source" if description.wavelengths_nm is None else f"scene {scene.name!r}"
            return None, [f"{whose} has no wavelengths: its {description.bands} bands are taken as they are"]
        centres = np.array(description.wavelengths_nm)
        if len(centres) == scene.num_bands and np.abs(centres - scene.wavelengths_nm).max() < _SAME_NM:
            return None, []
        resampling = resample_to(centres, scene.name, scene.wavelengths_nm)
        return resampling, [resampling.note]

    def _check_values(self, given: ValueSummary, *, declared: bool = False, is_part: bool = False) -> list[str]:
        """Compare values with the source's; returns notes about what an older model doesn't remember of them."""
        description = self.description
        if description.source_values is None:
            return [
                "the model is of an old version and remembers nothing of its source's values: they run from "
                f"{given.low:g} to {given.high:g} here, and can't be compared"
            ]
        refuse_other_values(
            description.source_values,
            given,
            normalization=str(description.normalization["name"]),
            unit=description.source_unit,
            declared=declared,
            is_part=is_part,
        )
        if description.source_values.floor is None:
            return [
                f"the model is of an old version and remembers only the range of its source's values, "
                f"{description.source_values.low:g} to {description.source_values.high:g}: an offset can't be seen"
            ]
        return []

    def _check_numbers(self, array: NDArray[np.generic]) -> None:
        if array.dtype.kind not in "iuf":
            raise InvalidInputError(f"an array of {array.dtype}; expected real numbers.")
        # Piece by piece: a boolean array of the whole cube would take a quarter of the scene's memory.
        if array.dtype.kind == "f" and not all(np.isfinite(piece).all() for piece in array):
            raise InvalidInputError("NaN or infinity in the input; mask those pixels (zeros in every band).")
