"""Pictures: their colours say what intervals exclude; maps show what is right."""

import io

import numpy as np
import pytest
from matplotlib import image

from sceneshift.comparison.class_maps import PairMaps
from sceneshift.comparison.contrasts import Reference
from sceneshift.comparison.map_picture import draw_maps
from sceneshift.comparison.pictures import draw_differences, draw_seconds
from sceneshift.comparison.score_grid import make_grids
from sceneshift.errors import InvalidInputError
from sceneshift.report.themes import BEST, DARK, DEFAULTS, LIGHT
from sceneshift.scenes.class_colours import as_rgb, class_colours

ONE_PAIR = {"west-east": "indian_pines"}
GROUND = np.array([[1, 1, 2, 2], [3, 3, 0, 0]])


def pixels_of(png, colour):
    pixels = (image.imread(io.BytesIO(png))[..., :3] * 255).round().astype(int)
    return int((pixels == as_rgb(colour)).all(axis=-1).sum())


def grid_of(results):
    (grid,) = make_grids(results)
    return grid


def drawn(results, reference=Reference.ERM):
    return draw_differences(grid_of(results), reference)


def test_differences_are_coloured_by_what_their_interval_excludes(simulated):
    better = drawn(simulated({"cross_entropy": 0.5, "far": 0.9}, pairs=ONE_PAIR))
    worse = drawn(simulated({"cross_entropy": 0.5, "far": 0.2}, pairs=ONE_PAIR))
    neither = drawn(simulated({"cross_entropy": 0.5, "same": 0.5}, pairs=ONE_PAIR))
    blue, orange = ([pixels_of(each.light, colour) for each in (better, worse, neither)] for colour in (BEST, DEFAULTS))
    assert blue[0] > blue[2] == blue[1] > 0  # the legend has both
    assert orange[1] > orange[2] == orange[0] > 0
    assert better.name == "against_erm_tune-once-40-epochs-source-blocks"
    assert pixels_of(better.dark, DARK.ground) > pixels_of(better.dark, LIGHT.ground)


def test_one_seed_is_neither_better_nor_worse(simulated):
    one = drawn(simulated({"cross_entropy": 0.5, "far": 0.9}, pairs=ONE_PAIR, seeds=(0,)))
    neither = drawn(simulated({"cross_entropy": 0.5, "same": 0.5}, pairs=ONE_PAIR))
    assert pixels_of(one.light, BEST) == pixels_of(neither.light, BEST)


def test_every_pair_has_a_panel(simulated):
    several = {"p": "g", "q": "h", "r": "i"}
    one, three = (drawn(simulated({"cross_entropy": 0.5, "a": 0.9}, pairs=pairs)) for pairs in (ONE_PAIR, several))
    assert three.width > one.width
    assert image.imread(io.BytesIO(three.light)).shape[0] > image.imread(io.BytesIO(one.light)).shape[0]


def test_without_a_reference_nothing_is_drawn(simulated):
    results = simulated({"a": 0.5, "b": 0.6})
    assert drawn(results, Reference.ERM) is None
    assert drawn(results, Reference.FLOOR) is None
    assert drawn(results, Reference.BEST) is not None


def test_seconds_show_floors_and_networks_in_their_colours(simulated):
    with_floor = draw_seconds(grid_of(simulated({"svm": 0.5, "net": 0.9}, floors=("svm",))))
    without = draw_seconds(grid_of(simulated({"svm": 0.5, "net": 0.9})))
    assert pixels_of(with_floor.light, DEFAULTS) > 0
    assert pixels_of(without.light, DEFAULTS) == 0
    assert pixels_of(without.light, BEST) > pixels_of(with_floor.light, BEST)
    failed = [("a", pair, seed) for pair in ("west-east", "sw-se", "samson-jasper_ridge") for seed in range(5)]
    assert draw_seconds(grid_of(simulated({"a": 0.5}, failed=failed))) is None


def test_maps_show_classes_and_what_is_right():
    names = ("soil", "tree", "water")
    right = np.where(GROUND > 0, GROUND, 1)
    wrong = right % 3 + 1
    shares = {}
    for name, predicted in (("right", right), ("wrong", wrong)):
        maps = PairMaps(pair="p", note="n", truth=GROUND, predicted={"net": predicted}, class_names=names)
        picture = draw_maps(maps)
        assert all(pixels_of(picture.light, colour) > 100 for colour in class_colours(3))
        shares[name] = pixels_of(picture.light, "#c3c8ce") / pixels_of(picture.light, "#000000")
    assert shares["right"] > 10
    assert shares["wrong"] < 0.1


def test_large_scenes_are_sampled():
    truth = np.ones((1000, 30), dtype=np.int64)
    maps = PairMaps(pair="p", note="n", truth=truth, predicted={"net": truth}, class_names=("soil",))
    height, width, _ = image.imread(io.BytesIO(draw_maps(maps).light)).shape
    assert height < 2 * width


@pytest.mark.parametrize("predicted", [np.ones((2, 3)), np.full((2, 4), 4), np.full((2, 4), -1)])
def test_maps_must_fit_the_truth(predicted):
    with pytest.raises(InvalidInputError):
        PairMaps(
            pair="p",
            note="n",
            truth=GROUND,
            predicted={"net": predicted.astype(np.int64)},
            class_names=("soil", "tree", "water"),
        )
