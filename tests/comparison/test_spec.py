"""Reading a comparison's TOML file: what it says, and what is refused before any data is read."""

from pathlib import Path

import pytest

from sceneshift.catalogue.sides import find_sides
from sceneshift.catalogue.user_toml import open_catalogue
from sceneshift.comparison.configurations import TunedMethod
from sceneshift.comparison.spec import Budget, read_spec
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.methods.registry import find_method
from sceneshift.methods.s2amsnet import S2AMSnetConfig

ROOT = Path(__file__).resolve().parents[2]
LEAST = 'pairs = ["west-east"]\nmethods = ["cross_entropy"]\nepochs = 3\n'


@pytest.fixture
def read(tmp_path, spaces):
    def read_text(text, name="study"):
        (tmp_path / f"{name}.toml").write_text(text)
        return read_spec(tmp_path / f"{name}.toml", spaces=spaces)

    return read_text


def test_what_is_not_said_has_a_default(read, spaces):
    spec = read(LEAST)
    assert (spec.name, spec.pairs, spec.budgets) == ("study", ("west-east",), (Budget(epochs=3),))
    assert (spec.seeds, spec.strategies, spec.protocol) == ((0, 1, 2), ("source-blocks",), "tune-once")
    assert (spec.target_access, spec.final_networks, spec.pixels_per_class) == ("none", "fields", 60)
    (entry,) = spec.methods
    assert (entry.method, entry.label, entry.space) == ("cross_entropy", "cross_entropy", spaces / "cross_entropy.py")
    assert not entry.is_floor


def test_everything_can_be_said(read, spaces, tmp_path):
    (tmp_path / "own.py").write_text("")
    spec = read(
        """
        pairs = ["west-east", "nw-ne"]
        methods = [
            "rbf_svm",
            { method = "rand_conv", label = "RC", space = "cross_entropy", settings = { width = 16 } },
            { method = "cross_entropy", space = "own.py" },
        ]
        seeds = [3, 5]
        strategies = ["infomax", "source-blocks"]
        epochs = 4
        seconds = 2.5
        num_configurations = 7
        protocol = "tune-anew"
        profile = "paper"
        pixels_per_class = "all"
        evaluate_every = 2
        split = "fields"
        split_seed = 9
        target_access = "unlabelled"
        final_networks = "blocks"
        data_dir = "scenes"
        """
    )
    floor, rand_conv, own = spec.methods
    assert floor.is_floor
    assert floor.space is None
    assert (rand_conv.label, rand_conv.space, rand_conv.settings) == (
        "RC",
        spaces / "cross_entropy.py",
        {"width": 16},
    )
    assert own.space == tmp_path / "own.py"
    assert [str(budget) for budget in spec.budgets] == ["4 epochs", "2.5 s"]
    assert spec.pixels_per_class is None
    assert (spec.repeats, spec.seeds_of(5)) == ((3, 5), (5,))
    assert spec.data_dir == str(tmp_path / "scenes")


def test_tuned_once_all_seeds_share_a_choice(read):
    spec = read(LEAST)
    assert (spec.repeats, spec.seeds_of(0)) == ((0,), (0, 1, 2))


def test_a_budget_in_seconds_is_evaluated_at_most_so_often():
    assert Budget(epochs=100).evaluate_every(100, least=1) == 1
    assert Budget(seconds=9.0).evaluate_every(400, least=1) == 10
    assert Budget(seconds=9.0).evaluate_every(20, least=3) == 3


def test_unknown_keys_are_refused_with_the_nearest_name(read):
    with pytest.raises(InvalidInputError, match="did you mean 'seeds'"):
        read(LEAST + "seedz = [1]\n")


@pytest.mark.parametrize(
    "lines",
    [
        'pairs = ["west-east"]\nepochs = 3\n',  # no methods
        'methods = ["cross_entropy"]\nepochs = 3\n',
        'pairs = ["west-east"]\nmethods = ["cross_entropy"]\n',  # no budget
        LEAST + "seconds = -1\n",
        LEAST.replace("3", "0"),
        LEAST + "seeds = [1, 1]\n",
        LEAST + "seeds = []\n",
        LEAST + "num_configurations = 0\n",
        LEAST + 'protocol = "tune-twice"\n',
        LEAST + 'split = "fixed"\n',
        LEAST + 'strategies = ["infomaxx"]\n',
        LEAST + 'strategies = ["infomax"]\n',  # reads pixels of the target
        LEAST + 'strategies = ["oracle"]\ntarget_access = "unlabelled"\n',
        LEAST + 'strategies = ["gde"]\ntarget_access = "unlabelled"\n',  # needs several seeds
        LEAST + 'strategies = ["leave-one-scene-out"]\n',
        LEAST + 'strategies = ["source-random"]\n',  # needs split = "random"
        LEAST + 'target_access = "labels"\n',
        LEAST + 'pixels_per_class = "some"\n',
        LEAST.replace('"cross_entropy"', '"cross_entrop"'),
        LEAST.replace('"cross_entropy"', '"cross_entropy", "cross_entropy"'),  # one label
        LEAST.replace('"cross_entropy"', "{ label = 'x' }"),
        LEAST.replace('"cross_entropy"', "{ method = 'cross_entropy', setings = { width = 8 } }"),
        LEAST.replace('"cross_entropy"', "3"),
        "pairs = [",
    ],
)
def test_what_can_t_be_run_is_refused(read, lines):
    with pytest.raises(InvalidInputError):
        read(lines)


def test_missing_files_are_named(read, tmp_path, spaces):
    with pytest.raises(MissingDataError):
        read(LEAST.replace('"cross_entropy"', '{ method = "cross_entropy", space = "nowhere.py" }'))
    with pytest.raises(MissingDataError):
        read_spec(tmp_path / "nothing.toml", spaces=spaces)
    with pytest.raises(InvalidInputError):
        read(LEAST, name="a b")


def test_a_method_can_be_on_some_pairs(read):
    spec = read(
        'pairs = ["sw-se", "nw+sw-se"]\nepochs = 3\n'
        'methods = ["cross_entropy", { method = "group_dro", pairs = ["nw+sw-se"] }]\n'
    )
    erm, dro = spec.methods
    assert erm.pairs is None
    assert dro.pairs == ("nw+sw-se",)
    assert [entry.is_on("sw-se") for entry in spec.methods] == [True, False]


@pytest.mark.parametrize("named", ['["nw-ne"]', "[]", '["sw-se", "nw-ne"]'])
def test_a_method_s_pairs_are_the_comparison_s(read, named):
    with pytest.raises(InvalidInputError):
        read(f'pairs = ["sw-se"]\nepochs = 3\nmethods = [{{ method = "cross_entropy", pairs = {named} }}]\n')


def test_every_pair_has_a_method(read):
    with pytest.raises(InvalidInputError):
        read(
            'pairs = ["sw-se", "west-east"]\nepochs = 3\nmethods = [{ method = "cross_entropy", pairs = ["sw-se"] }]\n'
        )


COMPARISONS = sorted((ROOT / "comparisons").glob("*.toml"))


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.stem)
def test_every_comparison_that_is_there_can_be_read_and_drawn(path, spaces):
    spec = read_spec(path, spaces=spaces)
    assert spec.name == path.stem
    catalogue = open_catalogue(spec.catalogue, None)
    for pair in spec.pairs:
        num_sources = len(find_sides(pair, catalogue).sources)
        assert all(find_method(e.method).least_sources <= num_sources for e in spec.methods if e.is_on(pair))
    for entry in spec.methods:
        method = TunedMethod.load(entry, profile=spec.profile)
        found = method.configurations(num=spec.num_configurations, seed=0, pairs=[])
        assert 1 <= len(found) <= spec.num_configurations
        assert all(getattr(found[0], name) == value for name, value in entry.settings.items())


def test_there_are_comparisons():
    assert {"example", "smoke_test", "several_sources"} <= {path.stem for path in COMPARISONS}


def test_a_preset_is_a_named_set_of_settings(read):
    text = (
        'pairs = ["west-east"]\nepochs = 3\nmethods = [{ method = "s2amsnet", label = "as released", preset = '
        '"released", settings = { calibrate_bn = true } }]\n'
    )
    (entry,) = read(text).methods
    assert entry.settings == {**S2AMSnetConfig.preset("released"), "calibrate_bn": True}
    with pytest.raises(InvalidInputError, match="'relased'"):
        read(text.replace('"released"', '"relased"'))
