"""Patches: what numpy would have cut, and never across a cut."""

import numpy as np
import pytest
import torch

from sceneshift.catalogue.indian_pines import CLASS_NAMES, REGIONS, cut_region, load_indian_pines
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scenes.scene import Scene

HEIGHT, WIDTH, BANDS = 6, 4, 3
OUTSIDE = 1e6


def numbered_cube() -> np.ndarray:
    return np.arange(HEIGHT * WIDTH * BANDS, dtype=np.float32).reshape(HEIGHT, WIDTH, BANDS)


def sampler_of(cube: np.ndarray, patch_size: int) -> PatchSampler:
    return PatchSampler(cube, patch_size=patch_size, device="cpu")


def cut_with_numpy(cube: np.ndarray, pixel: int, patch_size: int) -> np.ndarray:
    radius = patch_size // 2
    padded = np.pad(cube, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    row, column = divmod(pixel, cube.shape[1])
    return padded[row : row + patch_size, column : column + patch_size].transpose(2, 0, 1)


def test_the_reflected_cube_can_be_had_whole() -> None:
    cube = numbered_cube()
    expected = np.pad(cube, ((2, 2), (2, 2), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(sampler_of(cube, 5).padded.numpy(), expected)


@pytest.mark.parametrize("patch_size", [1, 3, 5, 13])  # 13: wider than the cube, reflected more than once
def test_every_patch_is_a_slice_of_the_reflected_cube(patch_size: int) -> None:
    cube = numbered_cube()
    patches = sampler_of(cube, patch_size).patches(torch.arange(HEIGHT * WIDTH))
    assert patches.shape == (HEIGHT * WIDTH, BANDS, patch_size, patch_size)
    assert patches.dtype == torch.float32
    assert patches.is_contiguous(memory_format=torch.channels_last)
    for pixel in range(HEIGHT * WIDTH):
        np.testing.assert_array_equal(patches[pixel].numpy(), cut_with_numpy(cube, pixel, patch_size))
        centre = patches[pixel, :, patch_size // 2, patch_size // 2]
        np.testing.assert_array_equal(centre.numpy(), cube.reshape(-1, BANDS)[pixel])


def test_a_batch_is_gathered_in_the_order_asked_for() -> None:
    sampler = sampler_of(numbered_cube(), 3)
    pixels = torch.tensor([17, 0, 23, 17])
    batch = sampler.patches(pixels)
    for one, pixel in zip(batch, pixels, strict=True):
        assert torch.equal(one, sampler.patches(pixel[None])[0])


@pytest.mark.parametrize("patch_size", [1, 3, 13])
def test_spectra_are_the_cube_s_pixels_in_the_order_asked_for(patch_size: int) -> None:
    cube = numbered_cube()
    sampler = sampler_of(cube, patch_size)
    pixels = torch.tensor([17, 0, 23, 3, 20, 17, *range(24)])
    spectra = sampler.spectra(pixels)
    np.testing.assert_array_equal(spectra.numpy(), cube.reshape(-1, BANDS)[pixels.numpy()])
    assert spectra.dtype == torch.float32
    assert torch.equal(spectra, sampler.patches(pixels)[:, :, patch_size // 2, patch_size // 2])
    spectra.zero_()  # a copy: the cube is left alone
    np.testing.assert_array_equal(sampler.spectra(pixels).numpy(), cube.reshape(-1, BANDS)[pixels.numpy()])


@pytest.mark.parametrize("patch_size", [0, 4, -3])
def test_a_patch_has_an_odd_size(patch_size: int) -> None:
    with pytest.raises(InvalidInputError, match=f"patch_size = {patch_size}"):
        sampler_of(numbered_cube(), patch_size)


def test_rms_is_of_the_cube_without_its_borders() -> None:
    cube = np.ones((4, 4, 1), dtype=np.float32)
    cube[0, 0] = 7.0  # a corner: four times in the padded cube, which has 36 pixels
    assert sampler_of(cube, 3).rms == pytest.approx(2.0)


def test_rms_is_of_measured_pixels_alone() -> None:
    cube = np.zeros((4, 4, 2), dtype=np.float32)
    cube[1:3, 1:3] = (3.0, 4.0)
    assert sampler_of(cube, 3).rms == pytest.approx(np.sqrt(12.5))


def poisoned(region: str) -> Scene:
    """Indian Pines in two bands, scaled to 0..1, a huge value planted in every pixel outside the region."""
    rows, columns = REGIONS[region]
    cube = np.full((145, 145, 2), OUTSIDE, dtype=np.float32)
    inside = slice(*rows), slice(*columns)
    whole = load_indian_pines()
    cube[inside] = whole.cube[inside][:, :, :2] / whole.cube.max()
    return Scene(name="planted", cube=cube, labels=whole.labels, class_names=CLASS_NAMES)


@pytest.mark.parametrize("region", REGIONS)
def test_no_patch_holds_a_pixel_of_the_other_side_of_a_cut(region: str) -> None:
    scene = cut_region(poisoned(region), region, ("Corn-notill", "Soybean-mintill"))
    sampler = sampler_of(scene.cube, 15)
    for pixels in torch.arange(scene.shape[0] * scene.shape[1]).split(2048):
        assert sampler.patches(pixels).max().item() <= 1.0


@pytest.mark.parametrize("region", REGIONS)
def test_padding_before_the_cut_would_show_the_other_side(region: str) -> None:
    # The same patches read out of the whole scene: the test above can fail.
    rows, columns = REGIONS[region]
    pixels = np.arange(145 * 145).reshape(145, 145)[slice(*rows), slice(*columns)].ravel()
    sampler = sampler_of(poisoned(region).cube, 15)
    leaking = torch.cat(
        [sampler.patches(batch).amax((1, 2, 3)) == OUTSIDE for batch in torch.tensor(pixels).split(2048)]
    )
    beyond = [145 - columns[1], columns[0]]
    height = rows[1] - rows[0]
    assert leaking.sum().item() >= 7 * height * sum(edge > 0 for edge in beyond)
    assert not leaking.all()


def test_patches_over_several_cubes_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    cubes = [rng.normal(size=shape).astype(np.float32) for shape in ((6, 9, 3), (8, 5, 3))]
    both = PatchSampler.over(cubes, patch_size=5, device="cpu")
    for number, cube in enumerate(cubes):
        alone = PatchSampler(cube, patch_size=5, device="cpu")
        pixels = np.arange(cube[..., 0].size)
        places = torch.from_numpy(both.places(number, pixels))
        assert torch.equal(both.patches(places), alone.patches(torch.from_numpy(pixels)))
        assert torch.equal(both.spectra(places), alone.spectra(torch.from_numpy(pixels)))
    numbers = np.concatenate([cube.ravel() for cube in cubes])
    assert both.rms == pytest.approx(np.sqrt((numbers**2).mean()))
    one = PatchSampler.over(cubes[:1], patch_size=5, device="cpu")
    assert one.rms == PatchSampler(cubes[0], patch_size=5, device="cpu").rms
    np.testing.assert_array_equal(one.places(0, np.arange(54)), np.arange(54))
