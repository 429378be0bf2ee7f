"""What tests of closing share: a search over two pairs of tiny scenes, and one of its trials."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sceneshift.files.arrow_scenes import write_scene
from sceneshift.scenes.scene import Scene
from sceneshift.search.prepared import PreparedSearch
from sceneshift.search.profile import Profile
from sceneshift.search.spec import SearchSpec
from sceneshift.search.trial_record import TrialRecord
from sceneshift.training.data import DataSpec

CONFIG = {"patch_size": 5, "batch_size": 100, "width": 8}


@pytest.fixture
def make_search(
    make_scene: Callable[..., Scene], unit_catalogue: Callable[..., str], tmp_path: Path
) -> Callable[..., PreparedSearch]:
    """Prepare a search of two epochs with cross-entropy, on the pairs ``one-two`` and ``three-two``."""

    def make(*, pairs: tuple[str, ...] = ("one-two", "three-two"), **changes: Any) -> PreparedSearch:
        catalogue = unit_catalogue()
        write_scene(make_scene(2, name="three"), tmp_path / "three.arrow")
        with open(catalogue, "a") as file:
            file.write('[scenes.three]\nstored = "three.arrow"\n[pairs.three-two]\nsource = "three"\ntarget = "two"\n')
        profile = Profile(name="p", description="", epochs=2, num_samples=4, pixels_per_class=30)
        data = DataSpec(pairs=pairs, catalogue=catalogue, patch_size=5, pixels_per_class=30, seed=7)
        values: dict[str, Any] = {"executor": "local", "refit": "as-trial", **changes}
        spec = SearchSpec(
            method="cross_entropy",
            space=SimpleNamespace(),  # type: ignore[arg-type]  # a chosen trial is configured already
            profile=profile,
            data=data,
            name="s",
            seed=7,
            storage_path=str(tmp_path),
            **values,
        )
        return PreparedSearch(
            spec=spec,
            profile=profile,
            default_trial=SimpleNamespace(),  # type: ignore[arg-type]
            data=data.load(),
            directory=tmp_path / "s",
            checkpoint_location=str(tmp_path / "s" / "checkpoints"),
        )

    return make


@pytest.fixture
def winner() -> TrialRecord:
    return TrialRecord(
        number=3,
        state="complete",
        params={},
        config=CONFIG,
        epochs={},
        value=0.5,
        ended=None,
        reason="",
        weights={},
        started_ms=0,
        seconds=None,
    )
