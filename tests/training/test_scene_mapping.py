"""A scene tile by tile: the map is that of every pixel's own patch, whatever the tiles."""

import numpy as np
import pytest
import torch
from torch import nn

from sceneshift.errors import InvalidInputError
from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.networks import overlapping_patches
from sceneshift.networks.discriminator import Discriminator
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scenes.scene import Scene
from sceneshift.training import scene_mapping
from sceneshift.training.scene_mapping import classify_tiles


def discriminator(cube: np.ndarray, patch_size: int) -> Discriminator:
    torch.manual_seed(0)
    network = Discriminator(8, 3, patch_size=patch_size, width=8).double()
    patches = PatchSampler(cube, patch_size=patch_size, device="cpu").patches(torch.arange(cube[..., 0].size))
    calibrate_batch_norm(network, [patches])
    with torch.no_grad():
        network.head[-1].bias -= network(patches).mean(dim=0)
    return network


def in_double(piece: np.ndarray) -> np.ndarray:
    return np.asarray(piece, dtype=np.float64)


def logits_of(network: nn.Module, cube: np.ndarray, patch_size: int, **settings: object) -> np.ndarray:
    settings.setdefault("prepare", in_double)
    found = np.full((*cube.shape[:2], 3), np.nan)
    for rows, columns, logits in classify_tiles(network, cube, patch_size=patch_size, device="cpu", **settings):
        assert np.isnan(found[rows, columns]).all()
        found[rows, columns] = logits.numpy()
    assert not np.isnan(found).any()
    return found


@pytest.mark.parametrize("tile_shape", [(40, 30), (1, 30), (9, 7), (1, 1), (64, 64)])
@pytest.mark.parametrize("patch_size", [5, 7])
def test_the_map_does_not_depend_on_the_tiles(tiny_scene: Scene, patch_size: int, tile_shape: tuple[int, int]) -> None:
    cube = in_double(tiny_scene.cube[:8, :6] if tile_shape == (1, 1) else tiny_scene.cube)
    network = discriminator(cube, patch_size)
    sampler = PatchSampler(cube, patch_size=patch_size, device="cpu")
    with torch.no_grad():
        expected = network.eval()(sampler.patches(torch.arange(cube[..., 0].size))).view(*cube.shape[:2], 3).numpy()
    found = logits_of(network, cube, patch_size, tile_shape=tile_shape)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found.argmax(axis=2), expected.argmax(axis=2))
    assert len(np.unique(expected.argmax(axis=2))) == 3


@pytest.mark.parametrize("patch_size", [5, 7])
@pytest.mark.parametrize("tile_bytes", [1, 2**19])
def test_nor_on_the_memory_or_the_batch(
    tiny_scene: Scene, monkeypatch: pytest.MonkeyPatch, patch_size: int, tile_bytes: int
) -> None:
    cube = in_double(tiny_scene.cube[:10, :9])
    network = discriminator(cube, patch_size)
    expected = logits_of(network, cube, patch_size)
    monkeypatch.setattr(scene_mapping, "PREDICTION_BATCH", 7)
    monkeypatch.setattr(overlapping_patches, "_PLACES", 12 * patch_size**2)
    np.testing.assert_allclose(logits_of(network, cube, patch_size, tile_bytes=tile_bytes), expected, atol=1e-9)
    by_patch = torch.nn.Sequential(network)
    np.testing.assert_allclose(logits_of(by_patch, cube, patch_size, tile_bytes=tile_bytes), expected, atol=1e-9)


def test_a_scene_smaller_than_a_patch_is_continued_by_reflection(tiny_scene: Scene) -> None:
    cube = in_double(tiny_scene.cube)
    network, small = discriminator(cube, 9), cube[:2, :3]
    sampler = PatchSampler(small, patch_size=9, device="cpu")
    with torch.no_grad():
        expected = network.eval()(sampler.patches(torch.arange(6))).view(2, 3, 3).numpy()
    for tile_shape in ((2, 3), (1, 2)):
        np.testing.assert_allclose(logits_of(network, small, 9, tile_shape=tile_shape), expected, atol=1e-9)


@pytest.mark.parametrize("name", ["l2-per-pixel", "minmax-per-band", "standardize-per-band"])
def test_a_step_applied_tile_by_tile_is_the_step_applied_to_the_scene(tiny_scene: Scene, name: str) -> None:
    normalization = Normalization.fit(name, tiny_scene.cube)
    whole = in_double(normalization.apply(tiny_scene.cube))
    network = discriminator(whole, 7)
    raw = tiny_scene.cube.astype(np.float32)
    seen = logits_of(network, raw, 7, prepare=lambda piece: in_double(normalization.apply(piece)), tile_shape=(9, 30))
    np.testing.assert_allclose(seen, logits_of(network, whole, 7), atol=1e-9)


def test_no_more_of_a_scene_is_prepared_at_once_than_a_tile_and_what_its_patches_reach(tiny_scene: Scene) -> None:
    shapes = []

    def prepare(piece: np.ndarray) -> np.ndarray:
        shapes.append(piece.shape)
        return in_double(piece)

    logits_of(discriminator(in_double(tiny_scene.cube), 7), tiny_scene.cube, 7, prepare=prepare, tile_shape=(8, 10))
    assert set(shapes) == {(8 + 6, 10 + 6, 8)}
    assert len(shapes) == 15


@pytest.mark.parametrize("patch_size", [5, 7])
def test_progress_counts_up_to_all_pixels(tiny_scene: Scene, patch_size: int) -> None:
    received: list[tuple[int, int]] = []
    network = discriminator(in_double(tiny_scene.cube), patch_size)
    logits_of(network, tiny_scene.cube, patch_size, tile_shape=(9, 30), progress=lambda *both: received.append(both))
    assert received == sorted(received)
    assert received[-1] == (1200, 1200)


@pytest.mark.parametrize(
    ("settings", "message"), [({"tile_shape": (0, 5)}, "tiles of 0 x 5 pixels"), ({"patch_size": 4}, "odd")]
)
def test_what_can_not_be_is_refused(tiny_scene: Scene, settings: dict[str, object], message: str) -> None:
    network = Discriminator(8, 3, patch_size=7, width=8)
    with pytest.raises(InvalidInputError, match=message):
        list(classify_tiles(network, tiny_scene.cube, **{"patch_size": 7, "device": "cpu"} | settings))
