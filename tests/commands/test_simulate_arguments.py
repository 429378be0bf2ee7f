import dataclasses

import pytest
import tyro

from sceneshift.commands.scene_arguments import SceneCommand
from sceneshift.commands.simulate_arguments import SHIFT_FLAGS, Simulate
from sceneshift.errors import InvalidInputError
from sceneshift.simulation.spec import SHIFTS


def test_the_command_line_is_frozen():
    # A flag that is renamed breaks somebody's script: change this list knowingly.
    assert [field.name for field in dataclasses.fields(Simulate)] == [
        *("out", "name", "scene", "library", "classes", "wavelengths_nm", "white", "size", "area", "shares"),
        *("mixing", "scaling", "perturbation", "variability_length", "snr"),
        *("season", "class_balance", "illumination", "resolution", "atmosphere", "sensor_response", "added_noise"),
        *("same_ground", "set", "seed", "data_dir", "catalogue"),
    ]


def test_every_shift_has_a_flag_in_the_order_they_act_in():
    names = [shift.name.replace(" ", "_") for shift in SHIFTS]
    assert [flag.replace("added_noise", "noise") for flag in SHIFT_FLAGS] == names


def test_it_is_a_command_of_the_script():
    words = "simulate --out d --classes a b --size 3 4 --season 0.5 --set season.share=0.1 season.toward={'a':'b'}"
    command = tyro.cli(SceneCommand, args=words.split())
    assert command == Simulate(
        out="d", classes=("a", "b"), size=(3, 4), season=0.5, set=("season.share=0.1", "season.toward={'a':'b'}")
    )
    assert command.settings() == {"season": {"share": 0.1, "toward": {"a": "b"}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a/b"}, "--name 'a/b': expected letters"),
        ({"name": ""}, "--name '': expected letters"),
        ({"scene": "indian_pines", "library": "l.csv"}, r"--scene.*--library"),
        ({"library": "l.csv", "wavelengths_nm": (400, 900)}, "library file"),
        ({"wavelengths_nm": (900, 400)}, r"--wavelengths-nm 900.*400"),
        ({"set": ("season",)}, "--set 'season': expected part.name=value"),
        ({"set": ("share=0.1",)}, "--set 'share=0.1': expected part.name=value"),
        ({"set": ("season.share=0.1", "season.share=0.2")}, r"season\.share"),
        ({"set": ("season.strength=1",)}, "--season"),
        ({"set": ("sensor_response.strength=1",)}, "--sensor-response"),
        ({"set": ("ground.length=3",)}, "--area"),
        ({"set": ("season.share=much",)}, "'much'"),
    ],
)
def test_what_could_not_be_made_is_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        Simulate(**{"out": "d", **changes})
