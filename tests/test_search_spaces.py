"""The shipped search spaces and the scripts that hand them to a search."""

import ast
import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import optuna
import pytest

from sceneshift.catalogue.load import EMBEDDED_PAIRS, PAIRS, SCENES
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.methods.method import DiscriminatorConfig
from sceneshift.methods.registry import METHODS
from sceneshift.search import discriminator_space
from sceneshift.search.profile import Profile
from sceneshift.search.random_draws import random_configurations
from sceneshift.search.space import FixedTrial, load_space

ROOT = Path(__file__).resolve().parents[1]
SPACES = sorted(path.stem for path in (ROOT / "search_spaces").glob("*.py"))
SCRIPTS = sorted((ROOT / "experiments").glob("tune_*.py"))

#: What a space's defaults change of its method's, and why: the paper's noise on scenes of 200 bands, such as the
#: embedded ones, where the method's default is for 48.
OTHER_DEFAULTS = {"s2amsnet": {"noise_scale": 0.57}}

#: Names by which a weight is switched on and off; no settings of the method.
SWITCH = "_on"


def space_of(method):
    return load_space(ROOT / "search_spaces" / f"{method}.py")


def test_spaces_and_scripts_are_of_registered_methods():
    # Spectral floors are tuned by cross-validation over a grid of their own.
    assert set(SPACES) == {name for name, method in METHODS.items() if not method.fitted_at_once}
    assert {path.stem.removeprefix("tune_") for path in SCRIPTS} <= set(SPACES)


@pytest.mark.parametrize("method", SPACES)
def test_unlimited_the_defaults_are_the_methods_own(method):
    space, config_type = space_of(method), METHODS[method].config_type
    unlimited = Profile(name="unlimited", description="", epochs=1, num_samples=1)
    asked = space.default_trial(unlimited).params
    named = {name.removesuffix(SWITCH) for name in space.defaults}
    assert named <= asdict(config_type()).keys()
    # None moved to the nearest value the space allows.
    assert {name: space.defaults[name] for name in asked} == asked
    config = space.config(space.default_trial(unlimited), unlimited)
    assert config_type.from_mapping(config) == config_type(**OTHER_DEFAULTS.get(method, {}))
    assert named <= config.keys()


@pytest.mark.parametrize("method", SPACES)
@pytest.mark.parametrize("profile", ["laptop", "paper", "smoke-test"])
def test_random_samples_are_valid_configurations(method, profile):
    space, config_type = space_of(method), METHODS[method].config_type
    chosen = space.profile(profile)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    suggested = set()
    configs = []
    for _ in range(200):
        trial = study.ask()
        configs.append(asdict(config_type.from_mapping(space.config(trial, chosen))))
        suggested |= trial.params.keys()
    # Everything that has a default is suggested, and nothing else.
    assert suggested == set(space.defaults)
    for name, (low, high) in chosen.limits.items():
        assert {low <= config[name] <= high for config in configs} == {True}
    assert max(config["patch_size"] for config in configs) == space.largest_patch(chosen)


@pytest.mark.parametrize("method", SPACES)
def test_first_trials_are_valid_configurations_and_the_defaults_come_first(method):
    space, config_type = space_of(method), METHODS[method].config_type
    for profile in space.profiles.values():
        first, *others = space.enqueued(profile)
        assert first == space.default_trial(profile).params
        assert len(others) == len(profile.first_trials) < profile.num_samples
        for params, given in zip(others, profile.first_trials, strict=True):
            assert given.items() <= params.items()  # nothing was moved to what the profile allows
            config_type.from_mapping(space.config(FixedTrial(params), profile))


@pytest.mark.parametrize("method", SPACES)
def test_what_is_searched_on_by_default_is_known_and_embedded(method):
    space = space_of(method)
    if space.scene is not None:
        assert space.scene in SCENES
        assert not SCENES[space.scene].has_own_masks  # else a split by blocks, the default, is refused
    for name in space.pairs:
        NamedPair(name=name)
    single = {name for name in space.pairs if "+" not in name}
    assert single <= {*EMBEDDED_PAIRS, *PAIRS}
    least = METHODS[method].least_sources
    assert all(NamedPair(name=name).name.count("+") + 1 >= least for name in space.pairs)
    assert bool(space.pairs) != bool(space.scene)


class WithoutWhatDiffers(ast.NodeTransformer):
    """A tune script's code without docstring, and with its method's name left open."""

    def __init__(self, method):
        self.method = method

    def visit_Module(self, node):
        assert ast.get_docstring(node)
        node.body = node.body[1:]
        return self.generic_visit(node)

    def visit_Constant(self, node):
        if node.value in (self.method, f"{self.method}.py"):
            node.value = node.value.replace(self.method, "<method>")
        return node


def test_tune_scripts_differ_in_docstring_method_and_space_alone():
    codes = {}
    for path in SCRIPTS:
        method = path.stem.removeprefix("tune_")
        text = path.read_text(encoding="utf-8")
        codes[path.name] = ast.unparse(WithoutWhatDiffers(method).visit(ast.parse(text)))
    assert len(set(codes.values())) == 1, codes
    (code,) = set(codes.values())
    assert code.count("<method>") == 2


#: Methods whose classifier is the discriminator, without S2AMSnet, whose paper has defaults of its own.
OF_DISCRIMINATOR = [
    name for name in SPACES if issubclass(METHODS[name].config_type, DiscriminatorConfig) and name != "s2amsnet"
]


@pytest.mark.parametrize("method", OF_DISCRIMINATOR)
def test_methods_of_one_backbone_are_searched_alike_but_for_their_own_settings(method):
    space, plain = space_of(method), space_of("cross_entropy")
    assert len(OF_DISCRIMINATOR) >= 10
    assert {name: space.defaults[name] for name in plain.defaults} == plain.defaults
    assert space.profiles.keys() == plain.profiles.keys()
    for name, profile in plain.profiles.items():
        shared = {key: limit for key, limit in space.profiles[name].limits.items() if key in plain.defaults}
        assert replace(space.profiles[name], limits=shared) == profile
        drawn, expected = (random_configurations(each, profile, num=5, seed=1) for each in (space, plain))
        assert [{key: config[key] for key in plain.defaults} for config in drawn] == expected


def test_the_hash_of_a_space_covers_what_it_shares(monkeypatch, tmp_path):
    before = space_of("mixup").source_hash
    changed = tmp_path / "discriminator_space.py"
    changed.write_text(Path(discriminator_space.__file__).read_text(encoding="utf-8") + "# changed\n")
    monkeypatch.setattr(discriminator_space, "__file__", str(changed))
    assert space_of("mixup").source_hash != before
    # A file that shares nothing keeps the hash of its own text.
    text = (ROOT / "search_spaces" / "cross_entropy.py").read_bytes()
    assert space_of("cross_entropy").source_hash == hashlib.sha256(text).hexdigest()[:16]
