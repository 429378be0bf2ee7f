"""What a search script's flags ask for."""

import pytest

from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.errors import InvalidInputError


@pytest.fixture
def spec(request):
    def read(*, method="s2amsnet", **flags):
        return TuneArgs(**flags).spec(method, request.config.rootpath / "search_spaces" / f"{method}.py")

    return read


def test_the_flags_change_the_profile(spec):
    profile = spec(profile="laptop", num_samples=3, epochs=2, time_budget_s=9).profile
    assert (profile.name, profile.num_samples, profile.epochs, profile.time_budget_s) == ("laptop", 3, 2, 9)
    assert profile.least_epochs is None


def test_the_profile_is_chosen_by_the_machine(spec, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert spec().profile.name == "laptop"
    assert spec(gpus_per_trial=0.5).profile.name == "paper"
    assert spec(smoke_test=True).profile.name == "smoke-test"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert spec().profile.name == "paper"
    assert spec(profile="laptop").profile.name == "laptop"


def test_pairs_or_scene_are_the_space_s_unless_they_are_named(spec):
    assert (spec().data.pairs, spec().data.scene) == (spec().space.pairs, None)
    within = spec(method="s2vnet")
    assert (within.data.pairs, within.data.scene) == ((), "indian_pines")
    across = spec(method="s2vnet", pairs=("sw-se",))
    assert (across.data.pairs, across.data.scene) == (("sw-se",), None)
    assert spec(scene="indian_pines").data.scene == "indian_pines"


@pytest.mark.parametrize("flags", [{"split": "fixed"}, {"train_mask": "m.npy"}, {"test_mask": "m.npy"}])
def test_masks_do_not_divide_pairs_that_the_space_names(spec, flags):
    with pytest.raises(InvalidInputError, match="--scene"):
        spec(**flags)


def test_the_name_is_the_experiment_s_or_method_and_time(spec):
    assert spec(experiment_name="mine").name == "mine"
    assert spec().name.startswith("s2amsnet-")


def test_every_other_flag_is_a_field(spec, tmp_path):
    flags = {
        "seed": 3,
        "precision": "bfloat16",
        "refit": "all",
        "storage_path": str(tmp_path),
        "executor": "ray-train",
        "max_concurrent_trials": 2,
        "workers_per_trial": 3,
        "cpus_per_trial": 1.5,
        "gpus_per_trial": 0.5,
        "stall_timeout_s": 7.0,
        "shared_data": True,
        "compile": True,
    }
    found = spec(**flags)
    assert {name: getattr(found, name) for name in flags} == flags
    of_data = {"split": "random", "train_fraction": 0.3, "data_dir": "d", "catalogue": "c.toml"}
    data = spec(**of_data).data
    assert {name: getattr(data, name) for name in of_data} == of_data
    assert spec(by_field=True).data.split == "fields"


def test_a_preset_is_held_in_all_trials(spec):
    held = spec(preset="released")
    config = held.space.config(held.space.default_trial(held.profile), held.profile)
    assert (config["kl_of_probabilities"], config["noise_scale"]) == (True, 0.28)
    assert held.space.source_hash != spec().space.source_hash
    with pytest.raises(InvalidInputError, match=r"'releasd'.*released"):
        spec(preset="releasd")
    with pytest.raises(InvalidInputError, match="'released'"):
        spec(method="cross_entropy", preset="released")
