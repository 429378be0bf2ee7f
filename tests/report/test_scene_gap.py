"""How far apart two scenes are: known shifts of a made scene."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.report.scene_gap import NUM_DRAWS, measure_gap, render_gap
from sceneshift.scenes.scene import Scene


def noisy(make_scene: Callable[..., Scene]) -> tuple[Scene, Scene]:
    """Two scenes of the same classes, with noise that an SVM can't see through."""
    scene, rng = make_scene(0), np.random.default_rng(3)
    cubes = [(scene.cube + rng.normal(0, 0.2, scene.cube.shape)).astype(np.float32) for _ in range(2)]
    return replace(scene, cube=cubes[0]), replace(scene, name="other", cube=cubes[1], footprint=None)


def test_a_scene_is_no_distance_from_a_copy_with_other_noise(tiny_scene: Scene) -> None:
    noise = np.random.default_rng(1).normal(0, 1e-3, size=tiny_scene.cube.shape).astype(np.float32)
    gap = measure_gap(tiny_scene, replace(tiny_scene, name="copy", cube=tiny_scene.cube + noise, footprint=None))
    assert np.degrees(gap.angles).max() < 0.1
    assert len(gap.svm_source) == len(gap.svm_target) == NUM_DRAWS == 10
    assert min(scores.oa for scores in gap.svm_target) > 0.95
    assert min(scores.oa for scores in gap.svm_source) > 0.9
    near = gap.separation
    assert (near.patch_size, near.num_pixels, near.num_inside_training_patch) == (13, 384, 384)
    assert gap.compared == tiny_scene.class_names
    (told,) = re.findall(r"LEAKS; (patch 13.*?)\)", render_gap(gap, source="a", target="b"), re.DOTALL)
    assert re.findall(r"\d+", told) == ["13", "384", "384", "384"]


def test_other_spectra_are_far_and_the_svm_fails_on_them(make_scene: Callable[..., Scene]) -> None:
    source, target = make_scene(0), make_scene(5, name="other")
    gap = measure_gap(source, target)
    means = [[s.cube[s.labels == k].mean(axis=0) for k in (1, 2, 3)] for s in (source, target)]
    for k, (one, other) in enumerate(zip(*means, strict=True)):
        one, other = (v / np.linalg.norm(v) for v in (one, other))
        assert np.degrees(gap.angles[k]) == pytest.approx(np.degrees(np.arccos(one @ other)), abs=1.0)
    assert max(s.oa for s in gap.svm_target) < min(s.oa for s in gap.svm_source) - 0.2


def test_the_spread_over_the_draws_is_reported(make_scene: Callable[..., Scene]) -> None:
    gap = measure_gap(*noisy(make_scene))
    assert len({s.oa for s in gap.svm_source}) > 2  # each draw is one of its own
    assert len({s.oa for s in gap.svm_target}) > 2
    text = render_gap(gap, source="a", target="b")
    for name, scores in (("within a", gap.svm_source), ("on b", gap.svm_target)):
        (line,) = (line for line in text.splitlines() if line.startswith(f"  {name}: "))
        for measure, factor, digits in (("oa", 100, 1), ("aa", 100, 1), ("kappa", 1, 2)):
            values = [factor * getattr(s, measure) for s in scores]
            mean, deviation, low, high = np.mean(values), np.std(values, ddof=1), min(values), max(values)
            figures = f"{mean:.{digits}f} ± {deviation:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
            assert figures in line
    assert "over n = 10 draws" in text


def test_it_is_drawn_by_the_seed(make_scene: Callable[..., Scene]) -> None:
    source, target = noisy(make_scene)
    one, other = measure_gap(source, target, seed=1), measure_gap(source, target, seed=1)
    assert [s.oa for s in one.svm_target] == [s.oa for s in other.svm_target]
    different = measure_gap(source, target, seed=2)
    assert [s.oa for s in one.svm_source] != [s.oa for s in different.svm_source]


def test_other_classes_or_bands_are_refused(tiny_scene: Scene) -> None:
    fewer = replace(tiny_scene, name="fewer", cube=np.ascontiguousarray(tiny_scene.cube[..., :5]))
    with pytest.raises(InvalidInputError, match=r"'tiny' has 8 .*'fewer' has 5"):
        measure_gap(tiny_scene, fewer)


def test_a_class_one_side_lacks_has_no_angle(make_scene: Callable[..., Scene]) -> None:
    source, target = make_scene(0), make_scene(5, name="other")
    without = replace(target, labels=np.where(target.labels == 2, 0, target.labels))
    gap = measure_gap(source, without)
    assert np.isnan(gap.angles).tolist() == [False, True, False]
    text = render_gap(gap, source="a", target="b")
    assert "| tree  | 256 | 0 | - |" in text
    assert gap.compared == ("soil", "water")
    assert "out: tree" in text
    # Neither trained on nor counted: the class can't be taken for another, nor another for it.
    assert {s.confusion.shape for s in (*gap.svm_source, *gap.svm_target)} == {(2, 2)}
    turned = measure_gap(without, source)
    assert {s.confusion.sum() for s in turned.svm_target} == {512}


def test_two_classes_must_have_pixels_in_both(make_scene: Callable[..., Scene]) -> None:
    source, target = make_scene(0), make_scene(5, name="other")
    one = replace(target, labels=np.where(target.labels == 3, 3, 0))
    with pytest.raises(InvalidInputError, match=r"^1 .*'tiny'.*soil 256, .*'other'.*soil 0, tree 0, water 256"):
        measure_gap(source, one)
