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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import sceneshift
from sceneshift.training.checkpoint import weights_hash

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: What a process needs to load and use a model; Ray, Optuna and the rest are not among it.
_REQUIREMENTS = ("mlflow", "torch", "numpy", "numba")

CHAMPION, PREVIOUS_CHAMPION = "champion", "previous-champion"


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """A registered version of a model.

    Args:
        name: Registered name.
        version: Version number.
        alias: The alias it was given.
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


def registered_name(method: str, source_scene: str) -> str:
    """The registered model's name for a method trained on a source scene."""
    return f"{method}-{source_scene.replace('/', '-')}"


def log_and_register(
    client: "MlflowClient",
    *,
    run_id: str,
    alias: str,
    classifier: torch.nn.Module,
    description: Mapping[str, Any],
    tags: Mapping[str, str],
) -> LoggedModel:
    """Log a classifier on a run, register it, and give it an alias.

    The same weights are registered once: where they already bear the alias, nothing is added.

    Args:
        client: Of the MLflow that has the run.
        run_id: The run the model belongs to.
        alias: Such as ``champion``, whose previous bearer becomes ``previous-champion``.
        classifier: The module kept for prediction.
        description: ``method``, ``config``, ``bands``, ``class_names``, ``source_scene``, and ``normalization``, the
            fitted step as plain values.
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
    digest = weights_hash(classifier)
    replaced: str | None = None
    with contextlib.suppress(MlflowException):  # there is none yet
        bearer = client.get_model_version_by_alias(name, alias)
        if bearer.tags.get("weights") == digest:
            return LoggedModel(name=name, version=str(bearer.version), alias=alias, replaced=None)
        replaced = str(bearer.version)
    before = client.get_run(run_id).info
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
        # A server takes the source only with the model's id beside it; a file of our own would do without.
        made = client.create_model_version(name, source=info.model_uri, run_id=run_id, model_id=info.model_id)
        number = str(made.version)
    # Logging on a run opens it again; it ended when it ended.
    if before.status != "RUNNING":
        client.set_terminated(run_id, before.status, before.end_time)
    for key, value in {**tags, "weights": digest}.items():
        client.set_model_version_tag(name, number, key, value)
    client.set_registered_model_alias(name, alias, number)
    if replaced is not None and alias == CHAMPION:
        client.set_registered_model_alias(name, PREVIOUS_CHAMPION, replaced)
    return LoggedModel(name=name, version=number, alias=alias, replaced=replaced)


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
