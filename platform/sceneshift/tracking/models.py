"""Models in MLflow's registry: one registered model per method and source scene."""

import contextlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sceneshift
from sceneshift.tracking.mirror import StudyMirror

#: What a process needs to load and use a model; Ray, Optuna and the rest are not among it.
_REQUIREMENTS = ("mlflow", "torch", "numpy", "scipy", "pyarrow", "tensorly")

CHAMPION, PREVIOUS_CHAMPION = "champion", "previous-champion"


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """A registered version of a model.

    Args:
        name: Registered name.
        version: Version number.
        replaced: The version that was champion before, or None.
    """

    name: str
    version: str
    replaced: str | None

    @property
    def uri(self) -> str:
        """``models:/<name>@champion``."""
        return f"models:/{self.name}@{CHAMPION}"


def registered_name(method: str, source_scene: str) -> str:
    """The registered model's name for a method trained on a source scene."""
    return f"{method}-{source_scene.replace('/', '-')}"


def log_champion(
    mirror: StudyMirror,
    *,
    run_id: str,
    classifier: torch.nn.Module,
    description: Mapping[str, Any],
    tags: Mapping[str, str],
) -> LoggedModel:
    """Log a classifier on a run, register it, and give it the alias ``champion``.

    Args:
        mirror: The study's MLflow runs.
        run_id: The run the model belongs to.
        classifier: The module kept for prediction.
        description: ``method``, ``config``, ``bands``, ``class_names``, ``source_scene``, ``normalization``.
        tags: On the model version.
    """
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    side, bands = description["config"]["patch_size"], description["bands"]
    name = registered_name(description["method"], description["source_scene"])
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, bands, side, side))]),
        outputs=Schema([TensorSpec(np.dtype(np.int64), (-1,))]),
    )
    client = mirror.client
    try:
        replaced: str | None = str(client.get_model_version_by_alias(name, CHAMPION).version)
    except MlflowException:
        replaced = None
    with tempfile.TemporaryDirectory() as directory, _quiet():
        weights, text = Path(directory) / "weights.pt", Path(directory) / "description.json"
        torch.save(classifier.state_dict(), weights)
        text.write_text(json.dumps(dict(description), indent=2))
        with mlflow.start_run(run_id=run_id):
            info = mlflow.pyfunc.log_model(
                name=name,
                python_model=str(Path(__file__).with_name("scene_classifier.py")),
                artifacts={"weights": str(weights), "description": str(text)},
                code_paths=[str(Path(sceneshift.__file__).parent)],
                signature=signature,
                pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in _REQUIREMENTS],
            )
        with contextlib.suppress(MlflowException):  # it exists
            client.create_registered_model(name)
        number = str(client.create_model_version(name, source=info.model_uri, run_id=run_id).version)
    for key, value in tags.items():
        client.set_model_version_tag(name, number, key, value)
    client.set_registered_model_alias(name, CHAMPION, number)
    if replaced is not None:
        client.set_registered_model_alias(name, PREVIOUS_CHAMPION, replaced)
    return LoggedModel(name=name, version=number, replaced=replaced)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Logging a model prints a dozen lines of advice for people who log models by hand.
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
