"""What all messages of refusals are put together from."""

import re

import pytest

from sceneshift.catalogue.load import load_scene
from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.errors import first_line, nearest_name
from sceneshift.methods.registry import find_method
from sceneshift.scenes.normalization import check_normalization
from sceneshift.simulation.mixing import Mixing
from sceneshift.training.precision import check_precision


def test_the_nearest_name_is_offered_and_a_far_one_is_not() -> None:
    assert nearest_name("west-eest", ["sw-se", "west-east"]) == " (did you mean 'west-east'?)"
    assert nearest_name("atlantis", ["sw-se", "west-east"]) == ""


@pytest.mark.parametrize(
    "refused",
    [
        lambda: NamedPair(name="west-eest"),
        lambda: InScene(scene="indian_pine", split="blocks", patch_size=5, seed=0),
        lambda: InScene(scene="indian_pines", split="block", patch_size=5, seed=0),
        lambda: load_scene("indian_pine"),
        lambda: find_method("s2vnett"),
        lambda: check_normalization("min-max-per-band"),
        lambda: Mixing(model="fann"),  # type: ignore[arg-type]
        lambda: check_precision("bfloat", on_gpu=False),
        lambda: find_method("s2vnet").config_type.from_mapping({"widht": 3}),
    ],
)
def test_the_question_is_in_a_sentence_that_ends_as_one(refused) -> None:
    with pytest.raises(ValueError, match="did you mean") as error:
        refused()
    message = str(error.value)
    assert re.search(r" \(did you mean '[^']+'\?\)[.;,]? ", message)
    assert not re.search(r"[?.;,][.;,]", message)


def test_an_error_without_words_is_reported_by_its_type() -> None:
    assert first_line(OSError()) == "OSError"
    assert first_line(OSError("no room\nat all")) == "no room"
