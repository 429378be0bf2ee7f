"""The model MLflow keeps: one trained classifier with all it needs to look at a scene.

MLflow runs this file when the model is loaded ("models from code"); the package's own sources travel beside it, so
no class of ours is pickled. Ray is not needed to load or use it.

Shape letters: B batch, C bands, P patch size, K classes.
"""

import json
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import torch

from sceneshift.errors import InvalidInputError
from sceneshift.methods.registry import find_method
from sceneshift.scenes.normalization import Normalization

_BATCH = 256


class SceneClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow's base is untyped
    """Classifies patches of a scene.

    ``predict`` takes (B, C, P, P) raw numbers, of the quantity the source scene's file holds, for any B, and gives
    (B,) class ids 1..K. The normalization fitted on the source is applied here. After ``l2-per-pixel`` the unit does
    not matter, since a factor common to a pixel's bands goes out; every other step wants the source's own unit.
    """

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        """Rebuild the classifier from description and weights."""
        self.description = json.loads(Path(context.artifacts["description"]).read_text())
        self._normalization = Normalization.from_dict(self.description["normalization"])
        method = find_method(self.description["method"])
        config = method.config_type.from_mapping(self.description["config"])
        self._classifier = method.build_classifier(
            config, bands=self.description["bands"], classes=len(self.description["class_names"])
        )
        weights = torch.load(context.artifacts["weights"], map_location="cpu", weights_only=True)
        self._classifier.load_state_dict(weights)
        self._classifier.eval()

    def predict(
        self,
        context: Any,  # noqa: ANN401
        model_input: np.ndarray,  # the one array hint MLflow takes without a warning
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        """Class ids of patches.

        Raises:
            InvalidInputError: The patches have another shape than the model was trained on.
        """
        patches = np.asarray(model_input)
        bands, side = self.description["bands"], self.description["config"]["patch_size"]
        if patches.ndim != 4 or patches.shape[1:] != (bands, side, side):
            raise InvalidInputError(
                f"patches of shape {patches.shape}; this model takes (B, {bands}, {side}, {side}): "
                f"{bands} bands, {side} x {side} pixels."
            )
        normalized = self._normalization.apply(patches.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        with torch.inference_mode():
            batches = torch.split(torch.from_numpy(np.ascontiguousarray(normalized)), _BATCH)
            ids = torch.cat([self._classifier(batch).argmax(dim=1) for batch in batches]) + 1
        return np.asarray(ids.numpy(), dtype=np.int64)


mlflow.models.set_model(SceneClassifier())
