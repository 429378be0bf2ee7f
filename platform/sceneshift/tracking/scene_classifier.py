"""The model MLflow stores: :class:`sceneshift.tracking.scene_model.SceneModel` behind MLflow's ``predict``.

MLflow runs this file when the model is loaded ("models from code"); the package's own sources are stored with it,
so none of our classes is pickled. Ray is not needed to load or use it.

Shape letters: H rows, W columns, B batch, C bands, P patch size, K classes.
"""

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np

from sceneshift.errors import InvalidInputError
from sceneshift.files.opening import open_unlabelled
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.tracking.scene_model import SceneModel

#: The allowed values of ``params={"output": …}``.
OUTPUTS = ("classes", "probabilities")


class SceneClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow's base is untyped
    """Classifies a scene's pixels, or patches of a scene.

    ``predict`` takes a cube (H, W, C), patches (B, C, P, P), or the path of a scene's file, in the unit of the
    source scene's file: the normalization fitted on the source is applied here. It returns class ids 1..K, (H, W) or
    (B,), or with ``params={"output": "probabilities"}`` (H, W, K) or (B, K). ``params={"check_values": False}`` accepts
    values that would be rejected for differing from the source's.
    """

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        """Rebuild the classifier from description and weights."""
        self.model = SceneModel.load(Path(context.artifacts["description"]).parent)

    def predict(
        self,
        context: Any,  # noqa: ANN401
        model_input: np.ndarray,  # also lists and paths: MLflow accepts only this hint without a warning
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        """Class ids, or probabilities.

        Raises:
            MissingDataError: There is no file at the path.
            InvalidInputError: The input is of another kind than the model was trained on.
        """
        given = {"output": OUTPUTS[0], "check_values": True} | (params or {})
        output, check_values = given["output"], bool(given["check_values"])
        if output not in OUTPUTS:
            raise InvalidInputError(f"output = {output!r}; expected {' or '.join(OUTPUTS)}.")
        path = _path_in(model_input)
        scene: UnlabelledScene | np.ndarray
        if path is not None:
            scene = open_unlabelled(path)
        else:
            array = _array_of(model_input)
            if array.ndim == 4:
                logits = self.model.patch_logits(array, check_values=check_values)
                # Not the largest probability, since two logits may round to the same.
                chosen = logits.softmax(dim=1) if output == "probabilities" else logits.argmax(dim=1) + 1
                return np.asarray(chosen.numpy())
            if array.ndim != 3:
                expects = self.model.description
                raise InvalidInputError(
                    f"an array of shape {array.shape}; expected a cube (H, W, {expects.bands}), patches (B, "
                    f"{expects.bands}, "
                    f"{expects.patch_size}, {expects.patch_size}), or the path of a scene's file."
                )
            scene = array
        if output == "probabilities":
            return self.model.map_probabilities(scene, check_values=check_values)
        return self.model.map_scene(scene, check_values=check_values)


def _path_in(given: Any) -> str | None:  # noqa: ANN401
    """The path in the input, however MLflow has wrapped the string."""
    if isinstance(given, np.ndarray) and given.size == 1:
        given = given.item()
    elif isinstance(given, list) and len(given) == 1:
        given = given[0]
    return str(given) if isinstance(given, str | Path) else None


def _array_of(given: Any) -> np.ndarray:  # noqa: ANN401
    try:
        array = np.asarray(given)
        return array.astype(np.float64) if array.dtype == object else array
    except (ValueError, TypeError) as error:
        raise InvalidInputError(
            f"the input ({type(given).__name__}) is not an array of numbers; expected a cube (H, W, C), patches "
            "(B, C, P, P), or the path of a scene's file."
        ) from error


mlflow.models.set_model(SceneClassifier())
