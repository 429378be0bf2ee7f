"""A search that is checked before anything is computed: its pixels, its place, what a resumed one must agree with."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
import torch

from sceneshift.catalogue.indian_pines import load_indian_pines
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.errors import InvalidInputError, ResourceError, StorageError, StudyError
from sceneshift.execution.cluster import ClusterSize
from sceneshift.execution.executor import Placement
from sceneshift.scenes.normalization import UNITLESS
from sceneshift.scenes.scene import Scene
from sceneshift.search.prepared import local_root, prepare
from sceneshift.search.run import create_store, run_trials
from sceneshift.search.space import FixedTrial
from sceneshift.search.trial_record import TrialRecord
from sceneshift.splits.fields import number_fields
from sceneshift.splits.split import random_split
from sceneshift.training.resume_check import refuse_other_settings


@pytest.fixture
def prepare_flags(request, tmp_path):
    """Prepare what the flags of a search script ask for."""

    def build(method, *, space_path=None, **changes):
        arguments = TuneArgs(**{"storage_path": str(tmp_path), "experiment_name": "s", "profile": "laptop", **changes})
        space_path = space_path or request.config.rootpath / "search_spaces" / f"{method}.py"
        return prepare(arguments.spec(method, space_path))

    return build


@pytest.fixture
def prepared(prepare_flags):
    return lambda **changes: prepare_flags("s2amsnet", **changes)


@pytest.fixture
def prepared_s2vnet(prepare_flags):
    """Of a space whose default is one scene."""
    return lambda **changes: prepare_flags("s2vnet", **changes)


def trial(number, config=None):
    return TrialRecord(
        number=number,
        state="running",
        params={},
        config=config or {"patch_size": 5},
        epochs={},
        value=None,
        ended=None,
        reason="",
        weights={},
        started_ms=None,
        seconds=None,
    )


def cluster(**changes):
    return ClusterSize(
        **{"cpus": 2.0, "gpus": 0.0, "largest_node": None, "num_nodes": 1, "is_own": True, "address": "here", **changes}
    )


def test_a_method_that_compares_sources_needs_pairs_of_several(prepare_flags):
    assert [source.part for source in prepare_flags("group_dro").data.sources] == ["nw", "sw"]
    with pytest.raises(InvalidInputError, match=r"method 'group_dro' .* pair 'west-east' has 1"):
        prepare_flags("group_dro", pairs=("nw+sw-se", "west-east"))


def test_one_split_a_pair_made_for_the_largest_patch(prepared):
    study = prepared()
    assert [s.pair_name for s in study.data.sources] == ["west-east", "sw-se"]
    for source in study.data.sources:
        assert (source.split.patch_size, source.split.guard) == (7, 3)
        assert source.split.separation().num_inside_training_patch == 0
        assert source.split.scored_classes == (0, 1, 2, 3, 4)


def test_the_split_follows_the_seed_and_nothing_else(prepared):
    def hashes(**changes):
        return [s.split.content_hash for s in prepared(**changes).data.sources]

    assert hashes() == hashes(num_samples=3, epochs=2, experiment_name="other")
    assert hashes()[0] != hashes(seed=1)[0]
    assert hashes()[0] == hashes(pairs=("west-east",))[0]


def test_the_profile_limits_the_training_pixels(prepared):
    for source in prepared().data.sources:
        labels = source.labels_of(source.split.train)
        assert all((labels == k).sum() <= 100 for k in range(5))


def test_workers_are_handed_no_target(prepared):
    study = prepared()
    for pair, source in zip(study.data.pairs, study.data.sources, strict=True):
        assert not isinstance(pair.target, Scene)
        assert vars(source).keys() == {"pair_name", "scene", "split", "part"}
        assert not source.scene.footprint.overlaps(pair.target.footprint)


@pytest.mark.parametrize("access", ["none", "unlabelled"])
def test_a_search_hands_its_executor_target_pixels_where_that_is_allowed(prepared, tmp_path, access):
    study = prepared(record=True, target_access=access, num_samples=1)
    handed = []

    class Executor:
        name = "fake"

        def run(self, queue, sources, *, stop, targets, **_):
            handed.extend(targets)

    store = create_store(study, origin={})
    run_trials(study, store, Executor())
    assert [target.pair_name for target in handed] == ([] if access == "none" else ["west-east", "sw-se"])
    assert not any(isinstance(target.scene, Scene) for target in handed)


def test_what_is_recorded_reaches_the_trials_and_a_resumed_study_must_agree(prepared):
    plain, changed = prepared(), prepared(record=True, target_access="unlabelled", evaluate_every=4)
    job = changed.job(trial(0))
    assert (job.spec.record, job.spec.target_access, job.spec.evaluate_every) == (True, "unlabelled", 4)
    assert job.strategy == "source-blocks"
    assert job.spec.key() == plain.job(trial(0)).spec.key()
    assert not plain.settings().keys() & {"record", "target_access", "evaluate_every"}
    with pytest.raises(StudyError, match=r"target_access.*'unlabelled'"):
        refuse_other_settings("study 's'", plain.settings(), changed.settings(), advice="")


def test_the_targets_are_opened_by_the_recipes_the_pairs_were_made_from(prepared):
    study = prepared(pairs=("sw-se",))
    assert study.data.recipes == (NamedPair(name="sw-se"),)
    assert [pair.name for pair in study.data.pairs] == ["sw-se"]


def test_pairs_that_share_a_pixel_are_refused(prepared):
    with pytest.raises(InvalidInputError, match=r"'west-east'.*'east-west'"):
        prepared(pairs=("west-east", "east-west"))


def test_settings_and_origin_carry_what_a_result_came_from(prepared):
    study = prepared()
    settings, origin = study.settings(), study.data.origin()
    assert settings["split.hash.west-east"] == study.data.sources[0].split.content_hash
    assert settings["search_space.hash"] == study.spec.space.source_hash
    assert (settings["profile"], settings["seed"], settings["method"]) == ("laptop", 0, "s2amsnet")
    assert settings["pairs"] == ["west-east", "sw-se"]
    assert settings["strategy"] == study.strategy.name == "source-blocks"
    assert origin["target.hash.sw-se"] == study.data.pairs[1].target.cube_hash
    assert origin["source.hash.sw-se"] == study.data.sources[1].scene.content_hash


def test_trials_are_fitted_to_the_cluster(prepared):
    search = prepared()
    two_cores, sixteen = search.placement(cluster()), search.placement(cluster(cpus=16.0))
    assert (two_cores.at_once, two_cores.workers, two_cores.cpus, two_cores.gpus) == (2, 1, 1.0, 0.0)
    assert not search.in_ray_train(two_cores)
    assert (sixteen.at_once, sixteen.cpus) == (4, 4.0)
    wanted = prepared(cpus_per_trial=2.0, executor="ray-train")
    asked = wanted.placement(cluster())
    assert (asked.at_once, asked.cpus, wanted.in_ray_train(asked)) == (1, 2.0, True)


def test_in_this_process_one_trial_runs_at_a_time(prepared):
    search = prepared(executor="local")
    placement = search.placement(None)
    assert placement == Placement(at_once=1, workers=1, cpus=torch.get_num_threads(), gpus=0.0)
    assert not search.in_ray_train(placement)
    assert prepared(executor="local", cpus_per_trial=3.0).placement(None).cpus == 3.0


def test_a_trial_gets_no_more_cpus_than_a_node_has(prepared):
    nodes = ({"CPU": 3.0, "GPU": 0.0},) * 3
    of_three = cluster(cpus=9.0, num_nodes=3, is_own=False, nodes=nodes, largest_node=nodes[0])
    placement = prepared().placement(of_three)
    assert (placement.at_once, placement.cpus) == (4, 1.0)
    assert prepared(max_concurrent_trials=2).placement(of_three).cpus == 3.0


def test_gpus_are_shared_by_fractions_and_train_with_ray_train(prepared):
    search = prepared(gpus_per_trial=0.5)
    placement = search.placement(cluster(cpus=16.0, gpus=2.0))
    assert (placement.at_once, placement.gpus, search.in_ray_train(placement)) == (4, 0.5, True)
    assert not prepared(gpus_per_trial=0.5, executor="ray").in_ray_train(placement)


@pytest.mark.parametrize(
    ("flags", "gpus_here", "expected"),
    [
        ({}, 1, False),  # only the paper's profile takes a GPU unasked
        ({"gpus_per_trial": 0.5}, 0, True),
        ({"workers_per_trial": 2}, 0, True),
        ({"executor": "ray-train"}, 0, True),
        ({"executor": "ray", "gpus_per_trial": 1.0}, 1, False),
    ],
)
def test_what_may_train_in_ray_train_is_known_before_a_local_ray_starts(
    prepared, monkeypatch, flags, gpus_here, expected
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus_here)
    assert prepared(**flags).may_train_in_ray_train is expected


def test_several_workers_train_with_ray_train_and_count_for_the_room(prepared):
    search = prepared(workers_per_trial=2)
    placement = search.placement(cluster(cpus=16.0))
    assert (placement.workers, placement.at_once, placement.cpus) == (2, 4, 2.0)
    assert search.in_ray_train(placement)
    assert search.placement(cluster()).at_once == 1
    on_gpus = prepared(workers_per_trial=2, gpus_per_trial=1.0).placement(cluster(cpus=16.0, gpus=4.0))
    assert (on_gpus.workers, on_gpus.at_once) == (2, 2)
    with pytest.raises(ResourceError, match=r"3 workers.*1 CPU.*3 CPU.*2"):
        prepared(workers_per_trial=3).placement(cluster())


def test_the_winner_is_trained_on_every_field_with_a_trial_s_pixels_or_the_paper_s_profile_with_all(prepared):
    for profile in ("smoke-test", "laptop", "paper"):
        study = prepared(profile=profile)
        assert study.spec.refits
        assert study.spec.refit_pixels_per_class == study.profile.pixels_per_class
    assert prepared(profile="laptop").spec.refit_pixels_per_class == 100
    assert prepared(profile="paper").spec.refit_pixels_per_class is None
    assert prepared(profile="laptop", refit="all").spec.refit_pixels_per_class is None
    assert prepared(profile="paper", refit="as-trial").spec.refit_pixels_per_class is None
    assert not prepared(profile="paper", refit="no").spec.refits


@pytest.mark.parametrize(
    "changes",
    [
        {"max_concurrent_trials": 0},
        {"workers_per_trial": 0},
        {"cpus_per_trial": 0.0},
        {"gpus_per_trial": -1.0},
        {"stall_timeout_s": -1.0},
        {"stall_timeout_s": float("nan")},
    ],
)
def test_a_number_that_is_out_of_range_is_refused_by_name(request, changes):
    spaces = request.config.rootpath / "search_spaces"
    spec = TuneArgs(profile="laptop").spec("s2amsnet", spaces / "s2amsnet.py")
    ((name, value),) = changes.items()
    with pytest.raises(InvalidInputError, match=f"{name} = {value}"):
        replace(spec, **changes)


def test_a_search_that_does_not_fit_is_refused(prepared):
    with pytest.raises(ResourceError, match=r"3 trials.*1 CPU"):
        prepared(max_concurrent_trials=3, cpus_per_trial=1.0).placement(cluster())


def test_a_trials_seed_follows_from_study_seed_and_number(prepared):
    def seed(number, **changes):
        return prepared(**changes).trial_spec(trial(number)).seed

    assert seed(0) != seed(1)
    assert seed(1) != seed(1, seed=1)
    assert seed(1) == seed(1, num_samples=3)


def test_a_trial_trains_its_own_configuration_on_the_search_s_pixels(prepared):
    search = prepared(epochs=2)
    job = search.job(trial(3, {"patch_size": 5, "lr": 0.5}))
    assert (job.number, job.checkpoint_location) == (3, f"{search.checkpoint_location}/trial_0003")
    assert (job.spec.method, job.spec.epochs, job.spec.data) == ("s2amsnet", 2, search.data.spec)
    assert (job.spec.config.patch_size, job.spec.config.lr) == (5, 0.5)
    assert (job.spec.data.patch_size, job.spec.data.pixels_per_class) == (7, 100)
    assert job.of(search.data.sources) == list(search.data.sources)


def test_a_known_name_is_refused_and_an_unknown_one_cannot_be_resumed(prepared, tmp_path):
    search, other = prepared(pairs=("sw-se",)), prepared(pairs=("sw-se",), experiment_name="other")
    search.refuse_wrong_name(resume=False)
    with pytest.raises(StudyError, match="study"):
        search.refuse_wrong_name(resume=True)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "optuna.db").touch()
    with pytest.raises(StudyError, match="--resume"):
        search.refuse_wrong_name(resume=False)
    search.refuse_wrong_name(resume=True)
    with pytest.raises(StudyError, match="'other'"):
        other.refuse_wrong_name(resume=True)


def test_a_storage_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="/file"):
        local_root(str(tmp_path / "file"))


def test_a_storage_path_that_a_database_s_address_cannot_hold_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r"why\?"):
        local_root(str(tmp_path / "why?"))


def test_checkpoints_follow_a_storage_uri(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = prepared(storage_path=f"file://{tmp_path}/bucket/")
    assert study.checkpoint_location == f"file://{tmp_path}/bucket/s"
    assert study.directory == tmp_path / "results" / "s"
    assert study.checkpoints_of(3) == f"file://{tmp_path}/bucket/s/trial_0003"
    assert study.settings()["storage"] != prepared().settings()["storage"]


def test_a_storage_uri_that_cannot_be_used_is_reported(prepared, tmp_path):
    with pytest.raises(InvalidInputError, match="foo://bucket"):
        prepared(storage_path="foo://bucket")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="/file"):
        prepared(storage_path=f"file://{tmp_path}/file/below")


def test_precision_is_float32_unless_asked_and_a_resumed_study_must_agree(prepared):
    for study, precision in ((prepared(), "float32"), (prepared(precision="bfloat16"), "bfloat16")):
        assert study.settings()["precision"] == study.trial_spec(trial(0)).precision == precision


def test_what_a_cpu_does_not_have_is_refused_before_the_search(prepared):
    with pytest.raises(InvalidInputError, match=r"tf32 .*CUDA"):
        prepared(precision="tf32").placement(cluster())
    with pytest.raises(InvalidInputError, match="--compile"):
        prepared(compile=True).placement(cluster())
    search = prepared(precision="tf32", compile=True, gpus_per_trial=0.5)
    assert search.placement(cluster(cpus=4.0, gpus=1.0)).gpus == 0.5
    trained = search.trial_spec(trial(0))
    assert (trained.precision, trained.compile) == ("tf32", True)


def test_a_space_of_a_scene_searches_within_it(prepared_s2vnet):
    study = prepared_s2vnet()
    (recipe,), (pair,), (source,) = study.data.recipes, study.data.pairs, study.data.sources
    assert (recipe.scene, recipe.split, recipe.patch_size, recipe.train_fraction) == ("indian_pines", "blocks", 7, 0.5)
    assert pair.name == source.pair_name == "indian_pines"
    assert study.settings()["pairs"] == ["indian_pines"]
    assert (source.split.kind, source.split.patch_size, source.split.guard) == ("blocks", 7, 3)


@pytest.mark.parametrize("split", ["blocks", "fields", "random"])
def test_within_a_scene_a_source_has_labels_of_the_training_side_alone(prepared_s2vnet, split):
    study = prepared_s2vnet(scene="indian_pines", split=split)
    (pair,), (source,) = study.data.pairs, study.data.sources
    labels = source.scene.labels.ravel()
    test = pair.test_split.validation
    assert len(test) > 1000
    assert not labels[test].any()
    np.testing.assert_array_equal(np.flatnonzero(labels), pair.test_split.train)
    for side in (source.split.train, source.split.validation):
        assert np.isin(side, pair.test_split.train).all()
        assert np.intersect1d(side, test).size == 0
    assert not isinstance(pair.target, Scene)


def test_within_a_scene_splits_follow_the_seed_and_nothing_else(prepared_s2vnet):
    def hashes(**changes):
        study = prepared_s2vnet(**changes)
        return study.data.sources[0].split.content_hash, study.data.pairs[0].test_split.content_hash

    first = hashes()
    assert first == hashes(num_samples=3, epochs=2, experiment_name="other") == hashes(scene="indian_pines")
    assert not set(first) & set(hashes(seed=1))
    assert not set(first) & set(hashes(split="random"))
    assert first[1] != hashes(train_fraction=0.3)[1]


def test_a_share_is_the_scenes_training_side_or_a_pairs_source(prepared_s2vnet):
    def share(split):
        return len(split.train) / (len(split.train) + len(split.validation))

    def of_paper(**changes):  # no pixels are left out for want of time
        return prepared_s2vnet(profile="paper", split="random", **changes)

    within = of_paper(train_fraction=0.2)
    assert share(within.data.pairs[0].test_split) == pytest.approx(0.2, abs=0.01)
    assert share(within.data.sources[0].split) == pytest.approx(0.8, abs=0.01)
    across = of_paper(train_fraction=0.6, pairs=("west-east",))
    assert share(across.data.sources[0].split) == pytest.approx(0.6, abs=0.01)
    assert share(of_paper(pairs=("west-east",)).data.sources[0].split) == pytest.approx(0.8, abs=0.01)


def test_pairs_can_be_searched_on_in_a_space_of_a_scene_and_the_other_way_round(prepared, prepared_s2vnet):
    across = prepared_s2vnet(pairs=("west-east", "sw-se"))
    assert across.data.recipes == (NamedPair(name="west-east"), NamedPair(name="sw-se"))
    assert [pair.test_split for pair in across.data.pairs] == [None, None]
    within = prepared(scene="indian_pines")
    assert [recipe.scene for recipe in within.data.recipes] == ["indian_pines"]
    assert within.spec.method == "s2amsnet"


def test_masks_divide_a_scene_and_validation_is_drawn_from_the_training_mask(prepared_s2vnet, tmp_path):
    scene = load_indian_pines()
    split = random_split(scene, train_fraction=0.2, patch_size=7, seed=0)
    for name, pixels in (("train", split.train), ("test", split.validation)):
        mask = np.zeros(scene.labels.size, dtype=np.int64)
        mask[pixels] = scene.labels.ravel()[pixels]
        np.save(tmp_path / f"{name}.npy", mask.reshape(scene.shape))
    masks = {"train_mask": str(tmp_path / "train.npy"), "test_mask": str(tmp_path / "test.npy")}
    for changes in ({}, {"scene": "indian_pines"}):
        study = prepared_s2vnet(split="fixed", **masks, **changes)
        (pair,), (source,) = study.data.pairs, study.data.sources
        np.testing.assert_array_equal(pair.test_split.train, split.train)
        np.testing.assert_array_equal(pair.test_split.validation, split.validation)
        assert source.split.kind == "random"
        assert np.isin(np.r_[source.split.train, source.split.validation], split.train).all()
        assert pair.test_split.kind == "masks"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "fixed"}, r"--split fixed.*--train-mask.*--test-mask.*indian_pines"),
        ({"split": "fixed", "train_mask": "m.npy"}, "--test-mask"),
        ({"train_mask": "m.npy"}, r"--split blocks.*--train-mask"),
        ({"split": "random", "test_mask": "m.npy"}, r"--split random.*--test-mask"),
        ({"scene": "indian_pine"}, r"'indian_pine'.*'indian_pines'"),
        ({"pairs": ("west-eest",)}, r"'west-eest'.*'west-east'"),
    ],
)
def test_what_a_scene_does_not_have_is_refused(prepared_s2vnet, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        prepared_s2vnet(**changes)


def test_a_study_within_a_scene_says_so(prepared_s2vnet):
    study = prepared_s2vnet()
    (pair,), (source,), settings = study.data.pairs, study.data.sources, study.settings()
    assert (settings["split"], settings["pairs"]) == ("blocks", ["indian_pines"])
    assert settings["test_split.hash.indian_pines"] == pair.test_split.content_hash
    assert settings["split.hash.indian_pines"] == source.split.content_hash
    assert (pair.test_split.kind, pair.test_split.guard) == ("blocks", 3)
    assert pair.test_split.separation().num_inside_training_patch == 0


def test_a_study_by_fields_says_so_and_keeps_fields_whole(prepared):
    study = prepared(pairs=("sw-se",), by_field=True)
    (source,) = study.data.sources
    fields = number_fields(source.scene.labels)[0].ravel()
    assert (source.split.kind, source.split.guard) == ("fields", 3)
    assert np.intersect1d(fields[source.split.train], fields[source.split.validation]).size == 0
    assert source.split.separation(7).num_inside_training_patch == 0
    names = source.scene.class_names
    not_scored = [name for k, name in enumerate(names) if k not in source.split.scored_classes]
    assert not_scored == ["Corn-notill", "Soybean-notill"]
    assert study.settings()["split"] == "fields"


@pytest.mark.parametrize(
    ("changes", "shared", "by_path"),
    [
        ({}, False, True),  # a Ray of its own: its workers are where the files are
        ({"is_own": False, "largest_node": {"CPU": 2.0, "GPU": 0.0}}, False, True),
        ({"is_own": False, "largest_node": {"CPU": 2.0, "GPU": 0.0}, "num_nodes": 2}, False, False),
        ({"is_own": False, "largest_node": {"CPU": 2.0, "GPU": 0.0}, "num_nodes": 2}, True, True),
        ({"is_own": False, "largest_node": None}, False, False),  # an autoscaler may add nodes
    ],
)
def test_stored_scenes_are_sent_as_paths_where_every_worker_sees_them(prepared, changes, shared, by_path):
    own = {"largest_node": {"CPU": 2.0, "GPU": 0.0}}
    study = prepared(pairs=("sw-se",), shared_data=shared)
    assert study.placement(cluster(**own | changes)).scenes_by_path is by_path


class TestUnits:
    """Searches on pairs whose units differ, declared or not."""

    @pytest.fixture
    def search(self, unit_catalogue, prepare_flags):
        def build(factor=1e4, *, method="s2amsnet", one=None, two=None, scale=None, **changes):
            catalogue = unit_catalogue(factor, one=one, two=two, scale=scale)
            flags = {"split": "random", "pairs": ("one-two",), "catalogue": catalogue}
            return prepare_flags(method, **{**flags, **changes})

        return build

    @pytest.fixture
    def with_step(self, request, tmp_path):
        """The shipped space with another expression in the place of the suggested normalization."""

        def write(expression):
            text = (request.config.rootpath / "search_spaces" / "s2amsnet.py").read_text()
            suggested = 'trial.suggest_categorical("normalization", NORMALIZATIONS)'
            assert text.count(suggested) == 1
            (tmp_path / "space.py").write_text(text.replace(suggested, expression))
            return tmp_path / "space.py"

        return write

    @pytest.mark.parametrize("method", ["s2amsnet", "s2vnet"])
    def test_only_steps_in_which_the_unit_cancels_are_searched(self, search, method):
        study = search(method=method)
        assert sorted(study.profile.choices["normalization"]) == sorted(UNITLESS)
        assert study.default_trial.params["normalization"] == "l2-per-pixel"
        asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        drawn = {study.spec.space.config(asked.ask(), study.profile)["normalization"] for _ in range(40)}
        assert drawn == set(UNITLESS)
        text = "\n".join(study.narrowing)
        for step in ("minmax-per-band", "standardize-per-band", "derivative", *UNITLESS):
            assert step in text
        assert ("becomes l2-per-pixel" in text) == (method == "s2vnet")  # whose default is minmax-per-band

    def test_one_such_pair_narrows_the_search_over_all(self, search):
        assert "normalization" in search(pairs=("west-east", "one-two")).profile.choices

    def test_a_resumed_search_is_narrowed_alike_and_must_be(self, search):
        first, again = search(), search()
        assert (first.profile, first.default_trial.params) == (again.profile, again.default_trial.params)
        assert first.settings() == again.settings()
        assert first.settings()["choices.normalization"] == list(first.profile.choices["normalization"])
        now = search(1.0).settings()
        with pytest.raises(StudyError, match=r"choices\.normalization: was"):
            refuse_other_settings("study 's'", first.settings(), now, advice="")

    @pytest.mark.parametrize(
        ("factor", "units"),
        [
            (1.0, {}),
            (1.0, {"one": "reflectance", "two": "counts"}),
            (1e4, {"one": "counts", "two": "counts", "scale": 1e4}),
        ],
    )
    def test_values_that_agree_or_are_declared_to_leave_the_space_whole(self, search, factor, units):
        study = search(factor, **units)
        assert (study.profile.choices, study.narrowing) == ({}, ())
        assert not any("choices" in key for key in study.settings())
        assert study.default_trial.choices["normalization"] == [
            "l2-per-pixel",
            "minmax-per-band",
            "standardize-per-band",
            "l2-then-standardize",
            "derivative",
        ]

    @pytest.mark.parametrize(
        "expression", ['"minmax-per-band"', 'trial.suggest_categorical("normalization", ["none"])']
    )
    def test_a_space_without_an_allowed_step_is_refused(self, search, with_step, expression):
        space = with_step(expression)
        if "suggest" in expression:
            space.write_text(space.read_text().replace('"normalization": "l2-per-pixel"', '"normalization": "none"'))
        with pytest.raises(InvalidInputError, match="'one-two'"):
            search(space_path=space)

    def test_a_space_that_sets_an_allowed_step_is_searched_as_it_is(self, search, with_step):
        study = search(space_path=with_step('"l2-then-standardize"'))
        assert "normalization" not in study.default_trial.params
        assert study.narrowing == ()

    def test_a_step_that_is_drawn_under_another_name_is_refused_when_it_is_drawn(self, search, with_step):
        space = with_step('"none" if trial.suggest_categorical("raw", [False, True]) else "l2-per-pixel"')
        space.write_text(space.read_text().replace('"patch_size": 13,', '"patch_size": 13, "raw": False,'))
        study = search(space_path=space)
        with pytest.raises(InvalidInputError, match="sets normalization = 'none'"):
            study.spec.space.config(FixedTrial({**study.spec.space.defaults, "raw": True}), study.profile)


class TestSmokeTest:
    def test_it_has_no_time_budget_of_its_own(self, prepare_flags):
        search = prepare_flags("s2amsnet", profile=None, smoke_test=True)
        assert search.profile.time_budget_s is None
        assert not search.has_no_end

    def test_a_budget_that_is_given_is_kept(self, prepare_flags):
        assert prepare_flags("s2amsnet", profile=None, smoke_test=True, time_budget_s=9).profile.time_budget_s == 9

    def test_other_profiles_keep_theirs_and_one_without_has_no_end(self, prepare_flags):
        laptop = prepare_flags("s2amsnet")
        assert laptop.profile.time_budget_s == laptop.spec.space.profile("laptop").time_budget_s
        assert not laptop.has_no_end
        assert prepare_flags("s2amsnet", profile="paper").has_no_end
