import json

import numpy as np
import pytest
import torch

from sceneshift.catalogue.indian_pines import load_indian_pines
from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.scenes.normalization import NORMALIZATIONS, UNITLESS
from sceneshift.scenes.scene import Scene
from sceneshift.splits.split import random_split
from sceneshift.study.train_arguments import TrainArgs
from sceneshift.study.train_preparation import prepare_training, training_counts


@pytest.fixture
def prepared(tmp_path):
    def build(**changes):
        of = {} if "pair" in changes else {"scene": "indian_pines"}
        common = {"method": "s2vnet", "storage_path": str(tmp_path), "run_name": "r", "device": "cpu", "patch_size": 5}
        return prepare_training(TrainArgs(**{**common, **of, **changes}))

    return build


def test_within_a_scene_the_whole_training_side_trains_and_a_tenth_is_the_default(prepared):
    training = prepared(split="random")
    assert isinstance(training.recipe, InScene)
    test = training.pair.test_split
    assert len(test.train) / 10249 == pytest.approx(0.1, abs=0.002)
    np.testing.assert_array_equal(training.source.split.train, test.train)
    assert len(training.source.split.validation) == 0
    assert not training.source.scene.labels.ravel()[test.validation].any()
    assert not isinstance(training.pair.target, Scene)
    assert training.split_name == "random 0.1"
    assert prepared(split="random", train_fraction=0.3).split_name == "random 0.3"


def test_of_a_pair_four_fifths_train_and_the_rest_validates(prepared):
    training = prepared(pair="west-east", split="random")
    assert training.recipe == NamedPair(name="west-east")
    split = training.source.split
    assert len(split.train) / (len(split.train) + len(split.validation)) == pytest.approx(0.8, abs=0.01)
    assert training.split_name == "random 0.8"
    everything = prepared(pair="west-east", split="all")
    assert (len(everything.source.split.validation), everything.split_name) == (0, "all")


def test_blocks_keep_the_patch_s_guard(prepared):
    test = prepared(patch_size=7).pair.test_split
    assert (test.kind, test.guard) == ("blocks", 3)
    assert test.separation(7).num_inside_training_patch == 0


def test_fields_are_kept_whole_in_a_pair_s_source_and_within_a_scene(prepared):
    inside = prepared(by_field=True, patch_size=7)
    assert (inside.pair.test_split.kind, inside.pair.test_split.guard) == ("fields", 3)
    assert inside.split_name == inside.settings()["split"] == inside.tags()["split"] == "fields 0.1"
    across = prepared(pair="west-east", split="fields", patch_size=7)
    assert (across.source.split.kind, across.split_name) == ("fields", "fields 0.8")
    assert "validation pixels by fields, guard 3" in "\n".join(across.announcement())


def test_counts_are_of_each_class_s_training_pixels(prepared):
    training = prepared(split="random")
    labels = load_indian_pines().labels.ravel()[training.source.split.train]
    assert training_counts(training) == [int((labels == k).sum()) for k in range(1, 17)]


def test_the_plan_is_the_method_s_with_what_was_given(prepared):
    plan = prepared(lr=0.01, set=("width=16",), epochs=3, seed=4).plan
    assert (plan.config.lr, plan.config.width, plan.config.heads, plan.config.patch_size) == (0.01, 16, 4, 5)
    assert (plan.epochs, plan.seed, plan.evaluate_every) == (3, 4, 0)
    assert prepared().plan.epochs == 500
    assert prepared(pair="sw-se", method="s2amsnet").plan.epochs == 400


def test_the_seed_draws_the_split(prepared):
    def hash_of(**changes):
        return prepared(split="random", **changes).pair.test_split.content_hash

    assert hash_of() == hash_of(epochs=3, run_name="other", lr=0.1)
    assert hash_of() != hash_of(seed=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "s2vnett"}, "no method is called 's2vnett'.*did you mean 's2vnet'"),
        ({"scene": "indian_pine"}, "no scene is called 'indian_pine'.*did you mean 'indian_pines'"),
        ({"pair": "west-eest"}, "no scene pair is called 'west-eest'.*did you mean 'west-east'"),
        ({"set": ("widht=3",)}, "S2VNetConfig has no parameter 'widht'.*did you mean 'width'"),
        ({"set": ("width=wide",)}, "width = 'wide' is str; expected int"),
        ({"patch_size": 6}, "patch_size = 6; expected an odd number >= 5"),
        ({"split": "fixed"}, "--split fixed needs --train-mask and --test-mask"),
        ({"split": "random", "train_mask": "m"}, "--split random takes no --train-mask"),
        ({"compile": True}, "--compile is for GPUs"),
        ({"precision": "tf32"}, "tf32 exists on CUDA devices only"),
        ({"method": "rbf_svm", "workers_per_trial": 2}, "'rbf_svm' trains in one process, and 2 workers"),
        ({"method": "rbf_svm", "epochs": 2}, "epochs = 2; method 'rbf_svm' is fitted at once"),
        ({"method": "rbf_svm", "lr": 0.1}, "lr = 0.1 has no effect"),
    ],
)
def test_what_cannot_be_trained_is_refused(prepared, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        prepared(**changes)


def test_a_gpu_that_is_not_there_is_refused(prepared, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidInputError, match="--device cuda: torch sees no GPU here"):
        prepared(device="cuda")
    assert prepared(device="auto").device.type == "cpu"


def test_a_storage_path_that_is_a_file_is_refused(prepared, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="is no directory that can be written"):
        prepared(storage_path=str(tmp_path / "file"))


def test_preparing_writes_nothing(prepared, tmp_path):
    prepared()
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_name_is_called_after_what_it_does(prepared):
    assert prepared(run_name=None).name.startswith("s2vnet-indian_pines-blocks-")
    assert prepared(run_name=None, pair="sw-se").directory.name.startswith("s2vnet-sw-se-blocks-")


def test_the_announcement_tells_method_settings_and_pixels(prepared, tmp_path):
    text = "\n".join(prepared(split="random", epochs=3).announcement())
    for told in (
        "run                  r\n",
        f"kept in              {tmp_path}/training/r\n",
        "method               s2vnet, 3 epochs, seed 0, float32, cpu\n",
        "patch_size 5, batch_size 64, lr 0.001",
        "scene indian_pines   1031 training and 9218 test pixels at random",
    ):
        assert told in text


def test_tags_say_what_a_result_came_from(prepared):
    training = prepared(split="random")
    tags = training.tags()
    assert tags["split.hash"] == training.source.split.content_hash
    assert tags["test_split.hash"] == training.pair.test_split.content_hash
    assert tags["source.hash"] == training.source.scene.content_hash
    assert "last epoch" in tags["selection"]
    assert {"git.commit", "version.torch"} <= tags.keys()
    assert "test_split.hash" not in prepared(pair="sw-se").tags()


def test_a_name_is_taken_once_and_resumed_with_equal_settings_alone(prepared, tmp_path):
    with pytest.raises(StudyError, match=r"no run 'r' at .* to resume; leave --resume out"):
        prepared(resume=True).open_directory(tracking="sqlite:///m.db")
    training = prepared()
    training.open_directory(tracking="sqlite:///m.db")
    written = tmp_path / "training" / "r" / "settings.json"
    kept = json.loads(written.read_text())
    assert kept["settings"] == json.loads(json.dumps(training.settings()))
    assert (kept["origin"], kept["tracking"], kept["changes"]) == (training.origin(), "sqlite:///m.db", [])
    with pytest.raises(StudyError, match=r"a run 'r' exists at .*--resume.*Nothing was changed"):
        prepared().open_directory(tracking="sqlite:///m.db")
    # How often one looks, where and with how many threads changes nothing that is kept.
    prepared(resume=True, threads=1).open_directory(tracking="sqlite:///m.db")
    before = written.read_text()
    with pytest.raises(StudyError, match="can't be resumed with other settings") as refused:
        prepared(resume=True, lr=0.5, seed=1, split="random").open_directory(tracking="sqlite:///m.db")
    differing = {line.split(":")[0].strip() for line in str(refused.value).splitlines() if ": was " in line}
    assert differing == {"lr", "seed", "split", "split hash", "test split hash"}
    assert written.read_text() == before
    written.write_text(before[:40])
    with pytest.raises(StudyError, match=r"settings\.json is damaged .*Begin another"):
        prepared(resume=True).open_directory(tracking="sqlite:///m.db")


def test_other_test_pixels_are_another_run(prepared, tmp_path):
    scene = load_indian_pines()
    split = random_split(scene, train_fraction=0.05, patch_size=5, seed=0)
    for name, pixels in (("train", split.train), ("all", split.validation), ("some", split.validation[::2])):
        mask = np.zeros(scene.labels.size, dtype=np.int64)
        mask[pixels] = scene.labels.ravel()[pixels]
        np.save(tmp_path / f"{name}.npy", mask.reshape(scene.shape))

    def with_test(name, **changes):
        masks = {"train_mask": str(tmp_path / "train.npy"), "test_mask": str(tmp_path / f"{name}.npy")}
        return prepared(split="fixed", **masks, **changes)

    with_test("all").open_directory(tracking="sqlite:///m.db")
    with_test("all", resume=True).open_directory(tracking="sqlite:///m.db")
    with pytest.raises(StudyError, match="test split hash: was"):
        with_test("some", resume=True).open_directory(tracking="sqlite:///m.db")


class TestUnits:
    @pytest.fixture
    def of_pair(self, prepared, unit_catalogue):
        def build(factor=1e4, *, step="minmax-per-band", one=None, two=None):
            catalogue = unit_catalogue(factor, one=one, two=two)
            settings = (f"normalization={step}",)
            return prepared(pair="one-two", catalogue=catalogue, split="random", set=settings)

        return build

    @pytest.mark.parametrize("step", [step for step in NORMALIZATIONS if step not in UNITLESS])
    def test_a_step_that_keeps_the_unit_is_refused_where_units_differ_undeclared(self, of_pair, step):
        with pytest.raises(InvalidInputError, match=f"pair 'one-two': got the normalization {step}"):
            of_pair(step=step)
        assert of_pair(step=step, one="reflectance", two="counts").plan.config.normalization == step
        assert of_pair(1.0, step=step).plan.config.normalization == step

    @pytest.mark.parametrize("step", UNITLESS)
    def test_a_step_in_which_the_unit_cancels_is_taken(self, of_pair, step):
        assert of_pair(step=step).plan.config.normalization == step

    def test_units_are_announced_and_tagged_where_one_is_stated(self, of_pair):
        training = of_pair(one="reflectance", two="counts")
        assert training.tags()["units"] == "reflectance (one), counts (two)"
        assert any("reflectance (one), counts (two)" in line for line in training.announcement())
        assert "units" not in of_pair(1.0).tags()
        assert of_pair(1.0).settings().keys() == training.settings().keys()
