import numpy as np
import pytest

from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.errors import InvalidInputError
from sceneshift.tracking.search_run import SearchRun
from sceneshift.tracking.trained_on import TrainedOn


@pytest.fixture
def run(backend):
    mirror = SearchRun(backend, study_name="s", metric="val/aa", tags={}, params={})
    return mirror.client, mirror.run_id


@pytest.mark.parametrize(
    "recipe",
    [NamedPair(name="west-east"), InScene(scene="indian_pines", split="blocks", patch_size=5, seed=3, data_dir="/d")],
)
def test_what_was_trained_on_comes_back_as_it_was(run, tiny_source, recipe):
    TrainedOn.of(recipe, [tiny_source], source_hash="5ce4e").save(*run)
    found = TrainedOn.load(*run, recipe.name)
    assert (found.recipe, found.source_hash) == (recipe, "5ce4e")
    assert found.split_hash == tiny_source.split.content_hash
    np.testing.assert_array_equal(found.train, tiny_source.split.train)
    np.testing.assert_array_equal(found.validation, tiny_source.split.validation)


def test_a_run_without_it_has_none(run):
    assert TrainedOn.load(*run, "west-east") is None


def test_a_changed_file_is_reported(run):
    client, run_id = run
    client.log_text(run_id, '{"recipe": {}}', "data/west-east.json")
    with pytest.raises(InvalidInputError, match=r"west-east.json"):
        TrainedOn.load(client, run_id, "west-east")
