"""Prediction, from the command line to the last line printed.

Shape letters: H rows, W columns, K classes.
"""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sceneshift.commands.predict_arguments import PredictArgs, read_predict_command_line
from sceneshift.commands.progress import progress_bar
from sceneshift.errors import InvalidInputError, MissingDataError, SceneshiftError
from sceneshift.safe_files import expanded
from sceneshift.scenes.measured import describe_missing

if TYPE_CHECKING:
    from sceneshift.commands.prediction_files import Prediction
    from sceneshift.scenes.scene import UnlabelledScene


def main(description: str) -> int:
    """Run the prediction script; returns the exit status."""
    arguments = read_predict_command_line(description)
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
    from sceneshift.commands.prediction_files import MapFolder

    # Cheap checks come first.
    _check_paths(arguments)
    folder = MapFolder(Path(arguments.out), overwrite=arguments.overwrite, formats=arguments.format)

    # Heavy imports wait until the arguments are known to be good; MLflow reads the environment when imported.
    from sceneshift.tracking.backend import apply_mlflow_settings

    apply_mlflow_settings()
    import torch

    from sceneshift.commands.prediction_scores import read_truth
    from sceneshift.tracking.models import load_scene_model, version_of

    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    if not Path(arguments.model).is_dir():
        _connect(arguments)
    model = load_scene_model(arguments.model, device=_device(arguments))
    told = model.description
    number = version_of(arguments.model)
    print(
        f"model   {arguments.model}{'' if number is None else f' (version {number})'}: {told.method}, trained on "
        f"{told.source_scene}, {told.bands} bands, {len(told.class_names)} classes{_unit(told.source_unit)}",
        flush=True,
    )
    scene = _open(arguments)
    height, width = scene.shape
    print(f"scene   {scene.name}: {height} x {width} pixels, {scene.num_bands} bands{_unit(scene.unit)}", flush=True)
    truth = None if arguments.labels is None else read_truth(arguments, scene, told)
    ready = model.ready(scene, check_values=not arguments.accept_values)
    notes = [*describe_missing(scene), *ready.notes, *([] if truth is None else truth.notes)]
    for note in notes:
        print(f"        {note}", flush=True)

    started = time.monotonic()
    with folder.writing() as writing:
        prediction: Prediction = writing.begin(
            scene, told, probabilities=arguments.probabilities, confidence=arguments.confidence
        )
        tile_bytes = None if arguments.tile_mib is None else arguments.tile_mib * 2**20
        with progress_bar(total=height * width, unit="pixels") as bar:
            for tile in model.tiles(ready, tile_bytes=tile_bytes, progress=lambda done, _: bar.update(done - bar.n)):
                prediction.add(tile)
        seconds = time.monotonic() - started
        scores = None if truth is None else truth.score(prediction.class_map)
        record = {
            "model": arguments.model,
            "version": number,
            "scene": arguments.scene,
            "seconds": round(seconds, 1),
            "notes": notes,
        }
        prediction.finish(record, truth=truth, scores=scores)
    lines = [f"\n{height * width} pixels in {seconds:.1f} s", "", *prediction.shares()]
    if scores is not None:
        lines += ["", f"OA {100 * scores.oa:.2f}, AA {100 * scores.aa:.2f}, kappa {scores.kappa:.4f}, see scores.csv"]
    return "\n".join([*lines, "", f"written to {folder.path}:", *(f"  {name}" for name in folder.written)])


def _unit(unit: str | None) -> str:
    return "" if unit is None else f", {unit}"


def _check_paths(arguments: PredictArgs) -> None:
    """Reject missing files before anything heavy is imported.

    Raises:
        MissingDataError: A file isn't there.
    """
    from sceneshift.catalogue.builtin import SCENES
    from sceneshift.commands.predict_arguments import OWN_LABELS

    if arguments.scene not in SCENES and not os.path.isfile(expanded(arguments.scene)):
        raise MissingDataError(
            f"--scene {arguments.scene}: there is no such file, and no scene of that name. Known by name: "
            f"{', '.join(SCENES)}."
        )
    if arguments.labels not in (None, OWN_LABELS) and not os.path.isfile(expanded(str(arguments.labels))):
        raise MissingDataError(f"--labels {arguments.labels}: there is no such file; give one, or {OWN_LABELS!r}.")


def _connect(arguments: PredictArgs) -> None:
    """Open the MLflow records.

    Raises:
        MissingDataError: There is no SQLite file, and reading must not create one.
        StudyError: MLflow can't be reached.
    """
    from sceneshift.tracking.backend import TrackingBackend

    backend = TrackingBackend.resolve(Path(arguments.storage_path).resolve())
    database = Path(backend.uri.removeprefix("sqlite:///"))
    if backend.uri.startswith("sqlite:///") and not os.path.isfile(database):
        raise MissingDataError(
            f"there are no MLflow records at {database}; train a model first, or say where they are by --storage-path "
            "or MLFLOW_TRACKING_URI."
        )
    backend.connect()


def _open(arguments: PredictArgs) -> "UnlabelledScene":
    from sceneshift.catalogue.builtin import SCENES
    from sceneshift.commands.scenes import find_scene
    from sceneshift.files.opening import open_unlabelled

    if arguments.scene in SCENES:
        return find_scene(arguments.scene, arguments.data_dir).without_labels()
    return open_unlabelled(expanded(arguments.scene), cube_variable=arguments.cube_variable)


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
