"""What a registered model was trained and validated on, stored with its run, for fair comparisons later.

Only positions and hashes; no pixels or labels are written.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.pair_spec import InScene, NamedPair, Recipe
from sceneshift.catalogue.user_entries import NO_CATALOGUE, OwnCatalogue
from sceneshift.catalogue.user_toml import read_catalogue
from sceneshift.errors import InvalidInputError, first_line
from sceneshift.splits.source import SourceDomain, joined_hash, joined_pixels

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_FOLDER = "data"
_RECIPES: Mapping[str, type[Recipe]] = {"NamedPair": NamedPair, "InScene": InScene}


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedOn:
    """The pixels of a pair's source. Those of several sources are numbered through, in their order.

    See :func:`sceneshift.splits.source.joined_pixels`.

    Args:
        recipe: What the pair is made from.
        source_hash: Hash of the source with its labels; of several, one for all.
        split_hash: Hash of the split; of several, one for all.
        train: Flat indices of the source's training pixels.
        validation: Flat indices of the pixels that were held back from the network that was chosen; none if nothing
            was chosen.
        predicted: (M,) class indices 0..K-1 that the chosen network predicted on ``validation``, if the model is not
            that network but its configuration trained once more on every field, those pixels' fields among them.
    """

    recipe: Recipe
    source_hash: str
    split_hash: str
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    predicted: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        sources: Sequence[SourceDomain],
        *,
        source_hash: str,
        registered: Sequence[SourceDomain] | None = None,
        predicted: NDArray[np.int64] | None = None,
    ) -> Self:
        """Describe sources and their splits.

        Args:
            recipe: What the pair is made from.
            sources: Its sources, with the splits that were used for the choice.
            source_hash: The sources' content hash, which the caller has already computed.
            registered: The sources with the pixels the registered model trained on, if those are different.
            predicted: As for the class.
        """
        return cls(
            recipe=recipe,
            source_hash=source_hash,
            split_hash=joined_hash([source.split.content_hash for source in sources]),
            train=joined_pixels(sources if registered is None else registered, lambda source: source.split.train),
            validation=joined_pixels(sources, lambda source: source.split.validation),
            predicted=predicted,
        )

    def save(self, client: "MlflowClient", run_id: str) -> None:
        """Store it with a run."""
        recipe = {field.name: getattr(self.recipe, field.name) for field in fields(self.recipe)}
        recipe["catalogue"] = self.recipe.catalogue.path
        values = {
            "recipe": {"kind": type(self.recipe).__name__, **recipe},
            "source_hash": self.source_hash,
            "split_hash": self.split_hash,
            "train": self.train.tolist(),
            "validation": self.validation.tolist(),
            **({} if self.predicted is None else {"predicted": self.predicted.tolist()}),
        }
        client.log_text(run_id, json.dumps(values), _file(self.recipe.name))

    @classmethod
    def load(
        cls, client: "MlflowClient", run_id: str, pair: str, *, catalogue: OwnCatalogue | None = None
    ) -> Self | None:
        """Read it from a run; None if the run has none, like those of older versions.

        Args:
            client: Where the run is.
            run_id: The run.
            pair: The pair's name.
            catalogue: The user's scenes and pairs; by default the file that the run names is read, wherever it was.

        Raises:
            InvalidInputError: The stored file is something else, or the catalogue it names is no longer valid.
            MissingDataError: The catalogue it names isn't there.
        """
        import mlflow

        names = [artifact.path for artifact in client.list_artifacts(run_id, _FOLDER)]
        if _file(pair) not in names:
            return None
        text = mlflow.artifacts.load_text(f"{client.get_run(run_id).info.artifact_uri}/{_file(pair)}")
        try:
            values: dict[str, Any] = json.loads(text)
            recipe = dict(values["recipe"])
            named = recipe.pop("catalogue", None)
            if catalogue is None:
                catalogue = NO_CATALOGUE if named is None else read_catalogue(named, found="named by the run")
            return cls(
                recipe=_RECIPES[recipe.pop("kind")](**recipe, catalogue=catalogue),
                source_hash=str(values["source_hash"]),
                split_hash=str(values["split_hash"]),
                train=np.array(values["train"], dtype=np.int64),
                validation=np.array(values["validation"], dtype=np.int64),
                predicted=np.array(values["predicted"], dtype=np.int64) if "predicted" in values else None,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInputError(
                f"{_file(pair)} of run {run_id} does not say what trained ({first_line(error)}); was it changed?"
            ) from error


def _file(pair: str) -> str:
    return f"{_FOLDER}/{pair}.json"
