"""The scenes of a study as MLflow datasets: names, digests and sizes; no pixels or labels are written."""

import json
from typing import TYPE_CHECKING, Any

from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

#: The role of a dataset in a run: used for training, or only read when the study closed.
TRAINING, OBSERVED = "training", "observed"


def training_input(source: SourceDomain, *, digest: str) -> "DatasetInput":
    """A labelled source scene, as a dataset used for training.

    Args:
        source: The source and its split.
        digest: :attr:`sceneshift.scenes.scene.Scene.content_hash`, which the caller has already computed.
    """
    scene, split = source.scene, source.split
    figures = {
        "classes": scene.num_classes,
        "training pixels": len(split.train),
        "validation pixels": len(split.validation),
        "split": split.kind,
        "split hash": split.content_hash,
    }
    return _input(scene, pair=source.pair_name, digest=digest, context=TRAINING, figures=figures)


def observed_input(pair: ScenePair, *, digest: str) -> "DatasetInput":
    """A target scene without its labels, as a dataset that is mapped when the study closes.

    Args:
        pair: The pair it is the target of.
        digest: :attr:`sceneshift.scenes.scene.UnlabelledScene.cube_hash`.
    """
    return _input(pair.target, pair=pair.name, digest=digest, context=OBSERVED, figures={})


def _input(scene: UnlabelledScene, *, pair: str, digest: str, context: str, figures: dict[str, Any]) -> "DatasetInput":
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.schema import TensorDatasetSchema
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types import Schema, TensorSpec

    # MLflow has no source for "what this package's catalogue reads"; code is the nearest it can read back.
    source = CodeDatasetSource(tags={"scene": scene.name, "pair": pair, "read by": "sceneshift.catalogue.load"})
    cube = Schema([TensorSpec(scene.cube.dtype, scene.cube.shape)])
    rows, columns = scene.shape
    unit = {} if scene.unit is None else {"unit": scene.unit}
    profile = {"rows": rows, "columns": columns, "bands": scene.num_bands, **unit, **figures}
    dataset = Dataset(
        name=scene.name,
        digest=digest,
        source_type=source._get_source_type(),
        source=source.to_json(),
        schema=json.dumps(TensorDatasetSchema(features=cube).to_dict()),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context), InputTag("pair", pair)])
