"""The files of a prediction: written to a temporary place, and moved to the folder when they are complete.

Shape letters: H rows, W columns, K classes, h rows and w columns of a tile.
"""

import csv
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError, SceneshiftError, first_line
from sceneshift.files.formats.envi import refuse_names
from sceneshift.safe_files import expanded, put_in_place
from sceneshift.scenes.measured import measured_pixels
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.seeding import derive_seed

if TYPE_CHECKING:
    from sceneshift.closing.prediction_scores import Truth
    from sceneshift.scores import Scores
    from sceneshift.selection.accuracy_estimate import AccuracyEstimate
    from sceneshift.tracking.model_description import ModelDescription
    from sceneshift.training.scene_mapping import Tile

#: A PNG's palette has 256 colours, and one is for unclassified pixels.
_MOST_INDEXED = 255

#: Pixels drawn for an estimate of accuracy.
_SAMPLED = 2000

_ENDINGS = {"geotiff": ("tif", "tif.aux.xml"), "envi": ("hdr", "img"), "npy": ("npy",)}

#: All files a prediction may write: none may exist, so that a folder never mixes two predictions.
_NAMES = frozenset(
    {
        "class_map.png",
        "class_map_legend.png",
        "classes.csv",
        "scores.csv",
        "confusion.csv",
        "confusion.png",
        "prediction.json",
    }
    | {
        f"{what}.{ending}"
        for what in ("class_map", "probabilities", "confidence")
        for endings in _ENDINGS.values()
        for ending in endings
    }
)


class MapFolder:
    """A folder for one prediction.

    Args:
        path: The folder; created if it does not exist.
        overwrite: Replace an earlier prediction in it.
        formats: The formats to write.

    Raises:
        InvalidInputError: The path is not a folder, is not writable, or already holds a prediction.
        MissingPackageError: A format needs the extra ``geo``, which is not installed.
    """

    def __init__(self, path: Path, *, overwrite: bool, formats: Sequence[str]) -> None:
        from sceneshift.files.formats.file_format import geo_package

        self.path = expanded(path).resolve()
        self.formats = tuple(formats)
        self.written: tuple[str, ...] = ()
        self._overwrite = overwrite
        if {"geotiff", "envi"} & set(formats):
            geo_package("rasterio")
        existing = next(place for place in (self.path, *self.path.parents) if os.path.exists(place))
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise InvalidInputError(f"--out {self.path}: {existing} is not a folder that can be written to.")
        self._refuse_overwriting()

    def _refuse_overwriting(self) -> None:
        there = sorted(name for name in _NAMES if (self.path / name).exists())
        if there and not self._overwrite:
            raise InvalidInputError(
                f"--out {self.path} holds a prediction already ({there[0]}"
                + (f" and {len(there) - 1} more files" if len(there) > 1 else "")
                + "); choose another folder, or --overwrite."
            )

    @contextmanager
    def writing(self) -> "Iterator[Writing]":
        """A temporary place; finished files are moved from there to the folder, and the rest is deleted."""
        made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        aside = self.path / f".prediction.{os.getpid()}.{os.urandom(4).hex()}"
        try:
            aside.mkdir(parents=True)
            yield Writing(aside, self.formats)
            self._refuse_overwriting()
            names = sorted(path.name for path in aside.iterdir() if path.name in _NAMES)
            for name in _NAMES - set(names):
                (self.path / name).unlink(missing_ok=True)
            for name in names:
                put_in_place(aside / name, self.path / name)
            self.written = tuple(names)
        except OSError as error:
            if isinstance(error, SceneshiftError):  # of what is read meanwhile
                raise
            raise InvalidInputError(
                f"--out {self.path} can't be written ({first_line(error)}). Make room, or choose another folder."
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            if not self.written:
                for place in made:
                    # A folder that was created for nothing is removed, unless it is used by others.
                    if place.is_dir() and not any(place.iterdir()):
                        place.rmdir()


class Writing:
    """A temporary place where a prediction is assembled.

    Args:
        folder: The place.
        formats: What is written.
    """

    def __init__(self, folder: Path, formats: Sequence[str]) -> None:
        self.folder = folder
        self.formats = tuple(formats)

    def begin(
        self, scene: UnlabelledScene, description: "ModelDescription", *, probabilities: bool, confidence: bool
    ) -> "Prediction":
        """Start a prediction of a scene."""
        return Prediction(self, scene, description, probabilities=probabilities, confidence=confidence)


class Prediction:
    """The maps of one scene, filled tile by tile.

    Floating-point maps are kept in files, not in memory.

    Args:
        place: Where they are assembled.
        scene: The scene to map.
        description: The model's description.
        probabilities: Keep the probabilities of all classes.
        confidence: Keep the probability of the chosen class.

    Raises:
        InvalidInputError: A format can't hold the classes.
    """

    def __init__(
        self,
        place: Writing,
        scene: UnlabelledScene,
        description: "ModelDescription",
        *,
        probabilities: bool,
        confidence: bool,
    ) -> None:
        self._place = place
        self._scene = scene
        self._description = description
        shape, num = scene.shape, len(description.class_names)
        # Reported before anything is computed.
        if "envi" in place.formats:
            refuse_names(description.class_names)
        if "png" in place.formats and num > _MOST_INDEXED:
            raise InvalidInputError(f"--format png: {num} classes, and a palette holds {_MOST_INDEXED}; take another.")
        #: (H, W) class ids 1..K; 0 for unmeasured pixels, which are zero in every band.
        self.class_map = np.zeros(shape, dtype=np.uint8 if num < 256 else np.uint16)
        self._layers: dict[str, NDArray[np.float32]] = {}
        #: Logits of some pixels, for an estimate of accuracy.
        self._sampled: list[NDArray[np.float32]] = []
        rng = np.random.default_rng(derive_seed("pixels of an estimate"))
        self._is_sampled = np.zeros(shape, dtype=np.bool_)
        drawn = rng.choice(self._is_sampled.size, min(_SAMPLED, self._is_sampled.size), replace=False)
        self._is_sampled.ravel()[drawn] = True
        for what, wanted, layers in (("probabilities", probabilities, num), ("confidence", confidence, 1)):
            if wanted:
                self._layers[what] = np.lib.format.open_memmap(
                    place.folder / f".{what}.npy", mode="w+", dtype=np.float32, shape=(*shape, layers)
                )

    def add(self, tile: "Tile") -> None:
        """Take a tile's logits (h, w, K)."""
        at = (tile.rows, tile.columns)
        classes = tile.logits.argmax(dim=2).cpu().numpy() + 1
        measured = measured_pixels(self._scene.cube[at])
        self.class_map[at] = np.where(measured, classes, 0)
        if self._description.held_back is not None:
            drawn = np.nonzero(measured & self._is_sampled[at])
            self._sampled.append(tile.logits[drawn].float().cpu().numpy())
        if self._layers:
            shares = tile.logits.float().softmax(dim=2).cpu().numpy()
            shares[~measured] = 0
            for what, layer in self._layers.items():
                layer[at] = shares if what == "probabilities" else shares.max(axis=2, keepdims=True)

    def estimate(self) -> "AccuracyEstimate | None":
        """The estimated accuracy of the map; None where the model has no held-back pixels, or no pixel is measured."""
        from sceneshift.closing.estimates import estimate_elsewhere

        logits = np.concatenate(self._sampled) if self._sampled else np.empty((0, 0), np.float32)
        if self._description.held_back is None or len(logits) == 0:
            return None
        return estimate_elsewhere(self._description.held_back, logits)

    def finish(self, record: Mapping[str, Any], *, truth: "Truth | None", scores: "Scores | None") -> None:
        """Write all files.

        Args:
            record: How the prediction was made.
            truth: The labels, if some were given.
            scores: The scores on them.
        """
        self._write_class_map(truth)
        self._write_layers()
        self._write_classes()
        summary = {
            **record,
            "method": self._description.method,
            "source scene": self._description.source_scene,
            "shape": list(self._scene.shape),
            "bands": self._scene.num_bands,
            "pixels without a measurement": int((self.class_map == 0).sum()),
            "scores": None if scores is None else scores.as_dict(),
        }
        if scores is not None:
            self._write_scores(scores, str(record["scene"]))
        (self._place.folder / "prediction.json").write_text(json.dumps(summary, indent=2) + "\n")

    def shares(self) -> list[str]:
        """One line per class: how many pixels were assigned to it."""
        width = max(len("class"), *map(len, self._description.class_names))
        lines = [f"{'class':<{width}}  {'pixels':>9}   share"]
        for name, count in zip(self._description.class_names, self._counts(), strict=True):
            lines.append(f"{name:<{width}}  {count:>9}  {100 * count / self.class_map.size:>5.1f} %")
        if unmeasured := int((self.class_map == 0).sum()):
            lines.append(f"{'unmeasured':<{width}}  {unmeasured:>9}")
        return lines

    def _counts(self) -> NDArray[np.int64]:
        return np.bincount(self.class_map.ravel(), minlength=len(self._description.class_names) + 1)[1:]

    def _write_class_map(self, truth: "Truth | None") -> None:
        from sceneshift.files.scenes import export_labels
        from sceneshift.report.map_pictures import draw_mapped_scene, write_indexed_png

        folder, description = self._place.folder, self._description
        for format in self._place.formats:
            if format == "png":
                write_indexed_png(folder / "class_map.png", self.class_map, description.class_colours)
                draw_mapped_scene(
                    folder / "class_map_legend.png",
                    self.class_map,
                    class_names=description.class_names,
                    colours=description.class_colours,
                    title=f"{self._scene.name}, mapped by {description.method} trained on {description.source_scene}",
                    truth=None if truth is None else truth.labels,
                )
            elif format == "npy":
                np.save(folder / "class_map.npy", self.class_map)
            else:
                export_labels(
                    self.class_map,
                    folder / f"class_map.{_ENDINGS[format][0]}",
                    format,
                    class_names=description.class_names,
                    class_colours=description.class_colours,
                    georeference=self._scene.georeference,
                )

    def _write_layers(self) -> None:
        from sceneshift.files.scenes import export_layers

        folder = self._place.folder
        for what, layers in self._layers.items():
            names = self._description.class_names if what == "probabilities" else ("probability of the class given",)
            for format in self._place.formats:
                if format in ("geotiff", "envi"):
                    export_layers(
                        layers,
                        folder / f"{what}.{_ENDINGS[format][0]}",
                        format,
                        names=names,
                        georeference=self._scene.georeference,
                    )
            if not {"geotiff", "envi"} & set(self._place.formats) or "npy" in self._place.formats:
                layers.flush()  # type: ignore[attr-defined]  # a memory map
                os.replace(folder / f".{what}.npy", folder / f"{what}.npy")

    def _write_classes(self) -> None:
        description = self._description
        with (self._place.folder / "classes.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "class", "colour", "pixels", "share"])
            rows = zip(description.class_names, description.class_colours, self._counts(), strict=True)
            for k, (name, colour, count) in enumerate(rows, start=1):
                writer.writerow([k, name, colour, count, f"{count / self.class_map.size:.6f}"])

    def _write_scores(self, scores: "Scores", scene: str) -> None:
        from sceneshift.report.pictures import draw_confusion

        names, folder = self._description.class_names, self._place.folder
        true, predicted = scores.confusion.sum(axis=1), scores.confusion.sum(axis=0)
        with (folder / "scores.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["class", "labelled pixels", "accuracy", "precision"])
            for k, name in enumerate(names):
                hits = scores.confusion[k, k]
                of = [f"{hits / whole:.6f}" if whole else "" for whole in (true[k], predicted[k])]
                writer.writerow([name, true[k], *of])
            for name, value in scores.as_dict().items():
                writer.writerow([name, true.sum(), f"{value:.6f}", ""])
        with (folder / "confusion.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["true \\ predicted", *names])
            for name, row in zip(names, scores.confusion.tolist(), strict=True):
                writer.writerow([name, *row])
        title = f"{scene}: OA {100 * scores.oa:.1f}, AA {100 * scores.aa:.1f}, kappa {scores.kappa:.2f}"
        draw_confusion(folder / "confusion.png", scores, class_names=names, title=title)
