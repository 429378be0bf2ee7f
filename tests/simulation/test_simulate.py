"""Whole pairs: exact pixels, none at strength 0, more at more strength, and draws that stay where they are."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.catalogue.units import allowed_normalizations
from sceneshift.scenes.normalization import NORMALIZATIONS
from sceneshift.simulation import simulate as simulate_module
from sceneshift.simulation.ground_shifts import ClassBalance, Illumination, Season
from sceneshift.simulation.mixing import Mixing, Variability
from sceneshift.simulation.sensor_shifts import AddedNoise, Atmosphere, Noise, Resolution, SensorResponse
from sceneshift.simulation.simulate import SimulatedPair, simulate
from sceneshift.simulation.spec import SHIFTS, Ground
from sceneshift.splits.pair import refuse_shared_pixels

VARIED = Variability(scaling=0.1, perturbation=1.0)
EVERYTHING = {"variability": VARIED, "mixing": Mixing(model="gbm"), "noise": Noise(snr=100)}
ALL_SHIFTS = tuple(kind(strength=0.6) for kind in SHIFTS)


def mean_angle(pair: SimulatedPair) -> float:
    one, other = (scene.cube.reshape(-1, scene.num_bands).astype(float) for scene in (pair.source, pair.target))
    cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return float(np.arccos(np.clip(cosine, -1, 1)).mean())


def mean_distance(pair: SimulatedPair) -> float:
    return float(np.linalg.norm(pair.source.cube - pair.target.cube, axis=2).mean())


def test_a_pair_is_two_labelled_scenes_and_their_truth(make_recipe, library) -> None:
    pair = simulate(make_recipe(**EVERYTHING, ground=Ground(least_abundance=0.7)))
    for scene, truth in ((pair.source, pair.source_truth), (pair.target, pair.target_truth)):
        assert (scene.cube.shape, scene.cube.dtype) == ((48, 40, 40), np.float32)
        assert scene.class_names == truth.materials == library.names
        np.testing.assert_array_equal(scene.wavelengths_nm, library.wavelengths_nm)
        np.testing.assert_allclose(truth.abundances.sum(axis=2), 1, atol=1e-6)
        largest = truth.abundances.max(axis=2)
        assert ((scene.labels == 0) == (largest < 0.7)).all()
        assert (scene.labels == 0).any()
        labelled = scene.labels > 0
        assert (scene.labels == truth.abundances.argmax(axis=2) + 1)[labelled].all()
    assert not pair.source.footprint.overlaps(pair.target.footprint)
    refuse_shared_pixels([pair.scene_pair()])
    assert not hasattr(pair.scene_pair().target, "labels")


def test_a_noiseless_linear_pixel_is_endmembers_times_abundances(make_recipe) -> None:
    shifts = (Season(strength=0.7), Atmosphere(strength=0.5), SensorResponse(strength=0.5))
    pair = simulate(make_recipe(shifts=shifts))
    for scene, truth in ((pair.source, pair.source_truth), (pair.target, pair.target_truth)):
        np.testing.assert_allclose(scene.cube, truth.abundances @ truth.endmembers.T, rtol=2e-5, atol=1e-6)


def test_fan_pixels_have_their_products(make_recipe, library) -> None:
    pair = simulate(make_recipe(mixing=Mixing(model="fan")))
    abundances, spectra = pair.source_truth.abundances, library.spectra
    expected = abundances @ spectra
    for i in range(4):
        for j in range(i + 1, 4):
            expected = expected + (abundances[..., i] * abundances[..., j])[..., None] * spectra[i] * spectra[j]
    np.testing.assert_allclose(pair.source.cube, expected, rtol=1e-4)


def test_gbm_is_between_linear_and_fan(make_recipe) -> None:
    linear, gbm, fan = (simulate(make_recipe(mixing=Mixing(model=m))).source.cube for m in ("linear", "gbm", "fan"))
    assert (gbm >= linear - 1e-6).all()
    assert (gbm <= fan + 1e-6).all()
    assert (gbm - linear).sum() == pytest.approx((fan - linear).sum() / 2, rel=0.05)
    none = simulate(make_recipe(mixing=Mixing(model="gbm", gamma=0.0))).source.cube
    np.testing.assert_allclose(none, linear, rtol=1e-6)


@pytest.mark.parametrize("length", [0, 3])
def test_variability_has_the_library_s_covariance(make_recipe, library, length) -> None:
    ground = Ground(softness=1e-3, length=20)
    varied = make_recipe(shape=(150, 150), ground=ground, variability=Variability(perturbation=1, length=length))
    scene = simulate(varied).source
    pixels = scene.cube[scene.labels == 3].astype(float)
    factor = library.variations[2].astype(float)
    np.testing.assert_allclose(pixels.mean(axis=0), library.spectra[2], rtol=0.03)
    expected = factor.T @ factor
    np.testing.assert_allclose(np.cov(pixels.T), expected, atol=0.25 * np.abs(expected).max())
    neighbours = (scene.labels[1:] == 3) & (scene.labels[:-1] == 3)
    deviation = scene.cube[:, :, 0] - library.spectra[2, 0]
    correlation = (deviation[1:] * deviation[:-1])[neighbours].mean() / pixels[:, 0].var()
    assert correlation == pytest.approx(np.exp(-1 / 18) if length else 0, abs=0.06)


def test_scaling_keeps_the_mean(make_recipe, library) -> None:
    recipe = make_recipe(shape=(150, 150), ground=Ground(softness=1e-3), variability=Variability(scaling=0.2))
    scene = simulate(recipe).source
    ratio = scene.cube[scene.labels == 1][:, 5] / library.spectra[0, 5]
    assert ratio.mean() == pytest.approx(1, abs=0.015)
    assert np.log(ratio).std() == pytest.approx(0.2, abs=0.01)


def test_at_strength_0_the_target_is_the_source_bit_for_bit(make_recipe) -> None:
    none = tuple(kind(strength=0) for kind in SHIFTS)
    recipe = make_recipe(variability=VARIED, mixing=Mixing(model="gbm"), same_ground=True, shifts=none)
    pair = simulate(recipe)
    np.testing.assert_array_equal(pair.source.cube, pair.target.cube)
    np.testing.assert_array_equal(pair.source.labels, pair.target.labels)
    np.testing.assert_array_equal(pair.source_truth.endmembers, pair.target_truth.endmembers)
    bare = simulate(replace(recipe, shifts=()))
    np.testing.assert_array_equal(pair.target.cube, bare.target.cube)


def test_at_strength_0_another_ground_has_the_same_statistics(make_recipe) -> None:
    recipe = make_recipe(**EVERYTHING, shape=(128, 128), ground=Ground(length=8))
    pair = simulate(recipe)
    assert not np.array_equal(pair.source.labels, pair.target.labels)
    np.testing.assert_allclose(pair.source.class_counts, pair.target.class_counts, rtol=0.06)
    for k in range(1, 5):
        one, other = pair.source.cube[pair.source.labels == k], pair.target.cube[pair.target.labels == k]
        np.testing.assert_allclose(one.mean(axis=0), other.mean(axis=0), rtol=0.03, atol=0.006)
        np.testing.assert_allclose(one.std(axis=0), other.std(axis=0), rtol=0.1, atol=0.006)


@pytest.mark.parametrize("kind", [Season, Atmosphere, SensorResponse])
def test_a_stronger_shift_turns_spectra_further(make_recipe, kind) -> None:
    angles = [
        mean_angle(simulate(make_recipe(same_ground=True, shifts=(kind(strength=s),)))) for s in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert angles[0] == pytest.approx(0, abs=1e-3)
    assert (np.diff(angles) > 1e-3).all()


@pytest.mark.parametrize("kind", [Season, Illumination, Atmosphere, SensorResponse, AddedNoise])
def test_a_stronger_shift_moves_spectra_further(make_recipe, kind) -> None:
    distances = [
        mean_distance(simulate(make_recipe(same_ground=True, shifts=(kind(strength=s),))))
        for s in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert distances[0] == 0
    assert (np.diff(distances) > 1e-3).all()


def test_illumination_scales_whole_spectra(make_recipe) -> None:
    pair = simulate(make_recipe(same_ground=True, shifts=(Illumination(strength=1),)))
    factor = pair.target.cube / pair.source.cube
    np.testing.assert_allclose(factor, factor[:, :, :1] * np.ones(40), rtol=1e-4)
    assert factor.std() > 0.03
    assert mean_angle(pair) == pytest.approx(0, abs=1e-3)


def test_light_falls_on_the_ground_and_not_on_the_haze(make_recipe, library) -> None:
    light, haze = Illumination(strength=0.8), Atmosphere(strength=0.6)
    lit = simulate(make_recipe(same_ground=True, shifts=(light,)))
    both = simulate(make_recipe(same_ground=True, shifts=(light, haze)))
    through = haze.transmittance(library.wavelengths_nm)
    expected = through * lit.target.cube + haze.path_radiance(library.wavelengths_nm, library.white)
    np.testing.assert_allclose(both.target.cube, expected, rtol=1e-4)


def test_class_balance_changes_the_shares(make_recipe) -> None:
    def counts(strength: float) -> np.ndarray:
        recipe = make_recipe(shape=(120, 120), ground=Ground(length=8, least_abundance=0))
        pair = simulate(replace(recipe, shifts=(ClassBalance(strength=strength, ratio=27),)))
        expected = pair.applied["shifts"]["class balance"]["proportions"]
        np.testing.assert_allclose(pair.target.class_counts / 120**2, expected, atol=0.01)
        np.testing.assert_allclose(pair.source.class_counts / 120**2, 0.25, atol=0.01)
        return pair.target.class_counts

    ratios = [counts(s).max() / counts(s).min() for s in (0, 1 / 3, 1)]
    np.testing.assert_allclose(ratios, [1, 3, 27], rtol=0.2)


def test_larger_pixels_are_means_of_the_fine_ones(make_recipe) -> None:
    shape = (50, 41)
    pair = simulate(make_recipe(shape=shape, same_ground=True, shifts=(Resolution(strength=1, factor=4),)))
    assert pair.source.shape == shape
    assert pair.target.shape == pair.target_truth.abundances.shape[:2] == (12, 10)
    blocks = pair.source.cube[:48, :40].reshape(12, 4, 10, 4, 40).mean(axis=(1, 3))
    np.testing.assert_allclose(pair.target.cube, blocks, rtol=1e-5)
    truth = pair.target_truth.abundances
    np.testing.assert_allclose(truth.sum(axis=2), 1, atol=1e-6)
    expected = np.where(truth.max(axis=2) >= 0.5, truth.argmax(axis=2) + 1, 0)
    np.testing.assert_array_equal(pair.target.labels, expected)
    assert truth.max(axis=2).mean() < pair.source_truth.abundances.max(axis=2).mean()


def test_noise_has_the_variance_it_says(make_recipe, library) -> None:
    noise, added = Noise(snr=80, read=0.3), AddedNoise(strength=0.5, snr=40)
    quiet = simulate(make_recipe(shape=(100, 100), same_ground=True))
    noisy = simulate(make_recipe(shape=(100, 100), same_ground=True, noise=noise, shifts=(added,)))
    for side, parts in (("source", [noise]), ("target", [noise, added])):
        clean = getattr(quiet, side).cube
        difference = getattr(noisy, side).cube - clean
        constant, slope = np.sum([part.variance(library.white) for part in parts], axis=0)
        scaled = difference / np.sqrt(constant + slope * clean)
        assert scaled.mean() == pytest.approx(0, abs=0.01)
        assert scaled.std() == pytest.approx(1, abs=0.01)


def test_the_same_recipe_gives_the_same_bits_and_another_seed_others(make_recipe) -> None:
    recipe = make_recipe(**EVERYTHING, shifts=ALL_SHIFTS)
    one, again, other = simulate(recipe), simulate(recipe), simulate(replace(recipe, seed=8))
    assert one.source.content_hash == again.source.content_hash
    assert one.target.content_hash == again.target.content_hash
    assert one.source.content_hash != other.source.content_hash
    assert one.target.content_hash != other.target.content_hash
    assert not one.source.footprint.overlaps(other.source.footprint)
    assert one.applied == again.applied


def test_shifts_move_no_other_draw_and_their_order_means_nothing(make_recipe) -> None:
    recipe = make_recipe(**EVERYTHING)
    plain, shifted = simulate(recipe), simulate(replace(recipe, shifts=ALL_SHIFTS))
    assert plain.source.content_hash == shifted.source.content_hash
    turned = simulate(replace(recipe, shifts=ALL_SHIFTS[::-1]))
    assert shifted.target.content_hash == turned.target.content_hash
    # The noise's draws of a hazy target are those of a clear one.
    clear = make_recipe(noise=Noise(snr=50, read=1))
    hazy = replace(clear, shifts=(Atmosphere(strength=0.5),))
    silent = Noise(snr=None)
    residuals = [simulate(r).target.cube - simulate(replace(r, noise=silent)).target.cube for r in (hazy, clear)]
    np.testing.assert_allclose(*residuals, atol=1e-6)


def test_blocks_of_rows_leave_no_trace(make_recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = make_recipe(**EVERYTHING, shifts=ALL_SHIFTS)
    whole = simulate(recipe)
    monkeypatch.setattr(simulate_module, "_BLOCK_VALUES", 5000)  # three rows
    blocks = simulate(recipe)
    np.testing.assert_allclose(whole.source.cube, blocks.source.cube, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(whole.target.cube, blocks.target.cube, rtol=1e-4, atol=1e-6)


def test_without_wavelengths_the_other_shifts_work(make_recipe, library) -> None:
    shifts = tuple(kind(strength=0.5) for kind in SHIFTS if not kind.needs_wavelengths)
    pair = simulate(make_recipe(library=replace(library, wavelengths_nm=None), shifts=shifts))
    assert pair.target.wavelengths_nm is None
    assert pair.applied["shifts"]["season"]["vegetation"] == [0, 0, 0, 0]


def test_what_was_applied_is_reported_in_plain_values(make_recipe) -> None:
    pair = simulate(make_recipe(shifts=(Resolution(strength=0.5, factor=3), Season(strength=0.25)), same_ground=True))
    found = json.loads(json.dumps(pair.applied))
    assert found == pair.applied
    assert list(found["shifts"]) == ["season", "resolution"]
    assert found["shifts"]["resolution"] == {"strength": 0.5, "factor": 3, "block": 2}
    assert found["class_counts"]["target"] == pair.target.class_counts.tolist()
    notes = pair.scene_pair().notes
    assert re.findall(r"(seed|season|resolution) ([\d.]+)", notes[0]) == [
        ("seed", "7"),
        ("season", "0.25"),
        ("resolution", "0.5"),
    ]
    assert "own ground" in notes[1]


def test_both_scenes_state_one_unit_so_that_every_shift_is_one_of_the_scene_and_not_of_the_unit(make_recipe) -> None:
    for shifts in ((), ALL_SHIFTS, (Atmosphere(strength=1.0, path=0.5),), (AddedNoise(strength=1.0),)):
        pair = simulate(make_recipe(shifts=shifts)).scene_pair()
        assert pair.source.unit == pair.target.unit == "as in the spectral library"
        assert allowed_normalizations(pair) == NORMALIZATIONS
