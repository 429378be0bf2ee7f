"""A training that is checked before anything is computed: its pixels, its place, what a resumed one must agree with."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sceneshift.catalogue.indian_pines import load_indian_pines
from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.engine.prepared_training import LAST_EPOCH, RunOptions, prepare_training
from sceneshift.engine.run_record import RunRecord, open_run_directory
from sceneshift.engine.training import train
from sceneshift.errors import InvalidInputError, StudyError
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.scenes.normalization import NORMALIZATIONS, UNITLESS
from sceneshift.scenes.scene import Scene
from sceneshift.splits.split import random_split
from sceneshift.tracking.provenance import SPEC_TAG
from sceneshift.training.data import DataSpec
from sceneshift.training.spec import TrainSpec


@pytest.fixture
def prepared(tmp_path):
    def build(**changes):
        of = {} if "pair" in changes else {"scene": "indian_pines"}
        common = {"method": "s2vnet", "storage_path": str(tmp_path), "run_name": "r", "device": "cpu", "patch_size": 5}
        arguments = TrainArgs(**{**common, **of, **changes})
        return prepare_training(arguments.spec(), arguments.options())

    return build


def test_a_method_that_compares_sources_refuses_a_pair_with_one(prepared):
    given = {"method": "group_dro", "epochs": 1}
    assert [len(pair.sources) for pair in prepared(pair="nw+sw-se", **given).data.pairs] == [2]
    with pytest.raises(InvalidInputError, match=r"method 'group_dro' .* pair 'west-east' has 1"):
        prepared(pair="west-east", **given)


def open_directory(training):
    now = RunRecord(settings=training.settings(), origin=training.origin(), tracking="sqlite:///m.db", changes=())
    return open_run_directory(training.directory, training.name, resume=training.options.resume, now=now)


def test_within_a_scene_the_whole_training_side_trains_and_a_tenth_is_the_default(prepared):
    training = prepared(split="random")
    assert isinstance(training.data.recipes[0], InScene)
    test = training.data.pairs[0].test_split
    assert len(test.train) / 10249 == pytest.approx(0.1, abs=0.002)
    np.testing.assert_array_equal(training.data.sources[0].split.train, test.train)
    assert len(training.data.sources[0].split.validation) == 0
    assert not training.data.sources[0].scene.labels.ravel()[test.validation].any()
    assert not isinstance(training.data.pairs[0].target, Scene)
    assert training.data.spec.split_name == "random 0.1"
    assert prepared(split="random", train_fraction=0.3).data.spec.split_name == "random 0.3"


def test_of_a_pair_four_fifths_train_and_the_rest_validates(prepared):
    training = prepared(pair="west-east", split="random")
    assert training.data.recipes[0] == NamedPair(name="west-east")
    split = training.data.sources[0].split
    assert len(split.train) / (len(split.train) + len(split.validation)) == pytest.approx(0.8, abs=0.01)
    assert training.data.spec.split_name == "random 0.8"
    everything = prepared(pair="west-east", split="all")
    assert (len(everything.data.sources[0].split.validation), everything.data.spec.split_name) == (0, "all")


def test_blocks_keep_the_patch_s_guard(prepared):
    test = prepared(patch_size=7).data.pairs[0].test_split
    assert (test.kind, test.guard) == ("blocks", 3)
    assert test.separation(7).num_inside_training_patch == 0


def test_fields_are_kept_whole_in_a_pair_s_source_and_within_a_scene(prepared):
    inside = prepared(by_field=True, patch_size=7)
    assert (inside.data.pairs[0].test_split.kind, inside.data.pairs[0].test_split.guard) == ("fields", 3)
    assert inside.data.spec.split_name == inside.tags()["split"] == inside.params()["split"] == "fields 0.1"
    assert inside.settings()["data.split"] == "fields"
    across = prepared(pair="west-east", split="fields", patch_size=7)
    assert (across.data.sources[0].split.kind, across.data.spec.split_name) == ("fields", "fields 0.8")
    assert across.data.sources[0].split.guard == 3


def test_what_is_trained_is_the_method_s_with_what_was_given(prepared):
    spec = prepared(lr=0.01, set=("width=16",), epochs=3, seed=4).spec
    assert (spec.config.lr, spec.config.width, spec.config.heads, spec.config.patch_size) == (0.01, 16, 4, 5)
    assert (spec.epochs, spec.seed, spec.evaluate_every) == (3, 4, 0)
    assert (spec.data.seed, spec.data.patch_size) == (4, 5)
    assert prepared().spec.epochs == 500
    assert prepared(pair="sw-se", method="s2amsnet").spec.epochs == 400


def test_the_seed_draws_the_split(prepared):
    def hash_of(**changes):
        return prepared(split="random", **changes).data.pairs[0].test_split.content_hash

    assert hash_of() == hash_of(epochs=3, run_name="other", lr=0.1)
    assert hash_of() != hash_of(seed=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "s2vnett"}, r"'s2vnett'.*'s2vnet'"),
        ({"scene": "indian_pine"}, r"'indian_pine'.*'indian_pines'"),
        ({"pair": "west-eest"}, r"'west-eest'.*'west-east'"),
        ({"set": ("widht=3",)}, r"S2VNetConfig.*'widht'.*'width'"),
        ({"set": ("width=wide",)}, "width = 'wide'"),
        ({"patch_size": 6}, r"patch_size = 6.*5"),
        ({"split": "fixed"}, r"--split fixed.*--train-mask.*--test-mask"),
        ({"split": "random", "train_mask": "m"}, r"--split random.*--train-mask"),
        ({"compile": True}, "--compile"),
        ({"precision": "tf32"}, "tf32 .*CUDA"),
        ({"method": "rbf_svm", "workers_per_trial": 2}, r"'rbf_svm'.*2 workers"),
        ({"method": "rbf_svm", "epochs": 2}, r"epochs = 2.*'rbf_svm'"),
        ({"method": "rbf_svm", "lr": 0.1}, "lr = 0.1"),
    ],
)
def test_what_cannot_be_trained_is_refused(prepared, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        prepared(**changes)


def test_a_gpu_that_is_not_there_is_refused(prepared, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidInputError, match="--device"):
        prepared(device="cuda")
    assert prepared(device="auto").options.torch_device.type == "cpu"


def test_a_storage_path_that_is_a_file_is_refused(prepared, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="/file"):
        prepared(storage_path=str(tmp_path / "file"))


def test_preparing_writes_nothing(prepared, tmp_path):
    prepared()
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_name_is_called_after_what_it_does(prepared):
    assert prepared(run_name=None).name.startswith("s2vnet-indian_pines-blocks-")
    assert prepared(run_name=None, pair="sw-se").directory.name.startswith("s2vnet-sw-se-blocks-")


class TestOptions:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"executor": "rey"}, "executor = 'rey'"),
            ({"device": "gpu"}, "device = 'gpu'"),
            ({"threads": 0}, "threads = 0"),
            ({"workers": 0}, "workers = 0"),
            ({"executor": "local", "workers": 2}, r"2 workers.*'ray-train'"),
            ({"executor": "ray", "workers": 2}, r"2 workers.*'ray-train'"),
            ({"resume": True}, "name"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, values, message):
        with pytest.raises(InvalidInputError, match=message):
            RunOptions(**values)

    @pytest.mark.parametrize(
        ("values", "in_ray"),
        [
            ({}, None),
            ({"workers": 2}, "ray-train"),
            ({"executor": "local"}, None),
            ({"executor": "ray"}, "ray"),
            ({"executor": "ray-train"}, "ray-train"),
        ],
    )
    def test_a_training_runs_in_this_process_unless_asked_otherwise(self, values, in_ray):
        assert RunOptions(**values).in_ray == in_ray


def test_tags_say_what_a_result_came_from(prepared):
    training = prepared(split="random")
    tags = training.tags()
    assert tags["split.hash.indian_pines"] == training.data.sources[0].split.content_hash
    assert tags["test_split.hash.indian_pines"] == training.data.pairs[0].test_split.content_hash
    assert tags["source.hash.indian_pines"] == training.data.sources[0].scene.content_hash
    assert tags["target.hash.indian_pines"] == training.data.pairs[0].target.cube_hash
    assert (tags["method"], tags["trained_on"], tags["seed"]) == ("s2vnet", "indian_pines", "0")
    assert tags["selection"] == LAST_EPOCH
    assert TrainSpec.from_dict(json.loads(tags[SPEC_TAG])) == training.spec
    assert {"git.commit", "version.torch"} <= tags.keys()
    assert not any(key.startswith("test_split.hash") for key in prepared(pair="sw-se").tags())


def test_origin_names_code_and_data(prepared):
    training = prepared(split="random")
    origin = training.origin()
    assert origin["source.hash.indian_pines"] == training.data.sources[0].scene.content_hash
    assert origin["target.hash.indian_pines"] == training.data.pairs[0].target.cube_hash
    assert len(origin["code (hash of the package's sources)"]) == 16


def test_a_run_is_resumed_with_equal_settings_alone(prepared, tmp_path):
    training = prepared()
    open_directory(training)
    written = tmp_path / "training" / "r" / "settings.json"
    kept = json.loads(written.read_text())
    assert kept["settings"] == json.loads(json.dumps(training.settings()))
    assert (kept["origin"], kept["tracking"], kept["changes"]) == (training.origin(), "sqlite:///m.db", [])
    # Where and with how many threads changes nothing that is kept.
    open_directory(prepared(resume=True, threads=1))
    before = written.read_text()
    with pytest.raises(StudyError, match="resume") as refused:
        open_directory(prepared(resume=True, lr=0.5, seed=1, split="random"))
    differing = {line.split(":")[0].strip() for line in str(refused.value).splitlines() if ": was " in line}
    assert differing == {
        "config.lr",
        "seed",
        "data.seed",
        "data.split",
        "split.hash.indian_pines",
        "test_split.hash.indian_pines",
    }
    assert written.read_text() == before


@pytest.mark.parametrize("changes", [{"evaluate_every": 2}, {"data_dir": "elsewhere"}])
def test_how_often_one_looks_and_where_files_are_is_no_setting(prepared, changes):
    assert prepared(pair="sw-se", **changes).settings() == prepared(pair="sw-se").settings()


def test_a_stored_scene_that_was_moved_is_the_same_setting(prepared, tiny_scene, tmp_path):
    def settings(folder, name="tiny"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / f"{name}.arrow"
        write_scene(replace(tiny_scene, name=name), path)
        return prepared(scene=str(path), split="random", train_fraction=0.5).settings()

    first = settings("one")
    assert first["trained_on"] == "tiny"
    assert settings("two") == first
    assert settings("three", name="other")["trained_on"] == "other"


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

    open_directory(with_test("all"))
    open_directory(with_test("all", resume=True))
    with pytest.raises(StudyError, match=r"test_split\.hash\.indian_pines: was"):
        open_directory(with_test("some", resume=True))


class TestRefusedBeforeAnythingIsWritten:
    @pytest.fixture
    def spec(self, prepared):
        return prepared(pair="sw-se", method="cross_entropy", epochs=1).spec

    def test_several_pairs_can_not_be_closed(self, spec, tmp_path):
        data = DataSpec(pairs=("sw-se", "west-east"), patch_size=5)
        several = TrainSpec(**{**vars(spec), "data": data})
        with pytest.raises(InvalidInputError, match="2 pairs"):
            train(several, RunOptions(name="r", storage_path=str(tmp_path)))
        assert list(tmp_path.iterdir()) == []

    def test_a_check_ends_it(self, spec, tmp_path):
        seen = {}

        def check(tags):
            seen.update(tags)
            raise StudyError("other data")

        options = RunOptions(name="r", storage_path=str(tmp_path), device="cpu")
        with pytest.raises(StudyError, match="other data") as refused:
            train(spec, options, tags={"mine": "1"}, checks=(check,))
        assert (seen["mine"], seen["method"]) == ("1", "cross_entropy")
        assert not refused.value.resumable
        assert list(tmp_path.iterdir()) == []


class TestUnits:
    @pytest.fixture
    def of_pair(self, prepared, unit_catalogue):
        def build(factor=1e4, *, step="minmax-per-band", **units):
            catalogue = unit_catalogue(factor, **units)
            settings = (f"normalization={step}",)
            return prepared(pair="one-two", catalogue=catalogue, split="random", set=settings)

        return build

    @pytest.mark.parametrize("step", [step for step in NORMALIZATIONS if step not in UNITLESS])
    def test_a_step_that_keeps_the_unit_is_refused_where_values_differ_by_an_undeclared_scale(self, of_pair, step):
        for units in ({}, {"one": "reflectance", "two": "reflectance"}):
            with pytest.raises(InvalidInputError, match=rf"'one-two'.*{step}") as error:
                of_pair(step=step, **units)
            assert "one runs from" in str(error.value)
            assert "two runs from" in str(error.value)
        declared = of_pair(step=step, one="reflectance", two="reflectance", scale=1e4)
        assert declared.spec.config.normalization == step
        assert of_pair(1.0, step=step).spec.config.normalization == step

    @pytest.mark.parametrize("step", UNITLESS)
    def test_a_step_in_which_the_unit_cancels_is_taken(self, of_pair, step):
        assert of_pair(step=step).spec.config.normalization == step

    def test_units_are_tagged_where_one_is_stated(self, of_pair):
        training = of_pair(1.0, one="reflectance", two="counts")
        assert training.tags()["units.one-two"] == "reflectance (one), counts (two)"
        assert not any(key.startswith("units") for key in of_pair(1.0).tags())
        assert of_pair(1.0).settings().keys() == training.settings().keys()
