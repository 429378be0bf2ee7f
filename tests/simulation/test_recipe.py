"""Recipes: what is refused, and the shift of a kind."""

from dataclasses import replace

import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.simulation.ground_shifts import Season
from sceneshift.simulation.mixing import Variability
from sceneshift.simulation.sensor_shifts import Atmosphere, Resolution, SensorResponse
from sceneshift.simulation.spec import SHIFTS, Ground


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (48, 0)}, r"'simulated'.*columns = 0.*1"),
        ({"shape": 48}, r"shape = 48; expected \(rows, columns\)"),
        ({"seed": -1}, r"seed = -1.*0"),
        ({"shifts": (Season(strength=0.1), Season(strength=0.2))}, "season"),
        ({"shifts": ("season",)}, r"'season'.*ClassBalance"),
        ({"shifts": (Season(strength=1, toward={"leaf": "ice"}),)}, "'ice'"),
        ({"shifts": (Resolution(strength=1, factor=50),)}, r"50 x 50.*\(48, 40\)"),
        ({"ground": Ground(proportions=(1, 2))}, r"2 proportions.*4 materials.*\(leaf, grass, soil, water\)"),
    ],
)
def test_what_does_not_fit_is_refused(make_recipe, changes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make_recipe(**changes)


def test_perturbation_needs_variations(make_recipe, library) -> None:
    with pytest.raises(InvalidInputError, match="perturbation = 1"):
        make_recipe(library=replace(library, variations=None), variability=Variability(perturbation=1))


@pytest.mark.parametrize("shift", [Atmosphere(strength=0.1), SensorResponse(strength=0.1)])
def test_shifts_along_the_wavelengths_need_them(make_recipe, library, shift) -> None:
    with pytest.raises(InvalidInputError, match=f"{shift.name}"):
        make_recipe(library=replace(library, wavelengths_nm=None), shifts=(shift,))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"softness": 0}, r"softness = 0.*0"),
        ({"length": -1}, r"length = -1.*0"),
        ({"least_abundance": 1.1}, r"least_abundance = 1.1.*0.*1"),
        ({"proportions": (1, 0)}, r"proportions\[1\] = 0"),
    ],
)
def test_a_wrong_ground_is_refused(settings, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Ground(**settings)


def test_a_shift_that_is_not_among_the_recipe_s_is_none(make_recipe) -> None:
    recipe = make_recipe(shifts=(Season(strength=0.3),))
    assert recipe.shift(Season).strength == 0.3
    assert [recipe.shift(kind).strength for kind in SHIFTS if kind is not Season] == [0] * 6
    assert len({kind.name for kind in SHIFTS}) == 7
