"""Models in MLflow's registry: one registered model per method and source scene."""

import contextlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import sceneshift
from sceneshift.errors import MissingDataError, first_line, nearest_name
from sceneshift.tracking.key_names import key_name
from sceneshift.tracking.model_description import ModelDescription
from sceneshift.tracking.registry import CHAMPION, as_version, bearer, make_champion
from sceneshift.tracking.scene_model import DESCRIPTION_FILE, WEIGHTS_FILE, SceneModel
from sceneshift.training.checkpoint import weights_hash

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: Packages needed to load a model and to read scenes for it (.arrow, .mat, .npy, .npz), without Ray, Optuna and the
#: rest, and without the readers of ENVI and GeoTIFF.
_REQUIREMENTS = ("mlflow", "torch", "numpy", "numba", "scipy", "pyarrow", "h5py")


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """A registered version of a model.

    Args:
        name: Registered name.
        version: Version number.
        alias: Its alias.
        replaced: The version that had the alias before, or None.
    """

    name: str
    version: str
    alias: str
    replaced: str | None

    @property
    def uri(self) -> str:
        """``models:/<name>@<alias>``."""
        return f"models:/{self.name}@{self.alias}"


def registered_name(method: str, source_scenes: Sequence[str]) -> str:
    """The registered model's name for a method trained on one or several source scenes."""
    return f"{method}-{'+'.join(source_scenes).replace('/', '-')}"


def log_and_register(
    client: "MlflowClient",
    *,
    run_id: str,
    alias: str,
    classifier: torch.nn.Module,
    description: ModelDescription,
    tags: Mapping[str, str],
    metrics: Mapping[str, float] | None = None,
) -> LoggedModel:
    """Log a classifier on a run, register it, and give it an alias.

    The same weights are registered only once: if they already have the alias, nothing is added.

    Args:
        client: Client of the MLflow server that has the run.
        run_id: The run the model belongs to.
        alias: An alias such as ``champion``, whose previous version becomes ``previous-champion``.
        classifier: The module for prediction.
        description: What it is and what it was trained on.
        tags: Tags of the model version.
        metrics: Figures by which MLflow's page of models can sort.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    name = registered_name(description.method, description.source_scenes)
    digest = weights_hash(classifier)
    replaced = bearer(client, name, alias)
    if replaced is not None and replaced.tags.get("weights") == digest:
        return LoggedModel(name=name, version=replaced.number, alias=alias, replaced=None)
    before = client.get_run(run_id).info
    with tempfile.TemporaryDirectory() as directory, _quiet():
        weights, text = Path(directory) / WEIGHTS_FILE, Path(directory) / DESCRIPTION_FILE
        torch.save(classifier.state_dict(), weights)
        text.write_text(json.dumps(description.as_dict(), indent=2))
        with mlflow.start_run(run_id=run_id):
            info = mlflow.pyfunc.log_model(
                name=name,
                python_model=str(Path(__file__).with_name("scene_classifier.py")),
                artifacts={"weights": str(weights), "description": str(text)},
                code_paths=[str(Path(sceneshift.__file__).parent)],
                signature=_signature(),
                input_example=description.made_cube(),
                metadata=_in_words(description),
                pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in _REQUIREMENTS],
            )
            if metrics:
                named = {key_name(key): value for key, value in metrics.items()}
                mlflow.log_metrics(named, model_id=info.model_id)
        with contextlib.suppress(MlflowException):  # it exists
            client.create_registered_model(name)
        client.update_registered_model(name, description=_purpose(description))
        # A server accepts the source only together with the model's id; a local file would not need it.
        made = client.create_model_version(name, source=info.model_uri, run_id=run_id, model_id=info.model_id)
        number = str(made.version)
    # Logging on a run reopens it; its original end time is restored.
    if before.status != "RUNNING":
        client.set_terminated(run_id, before.status, before.end_time)
    for key, value in {**tags, "weights": digest}.items():
        client.set_model_version_tag(name, number, key_name(key), value)
    if alias == CHAMPION:
        make_champion(client, as_version(made))
    else:
        client.set_registered_model_alias(name, alias, number)
    return LoggedModel(name=name, version=number, alias=alias, replaced=None if replaced is None else replaced.number)


def load_scene_model(uri: str, *, device: torch.device | str = "cpu") -> SceneModel:
    """Load a model's weights and description into this version's code; code stored with them is not run.

    Args:
        uri: ``models:/<name>@<alias>``, ``models:/<name>/<version>``, ``runs:/<id>/<name>``, or a folder it was
            downloaded to. The tracking URI must be set (:meth:`TrackingBackend.connect`).
        device: The device for its classifier.

    Raises:
        MissingDataError: There is no such model; the message lists those there are.
        InvalidInputError: It is of a newer format, or damaged.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as directory, _quiet():
        try:
            folder = mlflow.artifacts.download_artifacts(uri, dst_path=directory)
        except (MlflowException, OSError) as error:
            raise MissingDataError(f"there is no model {uri} ({first_line(error)}). {_registered(uri)}") from error
        return SceneModel.load(Path(folder) / "artifacts", device=device)


def version_of(uri: str) -> str | None:
    """The number of the version to which ``models:/<name>@<alias>`` currently refers; None for any other address."""
    import mlflow

    name, at, alias = uri.removeprefix("models:/").partition("@")
    if not uri.startswith("models:/") or not at:
        return None
    return str(mlflow.MlflowClient().get_model_version_by_alias(name, alias).version)


def _registered(uri: str) -> str:
    """The registered models, for an error message."""
    import mlflow

    try:
        models = mlflow.MlflowClient().search_registered_models()
    except Exception as error:  # whatever a database or a server raises: this is added to another error
        return f"What is registered can't be read ({first_line(error)})."
    names = {model.name: model.aliases for model in models}
    if not names:
        return "No model is registered there; train one, or set MLFLOW_TRACKING_URI or --storage-path."
    asked = uri.removeprefix("models:/").partition("@")[0].partition("/")[0]
    known = [
        f"models:/{name}@{alias} (version {number})"
        for name, aliases in names.items()
        for alias, number in aliases.items()
    ] or [f"models:/{name}/1" for name in names]
    return f"Registered{nearest_name(asked, names)}: {', '.join(known)}."


def _signature() -> Any:  # noqa: ANN401 - mlflow has no types
    """The model's outputs and parameters.

    MLflow does not check the inputs: its schemas allow one rank each, but a cube, patches and a path have three. The
    model itself rejects unsuitable input with an explanation; :func:`_in_words` describes what it accepts.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    return ModelSignature(
        outputs=Schema([TensorSpec(np.dtype(np.int64), (-1, -1))]),
        params=ParamSchema(
            [
                ParamSpec("output", DataType.string, "classes"),
                ParamSpec("check_values", DataType.boolean, True),
            ]
        ),
    )


def _purpose(description: ModelDescription) -> str:
    """What all versions of a registered model have in common, for its page."""
    return (
        f"Maps a scene with {description.bands} bands to {len(description.class_names)} classes "
        f"({', '.join(description.class_names)}). Method: {description.method}; trained on "
        f"{description.source_scene}. `@{CHAMPION}` is the version in use."
    )


def _in_words(description: ModelDescription) -> dict[str, Any]:
    """The description on the model's page."""
    bands, side = description.bands, description.patch_size
    numbers = "as the source scene's file has them, not normalized"
    if (values := description.source_values) is not None:
        numbers += f" (the source's: {values.low:g} to {values.high:g})"
    return {
        "input": f"a cube (H, W, {bands}), patches (B, {bands}, {side}, {side}), or the path of a scene's file; "
        f"numbers {numbers}",
        "output": f"class ids 1..{len(description.class_names)}, (H, W) or (B,); with params "
        '{"output": "probabilities"} a last axis of class probabilities',
        "classes": dict(enumerate(description.class_names, start=1)),
        "source_scene": description.source_scene,
        "method": description.method,
        "normalization": description.normalization["name"],
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Logging a model prints a dozen lines of advice that only apply to models logged by hand.
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
