from dataclasses import replace

import optuna
import pytest

from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.methods.s2amsnet import S2AMSnetConfig
from sceneshift.scenes.normalization import NORMALIZATIONS
from sceneshift.search.profile import Profile
from sceneshift.search.space import ClippedTrial, FixedTrial, load_space

SHIPPED = "search_spaces/s2amsnet.py"


@pytest.fixture
def shipped(request):
    return load_space(request.config.rootpath / SHIPPED)


def profile(**changes):
    return Profile(**{"name": "p", "description": "", "epochs": 3, "num_samples": 2, **changes})


def write_space(path, body, defaults="{'patch_size': 9}", data="PAIRS = ('a-b',)"):
    path.write_text(
        "from sceneshift.search.profile import Profile\n"
        f"DEFAULTS = {defaults}\n{data}\n"
        "PROFILES = (Profile(name='p', description='', epochs=1, num_samples=1),)\n"
        f"def space(trial):\n    return {body}\n"
    )
    return load_space(path)


def test_the_first_trial_of_the_paper_profile_is_the_paper(shipped):
    paper = shipped.profile("paper")
    config = shipped.config(shipped.default_trial(paper), paper)
    built = S2AMSnetConfig.from_mapping(config)
    # n/25, the paper's noise, is 0.57 of the rms of L2-normalized pixels of 200 bands.
    assert built == S2AMSnetConfig(noise_scale=0.57)
    assert built.noise_scale == pytest.approx(0.04 * 200**0.5, abs=0.005)
    assert shipped.largest_patch(paper) == 15


def test_the_first_trial_of_the_laptop_profile_is_the_paper_clipped(shipped):
    laptop = shipped.profile("laptop")
    built = S2AMSnetConfig.from_mapping(shipped.config(shipped.default_trial(laptop), laptop))
    assert built == S2AMSnetConfig(patch_size=7, batch_size=64, width=32, generator_channels=8, noise_scale=0.57)
    assert shipped.largest_patch(laptop) == 7


def test_what_the_space_suggests_fits_the_method_and_the_profile(shipped):
    laptop = shipped.profile("laptop")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    configs = [shipped.config(study.ask(), laptop) for _ in range(60)]
    built = [S2AMSnetConfig.from_mapping(config) for config in configs]
    assert {b.patch_size for b in built} == {5, 7}
    assert {b.width for b in built} == {32}
    assert {b.normalization for b in built} == set(NORMALIZATIONS) - {"none"}
    assert {b.lambda_kl == 0 for b in built} == {True, False}
    assert all(3e-4 <= b.lr <= 5e-3 and b.lambda_adv == 1 for b in built)


def test_ranges_are_cut_to_the_limits_before_they_are_asked_for():
    asked = {}

    class Recorder:
        def suggest_int(self, name, low, high, *, step=1, log=False):
            asked[name] = (low, high)
            return low

        def suggest_float(self, name, low, high, *, step=None, log=False):
            asked[name] = (low, high, log)
            return high

        def suggest_categorical(self, name, choices):
            asked[name] = list(choices)
            return choices[0]

    trial = ClippedTrial(Recorder(), {"a": (2, 6), "b": (0.5, 9.0), "c": (5, 8)})
    assert trial.suggest_int("a", 1, 4) == 2
    assert trial.suggest_float("b", 0.1, 2.0, log=True) == 2.0
    assert trial.suggest_categorical("c", [4, 5, 8, 9]) == 5
    assert trial.suggest_categorical("free", ["x", "y"]) == "x"
    assert asked == {"a": (2, 4), "b": (0.5, 2.0, True), "c": [5, 8], "free": ["x", "y"]}


class TestChoices:
    BODY = "{'patch_size': trial.suggest_categorical('patch_size', [9, 5, 7]), 'kind': STEP}"
    DEFAULTS = "{'patch_size': 9, 'kind': 'z'}"
    SUGGESTED = BODY.replace("STEP", "trial.suggest_categorical('kind', ['x', 'y', 'z'])")
    FIXED = BODY.replace("STEP", "'x'")

    def test_only_allowed_choices_are_drawn_in_the_space_s_order(self, tmp_path):
        space = write_space(tmp_path / "s.py", self.SUGGESTED, defaults=self.DEFAULTS)
        narrow = profile(choices={"kind": ("y", "x", "w")})
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        assert {space.config(study.ask(), narrow)["kind"] for _ in range(30)} == {"x", "y"}
        assert space.default_trial(narrow).choices["kind"] == ["x", "y"]

    def test_a_default_that_is_left_out_becomes_the_first_that_is_not(self, tmp_path):
        space = write_space(tmp_path / "s.py", self.SUGGESTED, defaults=self.DEFAULTS)
        assert space.default_trial(profile()).params["kind"] == "z"
        assert space.default_trial(profile(choices={"kind": ("z", "y")})).params["kind"] == "z"
        narrow = space.default_trial(profile(choices={"kind": ("y", "x"), "patch_size": (5, 7)}))
        assert narrow.params == {"kind": "x", "patch_size": 5}

    def test_choices_and_limits_hold_together(self):
        trial = ClippedTrial(FixedTrial({"c": 9}), {"c": (5, 8)}, {"c": [7, 9]})
        assert trial.suggest_categorical("c", [5, 7, 9]) == 7

    def test_a_space_without_an_allowed_choice_is_refused(self, tmp_path):
        space = write_space(tmp_path / "s.py", self.SUGGESTED, defaults=self.DEFAULTS)
        with pytest.raises(InvalidInputError, match=r"\['x', 'y', 'z'\]"):
            space.default_trial(profile(choices={"kind": ("w",)}))

    def test_a_space_that_sets_a_value_which_is_not_allowed_is_refused(self, tmp_path):
        space = write_space(tmp_path / "s.py", self.FIXED, defaults="{'patch_size': 9}")
        assert space.config(space.default_trial(profile()), profile(choices={"kind": ["x"]}))["kind"] == "x"
        with pytest.raises(InvalidInputError, match="sets kind = 'x'"):
            space.default_trial(profile(choices={"kind": ["y"]}))

    def test_choices_of_an_unknown_parameter_are_reported(self, tmp_path):
        space = write_space(tmp_path / "s.py", self.SUGGESTED, defaults=self.DEFAULTS)
        with pytest.raises(InvalidInputError, match=r"'kin'.*'kind'"):
            space.default_trial(profile(choices={"kin": ["x"]}))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t.suggest_categorical("c", [1, 2]), r"\[1, 2\].*5.*8"),
        (lambda t: t.suggest_float("c", 0.1, 2.0), r"0.1.*2.0 does.*5.*8"),
    ],
)
def test_limits_that_leave_nothing_are_reported(ask, message):
    with pytest.raises(InvalidInputError, match=message):
        ask(ClippedTrial(FixedTrial({"c": 1}), {"c": (5, 8)}))


def test_a_default_outside_the_space_moves_to_the_nearest_value():
    trial = FixedTrial({"side": 13, "rate": 5.0, "kind": "z"})
    assert trial.suggest_categorical("side", [5, 7]) == 7
    assert trial.suggest_float("rate", 0.0, 1.0) == 1.0
    assert trial.params == {"side": 7, "rate": 1.0}
    with pytest.raises(InvalidInputError, match="kind = 'z'"):
        trial.suggest_categorical("kind", ["x", "y"])


def test_a_suggested_name_without_default_is_reported(tmp_path):
    space = write_space(tmp_path / "s.py", "{'lr': trial.suggest_float('patch_sise', 0, 1)}")
    with pytest.raises(InvalidInputError, match="'patch_size'"):
        space.default_trial(space.profile("p"))


def test_a_limit_on_an_unknown_parameter_is_reported(tmp_path):
    space = write_space(tmp_path / "s.py", "{'patch_size': trial.suggest_categorical('patch_size', [9])}")
    with pytest.raises(InvalidInputError, match=r"'patch_sizes'.*'patch_size'"):
        space.default_trial(profile(limits={"patch_sizes": (5, 7)}))


def test_a_space_without_patch_size_is_refused(tmp_path):
    space = write_space(tmp_path / "s.py", "{}")
    with pytest.raises(InvalidInputError, match="patch_size"):
        space.largest_patch(space.profile("p"))


def test_unknown_profile_missing_file_and_incomplete_file(tmp_path, shipped):
    with pytest.raises(InvalidInputError, match=r"'labtop'.*'laptop'"):
        shipped.profile("labtop")
    with pytest.raises(MissingDataError, match=r"absent\.py"):
        load_space(tmp_path / "absent.py")
    (tmp_path / "half.py").write_text("DEFAULTS = {}\n")
    with pytest.raises(InvalidInputError, match="PROFILES, space"):
        load_space(tmp_path / "half.py")


@pytest.mark.parametrize("data", ["", "PAIRS = ('a-b',)\nSCENE = 'a'"])
def test_a_space_names_pairs_or_a_scene(tmp_path, data):
    with pytest.raises(InvalidInputError, match="PAIRS or SCENE"):
        write_space(tmp_path / "s.py", "{}", data=data)


def test_what_is_searched_on_by_default_is_read(tmp_path):
    of_pairs = write_space(tmp_path / "p.py", "{}", data="PAIRS = ('a-b', 'c-d')")
    assert (of_pairs.pairs, of_pairs.scene) == (("a-b", "c-d"), None)
    of_a_scene = write_space(tmp_path / "s.py", "{}", data="SCENE = 'a'")
    assert (of_a_scene.pairs, of_a_scene.scene) == ((), "a")


def test_the_hash_is_of_the_text(tmp_path):
    first = write_space(tmp_path / "a.py", "{}")
    same = write_space(tmp_path / "b.py", "{}")
    other = write_space(tmp_path / "c.py", "{'x': 1}")
    assert first.source_hash == same.source_hash != other.source_hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs = 0"),
        ({"num_samples": 0}, "num_samples = 0"),
        ({"reduction_factor": 1}, "reduction_factor = 1"),
        ({"time_budget_s": 0.0}, "time_budget_s = 0.0"),
        ({"limits": {"lr": (2, 1)}}, "lr .*2 to 1"),
        ({"choices": {"kind": ()}}, r"kind = \(\)"),
        ({"choices": {"kind": "x"}}, "kind = 'x'"),
    ],
)
def test_a_profile_cannot_be_built_wrong(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        profile(**changes)


def test_a_space_that_holds_settings_is_not_asked_for_them(shipped):
    released = shipped.holding(S2AMSnetConfig.preset("released"))
    laptop = released.profile("laptop")
    first = released.default_trial(laptop)
    assert "noise_scale" not in first.params
    assert S2AMSnetConfig.from_mapping(released.config(first, laptop)) == replace(
        S2AMSnetConfig.released(), patch_size=7, batch_size=64, width=32, generator_channels=8
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(10):
        trial = study.ask()
        built = S2AMSnetConfig.from_mapping(released.config(trial, laptop))
        assert (built.kl_of_probabilities, built.noise_scale, built.fixed_noise) == (True, 0.28, True)
        assert "noise_scale" not in trial.params
    assert released.source_hash != shipped.source_hash
    assert shipped.holding({}) is shipped
