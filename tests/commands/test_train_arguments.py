import dataclasses
import subprocess
import sys
from dataclasses import replace

import pytest
import tyro

from sceneshift.commands.train import settings_of
from sceneshift.commands.train_arguments import OWN_FLAGS, TrainArgs
from sceneshift.errors import InvalidInputError
from sceneshift.methods.registry import METHODS
from sceneshift.methods.s2amsnet import S2AMSnetConfig

#: Runs the script as a file would be run, then says on the last line whether torch came with it.
WITHOUT_TORCH = """
import runpy, sys
sys.argv = ["experiments/train.py", *sys.argv[1:]]
try:
    runpy.run_path("experiments/train.py", run_name="__main__")
except SystemExit as end:
    print("torch" in sys.modules, end.code)
"""


def parse(*words):
    return tyro.cli(TrainArgs, args=list(words))


def settings(*entries, **changes):
    return TrainArgs(method="s2vnet", scene="indian_pines", set=entries, **changes).settings()


def test_the_command_line_is_frozen():
    # A flag that is renamed breaks somebody's script: change this list knowingly.
    assert {field.name for field in dataclasses.fields(TrainArgs)} == {
        "method",
        "from_run",
        "scene",
        "pair",
        "split",
        "by_field",
        "train_fraction",
        "labels",
        "class_names",
        "label_values",
        "unlabelled_values",
        "wavelengths_nm",
        "cube_variable",
        "labels_variable",
        "pixels_per_class",
        "train_mask",
        "test_mask",
        "cut_to_overlap",
        "data_dir",
        "catalogue",
        "patch_size",
        "batch_size",
        "lr",
        "epochs",
        "preset",
        "set",
        "list_settings",
        "seed",
        "evaluate_every",
        "record",
        "target_access",
        "selection",
        "device",
        "threads",
        "workers_per_trial",
        "executor",
        "precision",
        "compile",
        "storage_path",
        "experiment_name",
        "run_name",
        "resume",
    }


def test_method_and_scene_are_enough():
    arguments = parse("--method", "s2vnet", "--scene", "indian_pines")
    assert arguments == TrainArgs(method="s2vnet", scene="indian_pines")
    assert arguments.settings() == {}


def test_all_flags_are_read():
    of_a_scene = """--method s2vnet --scene houston13 --split fixed --train-mask tr.tif --test-mask te.tif 
        --data-dir d
        --patch-size 9 --batch-size 32 --lr 0.01 --epochs 3 --set width=16 heads=2 --seed 4 --device cpu --threads 2
        --workers-per-trial 3 --executor ray-train --precision tf32 --compile --storage-path out
        --experiment-name e --run-name r --resume"""
    assert parse(*of_a_scene.split()) == TrainArgs(
        method="s2vnet",
        scene="houston13",
        split="fixed",
        train_mask="tr.tif",
        test_mask="te.tif",
        data_dir="d",
        patch_size=9,
        batch_size=32,
        lr=0.01,
        epochs=3,
        set=("width=16", "heads=2"),
        seed=4,
        device="cpu",
        threads=2,
        workers_per_trial=3,
        executor="ray-train",
        precision="tf32",
        compile=True,
        storage_path="out",
        experiment_name="e",
        run_name="r",
        resume=True,
    )
    of_a_pair = "--method s2amsnet --pair west-east --split random --train-fraction 0.5 --evaluate-every 10"
    assert parse(*of_a_pair.split()) == TrainArgs(
        method="s2amsnet", pair="west-east", split="random", train_fraction=0.5, evaluate_every=10
    )


PAIR = {"scene": None, "pair": "west-east"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scene": None}, "give either --scene .* or --pair"),
        ({"pair": "west-east"}, "give either --scene .* or --pair"),
        ({"patch_size": 0}, r"--patch-size 0.*1"),
        ({"batch_size": 0}, r"--batch-size 0.*1"),
        ({"epochs": 0}, r"--epochs 0.*1"),
        ({"threads": 0}, r"--threads 0.*1"),
        ({"workers_per_trial": 0}, r"--workers-per-trial 0.*1"),
        ({"workers_per_trial": 2, "executor": "local"}, "--executor local"),
        ({**PAIR, "target_access": "unlabelled"}, r"--target-access.*--record"),
        ({**PAIR, "record": True, "compile": True}, "--record"),
        ({"record": True}, r"--record.*--scene"),
        ({**PAIR, "record": True, "split": "all"}, r"--record.*--split all"),
        ({**PAIR, "evaluate_every": -1}, r"--evaluate-every -1.*0"),
        ({"train_fraction": 0.0}, r"--train-fraction 0.0.*0.*1"),
        ({"train_fraction": 1.0}, r"--train-fraction 1.0.*0.*1"),
        ({"split": "fixed", "train_fraction": 0.1}, r"--split fixed.*--train-fraction"),
        ({**PAIR, "split": "all", "train_fraction": 0.1}, r"--split all.*--train-fraction"),
        ({"split": "all"}, r"--split all.*--scene.*--pair"),
        ({**PAIR, "split": "fixed"}, r"--split fixed.*--scene"),
        ({**PAIR, "train_mask": "m"}, r"--train-mask.*--test-mask.*--scene"),
        ({"cut_to_overlap": True}, "--cut-to-overlap cuts --train-mask and --test-mask .* TOML catalogue"),
        ({**PAIR, "test_mask": "m"}, r"--train-mask.*--test-mask.*--scene"),
        ({"evaluate_every": 5}, r"--evaluate-every 5.*--scene"),
        ({**PAIR, "split": "all", "evaluate_every": 5}, r"--evaluate-every 5.*--split all"),
        ({"resume": True}, "--resume needs --run-name"),
        ({"storage_path": "s3://bucket"}, "--storage-path s3://bucket"),
        ({"experiment_name": "a/b"}, r"--experiment-name.*'a/b'.*'/'"),
        ({"run_name": ""}, "--run-name ''"),
        ({"run_name": "it's"}, "--run-name .*quotes"),
        ({"set": ("width",)}, "--set 'width': expected name=value"),
        ({"set": ("=3",)}, "--set '=3': expected name=value"),
        ({"set": ("width=",)}, "--set 'width=': expected name=value"),
        ({"set": ("width=16", "width=32")}, r"--set.*width=32"),
        ({"set": ("lr=0.1",)}, r"--set.*lr=0.1.*--lr"),
        ({"set": ("patch_size=5",)}, r"--set.*patch_size=5.*patch_size.*--patch-size"),
        ({"set": ("batch_size=5",), "batch_size": 5}, r"batch_size.*--batch-size"),
    ],
)
def test_what_could_not_be_run_is_refused_by_flag(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        TrainArgs(**{"method": "s2vnet", "scene": "indian_pines", **changes})


def test_settings_are_numbers_booleans_and_words():
    read = settings("width=16", "lambda_sad=0.5", "lr_decay=1e-1", "flips=true", "normalization=l2-per-pixel")
    assert read == {
        "width": 16,
        "lambda_sad": 0.5,
        "lr_decay": 0.1,
        "flips": True,
        "normalization": "l2-per-pixel",
    }
    assert {name: type(value) for name, value in read.items()} == {
        "width": int,
        "lambda_sad": float,
        "lr_decay": float,
        "flips": bool,
        "normalization": str,
    }


def test_a_value_may_hold_an_equals_sign():
    assert settings("normalization=a=b") == {"normalization": "a=b"}


def test_flags_of_their_own_are_settings_too():
    assert settings(patch_size=5, batch_size=32, lr=0.01) == {"patch_size": 5, "batch_size": 32, "lr": 0.01}
    assert settings("width=16", lr=0.01) == {"lr": 0.01, "width": 16}


def run_script(root, *words):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words], cwd=root, capture_output=True, text=True, check=False
    )


def test_help_lists_every_flag_and_imports_no_torch(request):
    done = run_script(request.config.rootpath, "--help")
    assert done.stdout.splitlines()[-1] == "False 0", done.stderr
    for field in dataclasses.fields(TrainArgs):
        assert f"--{field.name.replace('_', '-')}" in done.stdout
    # All methods, though the line may be broken anywhere between them.
    words = set(done.stdout.replace(",", " ").replace(".", " ").split())
    assert set(METHODS) <= words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--scenne", "indian_pines"), "--scenne"),
        (("--scene", "indian_pines", "--split", "al"), "al"),
        (("--scene", "indian_pines", "--epochs", "0"), "--epochs 0"),
        (("--scene", "indian_pines", "--set", "width"), "--set 'width': expected name=value"),
    ],
)
def test_a_wrong_flag_is_reported_without_a_traceback_and_without_torch(request, words, expected):
    done = run_script(request.config.rootpath, "--method", "s2vnet", *words)
    assert done.stdout.splitlines()[-1] == "False 2", done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


class TestListedSettings:
    @pytest.mark.parametrize("method", METHODS)
    def test_every_setting_that_has_an_effect_is_listed_with_its_default(self, method):
        config = METHODS[method].config_type()
        rows = [line.split() for line in settings_of(method)[1 : settings_of(method).index("")]]
        named = {f.name for f in dataclasses.fields(config)} - config.without_effect
        assert {name: default for name, default, *_ in rows} == {name: str(getattr(config, name)) for name in named}

    @pytest.mark.parametrize("method", METHODS)
    def test_the_flags_are_accepted(self, method):
        words = [word for line in settings_of(method)[1 : settings_of(method).index("")] for word in line.split()[2:]]
        for name in OWN_FLAGS:
            if (flag := f"--{name.replace('_', '-')}") in words:
                words.insert(words.index(flag) + 1, str(getattr(METHODS[method].config_type(), name)))
        assert (
            parse("--method", method, "--scene", "indian_pines", *words).spec().config == METHODS[method].config_type()
        )

    def test_listing_needs_a_known_method(self):
        with pytest.raises(InvalidInputError, match="--method"):
            TrainArgs(list_settings=True)
        with pytest.raises(InvalidInputError, match="'s2vnet'"):
            settings_of("s2vnt")

    def test_the_script_lists_and_trains_nothing(self, request, tmp_path):
        done = run_script(
            request.config.rootpath, "--method", "s2vnet", "--list-settings", "--storage-path", str(tmp_path / "none")
        )
        assert done.stdout.splitlines()[-1].endswith(" 0"), done.stderr
        assert "lambda_sad" in done.stdout.split()
        assert not (tmp_path / "none").exists()


def test_by_field_is_the_split_by_fields():
    arguments = parse("--method", "s2vnet", "--scene", "indian_pines", "--by-field")
    assert arguments.split == "fields"
    with pytest.raises(InvalidInputError, match=r"--by-field.*--split"):
        TrainArgs(method="s2vnet", pair="west-east", split="all", by_field=True)


def test_a_run_that_is_run_again_says_all_but_the_place():
    arguments = parse("--from-run", "abc", "--threads", "1", "--storage-path", "out", "--run-name", "r", "--resume")
    assert (arguments.from_run, arguments.threads, arguments.run_name) == ("abc", 1, "r")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.1}, "--lr"),
        ({"method": "s2vnet"}, "leave out --method"),
        ({"scene": "indian_pines"}, "leave out --scene"),
        ({"seed": 4}, "leave out --seed"),
        ({"threads": 0}, r"--threads 0.*1"),
        ({"resume": True}, "--resume needs --run-name"),
    ],
)
def test_what_a_run_says_itself_cannot_be_given(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        TrainArgs(from_run="abc", **changes)


def test_a_method_must_be_named():
    with pytest.raises(InvalidInputError, match="--method"):
        TrainArgs(scene="indian_pines")


def test_a_preset_is_where_settings_start():
    arguments = TrainArgs(method="s2amsnet", pair="sw-se", preset="released", set=("calibrate_bn=True",), lr=0.01)
    assert arguments.spec().config == replace(S2AMSnetConfig.released(), calibrate_bn=True, lr=0.01)
    with pytest.raises(InvalidInputError, match="preset 'release'"):
        TrainArgs(method="s2amsnet", pair="sw-se", preset="release").spec()


def test_presets_are_listed_with_the_settings():
    assert any("--preset released" in line for line in settings_of("s2amsnet"))
    assert not any("--preset" in line for line in settings_of("cross_entropy"))
