"""How far apart two scenes are: known shifts of a made scene."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.commands.scene_gap import measure_gap, render_gap
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene


def test_a_scene_is_no_distance_from_a_copy_with_other_noise(tiny_scene: Scene) -> None:
    noise = np.random.default_rng(1).normal(0, 1e-3, size=tiny_scene.cube.shape).astype(np.float32)
    gap = measure_gap(tiny_scene, replace(tiny_scene, name="copy", cube=tiny_scene.cube + noise, footprint=None))
    assert np.degrees(gap.angles).max() < 0.1
    assert gap.mmd < 0.05
    assert gap.svm_target.oa > 0.97
    assert gap.svm_source.oa > 0.9
    near = gap.separation
    assert (near.patch_size, near.num_pixels, near.num_inside_training_patch) == (13, 384, 384)
    told = (
        "(pixels at random, which LEAKS; patch 13: of 384 pixels 384 inside a training patch, 384 with an overlapping"
    )
    assert told in render_gap(gap, source="a", target="b")


def test_other_spectra_are_far_and_the_svm_fails_on_them(make_scene: Callable[..., Scene]) -> None:
    source, target = make_scene(0), make_scene(5, name="other")
    gap = measure_gap(source, target)
    means = [[s.cube[s.labels == k].mean(axis=0) for k in (1, 2, 3)] for s in (source, target)]
    for k, (one, other) in enumerate(zip(*means, strict=True)):
        one, other = (v / np.linalg.norm(v) for v in (one, other))
        assert np.degrees(gap.angles[k]) == pytest.approx(np.degrees(np.arccos(one @ other)), abs=1.0)
    assert gap.mmd > 5 * gap.mmd_within
    assert gap.svm_target.oa < gap.svm_source.oa - 0.2


def test_it_is_drawn_by_the_seed(make_scene: Callable[..., Scene]) -> None:
    source, target = make_scene(0), make_scene(5, name="other")
    one, other = measure_gap(source, target, seed=1), measure_gap(source, target, seed=1)
    assert (one.mmd, one.svm_target.oa) == (other.mmd, other.svm_target.oa)


def test_other_classes_or_bands_are_refused(tiny_scene: Scene) -> None:
    fewer = replace(tiny_scene, name="fewer", cube=np.ascontiguousarray(tiny_scene.cube[..., :5]))
    with pytest.raises(InvalidInputError, match="Align them first"):
        measure_gap(tiny_scene, fewer)


def test_a_class_one_side_lacks_has_no_angle(make_scene: Callable[..., Scene]) -> None:
    source, target = make_scene(0), make_scene(5, name="other")
    without = replace(target, labels=np.where(target.labels == 2, 0, target.labels))
    gap = measure_gap(source, without)
    assert np.isnan(gap.angles).tolist() == [False, True, False]
    told = render_gap(gap, source="a", target="b")
    assert "| tree  | 256 | 0 | - |" in told
    assert "distance of distributions" in told
