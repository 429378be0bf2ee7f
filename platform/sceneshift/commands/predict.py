"""Prediction, from the command line to the last line printed.

Shape letters: H rows, W columns, K classes.
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sceneshift.addresses import without_secrets
from sceneshift.commands.predict_arguments import PredictArgs, read_predict_command_line
from sceneshift.commands.progress import progress_bar
from sceneshift.errors import InvalidInputError, MissingDataError, SceneshiftError
from sceneshift.files.inside import is_file
from sceneshift.safe_files import expanded
from sceneshift.scenes.measured import describe_missing

if TYPE_CHECKING:
    from sceneshift.catalogue.user_entries import OwnCatalogue
    from sceneshift.closing.prediction_files import Prediction
    from sceneshift.closing.prediction_scores import Truth
    from sceneshift.scenes.scene import UnlabelledScene
    from sceneshift.tracking.model_description import ModelDescription


def main() -> int:
    """Run the prediction script; returns the exit status."""
    arguments = read_predict_command_line()
    try:
        print(predict_scene(arguments))
    except SceneshiftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nStopped. Nothing was written to {arguments.out}.", file=sys.stderr)
        return 130
    return 0


def predict_scene(arguments: PredictArgs) -> str:
    """Map a scene and write the requested files, either all of them or none.

    Args:
        arguments: The command line.

    Returns:
        The lines to print at the end: shares of the classes, scores, where the files are.

    Raises:
        SceneshiftError: Arguments, model, scene or labels don't fit, or can't be read; nothing was computed.
    """
    # Cheap checks come first.
    from sceneshift.catalogue.user_toml import open_catalogue
    from sceneshift.closing.prediction_files import MapFolder

    catalogue = open_catalogue(arguments.catalogue, arguments.data_dir)
    _check_paths(arguments, catalogue)
    folder = MapFolder(Path(arguments.out), overwrite=arguments.overwrite, formats=arguments.format)

    # Heavy imports wait until the arguments are known to be good; MLflow reads the environment when imported.
    from sceneshift.tracking.backend import apply_mlflow_settings

    apply_mlflow_settings()
    import torch

    from sceneshift.closing.estimates import estimate_text, estimates_as_dict
    from sceneshift.cores import keep_to_allowed_cores
    from sceneshift.tracking.models import load_scene_model, version_of

    keep_to_allowed_cores()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    if not Path(arguments.model).is_dir():
        _connect(arguments)
    model = load_scene_model(arguments.model, device=_device(arguments))
    description = model.description
    number = version_of(arguments.model)
    for line in catalogue.announcement():
        print(line)
    print(
        f"model   {without_secrets(arguments.model)}{'' if number is None else f' (version {number})'}: "
        f"{description.method}, trained on {description.source_scene}, {description.bands} bands, "
        f"{len(description.class_names)} classes{_unit(description.source_unit)}",
        flush=True,
    )
    scene = _open(arguments, catalogue)
    height, width = scene.shape
    print(f"scene   {scene.name}: {height} x {width} pixels, {scene.num_bands} bands{_unit(scene.unit)}", flush=True)
    truth = None if arguments.labels is None else _read_truth(arguments, scene, description, catalogue)
    ready = model.ready(scene, check_values=not arguments.accept_values)
    notes = [*describe_missing(scene), *ready.notes, *([] if truth is None else truth.notes)]
    for note in notes:
        print(f"        {note}", flush=True)

    started = time.monotonic()
    with folder.writing() as writing:
        prediction: Prediction = writing.begin(
            scene, description, probabilities=arguments.probabilities, confidence=arguments.confidence
        )
        tile_bytes = None if arguments.tile_mib is None else arguments.tile_mib * 2**20
        with progress_bar(total=height * width, unit="pixels") as bar:
            for tile in model.tiles(ready, tile_bytes=tile_bytes, progress=lambda done, _: bar.update(done - bar.n)):
                prediction.add(tile)
        seconds = time.monotonic() - started
        scores = None if truth is None else truth.score(prediction.class_map)
        estimate = prediction.estimate()
        record = {
            "model": without_secrets(arguments.model),
            "version": number,
            "scene": arguments.scene,
            "seconds": round(seconds, 1),
            "notes": notes,
            "estimated accuracy": None if estimate is None else estimates_as_dict({"": estimate})[""],
        }
        prediction.finish(record, truth=truth, scores=scores)
    lines = [f"\n{height * width} pixels in {seconds:.1f} s", "", *prediction.shares()]
    if estimate is not None:
        lines += ["", f"Estimated OA of this map: {estimate_text(estimate)}"]
        if description.held_back is not None and not description.held_back.of_this_network:
            lines.append(
                "The model was trained once more, on every field; its confidence is taken to mean what it meant before."
            )
    if scores is not None:
        lines += ["", f"OA {100 * scores.oa:.2f}, AA {100 * scores.aa:.2f}, kappa {scores.kappa:.4f}, see scores.csv"]
    return "\n".join([*lines, "", f"written to {folder.path}:", *(f"  {name}" for name in folder.written)])


def _unit(unit: str | None) -> str:
    return "" if unit is None else f", {unit}"


def _check_paths(arguments: PredictArgs, catalogue: "OwnCatalogue") -> None:
    """Reject missing files before anything heavy is imported.

    Raises:
        MissingDataError: A file isn't there.
    """
    from sceneshift.catalogue.builtin import SCENES
    from sceneshift.commands.predict_arguments import OWN_LABELS

    known = (*SCENES, *catalogue.scenes)
    if arguments.scene in known and arguments.wavelengths_nm is not None:
        raise InvalidInputError(
            f"--wavelengths-nm describes a file, and {arguments.scene} is known by name; leave it out, or change the "
            "scene's table in the TOML catalogue."
        )
    if arguments.scene not in known and not is_file(arguments.scene):
        raise MissingDataError(
            f"--scene {arguments.scene}: there is no such file, and no scene of that name. Known by name: "
            f"{', '.join(known)}." + catalogue.advice()
        )
    if arguments.labels not in (None, OWN_LABELS) and not is_file(str(arguments.labels)):
        raise MissingDataError(f"--labels {arguments.labels}: there is no such file; give one, or {OWN_LABELS!r}.")


def _connect(arguments: PredictArgs) -> None:
    """Open the MLflow records.

    Raises:
        MissingDataError: There is no SQLite file, and reading must not create one.
        StudyError: MLflow can't be reached.
    """
    from sceneshift.tracking.backend import TrackingBackend

    backend = TrackingBackend.resolve(Path(arguments.storage_path).resolve())
    if backend.database is not None and not os.path.isfile(backend.database):
        raise MissingDataError(
            f"there are no MLflow records at {backend.database}; train a model first, or say where they are by "
            "--storage-path or MLFLOW_TRACKING_URI."
        )
    backend.connect(reads_only=True)


def _open(arguments: PredictArgs, catalogue: "OwnCatalogue") -> "UnlabelledScene":
    import numpy as np

    from sceneshift.catalogue.builtin import SCENES
    from sceneshift.commands.scenes import find_scene
    from sceneshift.files.opening import open_unlabelled

    if arguments.scene in (*SCENES, *catalogue.scenes):
        if arguments.scale != 1:
            raise InvalidInputError(f"--scale {arguments.scale:g}: {arguments.scene} has its scale in the catalogue.")
        return find_scene(arguments.scene, arguments.data_dir, catalogue).without_labels()
    scene = open_unlabelled(expanded(arguments.scene), cube_variable=arguments.cube_variable, scale=arguments.scale)
    if (centres := arguments.wavelengths_nm) is None:
        return scene
    if len(centres) != scene.num_bands:
        raise InvalidInputError(
            f"--wavelengths-nm: {len(centres)} band centres; {arguments.scene} has {scene.num_bands} bands. Expected "
            "one for each."
        )
    return replace(scene, wavelengths_nm=np.array(centres))


def _read_truth(
    arguments: PredictArgs, scene: "UnlabelledScene", description: "ModelDescription", catalogue: "OwnCatalogue"
) -> "Truth":
    """Read ``--labels`` in the model's classes.

    Raises:
        MissingDataError: A file isn't there.
        InvalidInputError: The map doesn't fit the scene, or shares no class with the model.
    """
    from sceneshift.closing.prediction_scores import truth_for
    from sceneshift.commands.predict_arguments import OWN_LABELS
    from sceneshift.commands.scenes import find_scene
    from sceneshift.files.arrays import read_classes
    from sceneshift.files.places import georeference_of, place_labels

    assert arguments.labels is not None
    flag = f"--labels {arguments.labels}"
    if arguments.labels == OWN_LABELS:
        labelled = find_scene(arguments.scene, arguments.data_dir, catalogue)
        return truth_for(labelled.labels, labelled.class_names, scene, description, what=flag)
    path = expanded(arguments.labels)
    read = read_classes(
        path,
        class_names=arguments.class_names,
        label_values=arguments.label_values,
        unlabelled_values=arguments.unlabelled_values or (),
    )
    labels = place_labels(
        read.numbers,
        georeference_of(path, read.described),
        what=flag,
        on=scene,
        cut_to_overlap=arguments.cut_to_overlap,
    )
    return truth_for(labels, read.class_names, scene, description, what=flag)


def _device(arguments: PredictArgs) -> str:
    """Where to compute.

    Raises:
        InvalidInputError: A GPU is asked for, and there is none.
    """
    import torch

    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise InvalidInputError(
            "--device cuda: torch sees no GPU here; leave it out, or install a CUDA build of torch."
        )
    return "cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu"
