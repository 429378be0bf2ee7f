"""Predictions for pixels and whole scenes, one patch at a time as the oracle."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError
from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.networks import overlapping_patches
from sceneshift.networks.discriminator import Discriminator
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scenes.scene import Scene
from sceneshift.training import scene_mapping
from sceneshift.training.evaluation import map_scene, predict_pixels


class CentreBand(nn.Module):
    """Answers with the strongest band of the patch's centre pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, x.shape[2] // 2, x.shape[3] // 2]


def discriminator(scene: Scene, patch_size: int = 5) -> Discriminator:
    """A network that distinguishes the scene's pixels: random weights, statistics of the scene's own patches."""
    torch.manual_seed(0)
    network = Discriminator(8, 3, patch_size=patch_size, width=8)
    sampler = PatchSampler(scene.cube, patch_size=patch_size, device="cpu")
    calibrate_batch_norm(network, [sampler.patches(torch.arange(1200))])
    with torch.no_grad():
        network.head[-1].bias -= network(sampler.patches(torch.arange(1200))).mean(dim=0)
    return network


def test_a_pixel_gets_the_class_of_its_own_patch(tiny_scene: Scene) -> None:
    network = discriminator(tiny_scene).train()
    sampler = PatchSampler(tiny_scene.cube, patch_size=5, device="cpu")
    pixels = np.random.default_rng(0).permutation(1200)[:300]
    predicted = predict_pixels(network, sampler, pixels)
    assert not network.training
    with torch.no_grad():
        logits = torch.cat([network(sampler.patches(torch.tensor([pixel]))) for pixel in pixels])
    assert predicted.dtype == np.int64
    np.testing.assert_array_equal(predicted, logits.argmax(dim=1).numpy())
    assert min(np.bincount(predicted, minlength=3)) > 20


@pytest.mark.parametrize("patch_size", [5, 7])
def test_pixels_side_by_side_share_what_their_patches_have_in_common(
    tiny_scene: Scene, patch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = discriminator(tiny_scene, patch_size).double()
    cube = np.asarray(tiny_scene.cube, dtype=np.float64)
    sampler = PatchSampler(cube, patch_size=patch_size, device="cpu")
    with torch.no_grad():
        expected = network(sampler.patches(torch.arange(1200))).argmax(dim=1).numpy()
    monkeypatch.setattr(overlapping_patches, "_PLACES", 500 * patch_size**2)
    network.features.blocks[0].register_forward_hook(lambda *_: pytest.fail("a patch was classified by itself"))
    done: list[tuple[int, int]] = []
    predicted = predict_pixels(network, sampler, np.arange(1200), progress=lambda *count: done.append(count))
    np.testing.assert_array_equal(predicted, expected)
    assert done == [(500, 1200), (1000, 1200), (1200, 1200)]
    assert min(np.bincount(predicted, minlength=3)) > 20


def test_no_pixels_get_no_classes(tiny_scene: Scene) -> None:
    sampler = PatchSampler(tiny_scene.cube, patch_size=5, device="cpu")
    assert predict_pixels(discriminator(tiny_scene), sampler, np.empty(0, dtype=np.int64)).shape == (0,)


def test_predicting_changes_no_statistics(tiny_scene: Scene) -> None:
    network = discriminator(tiny_scene).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    map_scene(network, tiny_scene.cube, patch_size=5, device="cpu")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_a_map_has_the_class_id_of_every_pixel_in_its_place() -> None:
    cube = np.random.default_rng(0).random((13, 29, 4)).astype(np.float32)
    class_map = map_scene(CentreBand(), cube, patch_size=7, device="cpu")
    np.testing.assert_array_equal(class_map, 1 + cube.argmax(axis=2))
    assert set(np.unique(class_map)) == {1, 2, 3, 4}


@pytest.mark.parametrize("batch", [1, 7, 1200])
def test_a_map_does_not_depend_on_the_batch(tiny_scene: Scene, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    network = discriminator(tiny_scene).double()
    cube = np.asarray(tiny_scene.cube, dtype=np.float64)
    expected = map_scene(network, cube, patch_size=5, device="cpu")
    sizes = []
    by_patch = torch.nn.Sequential(network)
    by_patch.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    monkeypatch.setattr(scene_mapping, "PREDICTION_BATCH", batch)
    np.testing.assert_array_equal(map_scene(by_patch, cube, patch_size=5, device="cpu"), expected)
    assert max(sizes) == batch
    assert sum(sizes) == 1200
    assert len(np.unique(expected)) == 3


@pytest.mark.parametrize("precision", [None, torch.float64])
@pytest.mark.parametrize("patch_size", [7, 9])
def test_a_discriminator_sees_the_scene_as_a_whole(
    tiny_scene: Scene, patch_size: int, precision: torch.dtype | None
) -> None:
    network = discriminator(tiny_scene, patch_size).double().train()
    cube = np.asarray(tiny_scene.cube, dtype=np.float64)
    sampler = PatchSampler(cube, patch_size=patch_size, device="cpu")
    expected = predict_pixels(network, sampler, np.arange(1200)).reshape(40, 30) + 1
    network.train().register_forward_hook(lambda *_: pytest.fail("a patch was classified by itself"))
    class_map = map_scene(network, cube, patch_size=patch_size, device="cpu", precision=precision)
    assert class_map.dtype == np.int64
    np.testing.assert_array_equal(class_map, expected)
    assert set(np.unique(class_map)) == {1, 2, 3}
    assert not network.training


class OtherHead(Discriminator):
    """A discriminator whose logits are turned around."""

    def forward(self, x: Tensor) -> Tensor:
        return -super().forward(x)


def test_a_network_derived_from_the_discriminator_is_asked_itself(tiny_scene: Scene) -> None:
    network = discriminator(tiny_scene, 7)
    other = OtherHead(8, 3, patch_size=7, width=8)
    other.load_state_dict(network.state_dict())
    cube = tiny_scene.cube[:8, :9]
    sampler = PatchSampler(cube, patch_size=7, device="cpu")
    with torch.no_grad():
        expected = other.eval()(sampler.patches(torch.arange(72))).argmax(dim=1).reshape(8, 9).numpy() + 1
    np.testing.assert_array_equal(predict_pixels(other, sampler, np.arange(72)).reshape(8, 9) + 1, expected)
    np.testing.assert_array_equal(map_scene(other, cube, patch_size=7, device="cpu"), expected)
    assert (expected != map_scene(network, cube, patch_size=7, device="cpu")).any()


@pytest.mark.parametrize("patch_size", [5, 7])
def test_bfloat16_is_asked_for_and_agrees(tiny_scene: Scene, patch_size: int) -> None:
    network = discriminator(tiny_scene, patch_size)
    full = map_scene(network, tiny_scene.cube, patch_size=patch_size, device="cpu")
    rounded = map_scene(network, tiny_scene.cube, patch_size=patch_size, device="cpu", precision=torch.bfloat16)
    assert np.mean(rounded == full) > 0.9  # untrained: many pixels nearly tie
    assert (rounded != full).any()


@pytest.mark.parametrize("patch_size", [5, 7])
def test_progress_counts_pixels_up_to_all(tiny_scene: Scene, patch_size: int) -> None:
    counts: list[tuple[int, int]] = []
    map_scene(
        discriminator(tiny_scene, patch_size),
        tiny_scene.cube,
        patch_size=patch_size,
        device="cpu",
        progress=lambda *count: counts.append(count),
    )
    assert counts == sorted(counts)
    assert counts[-1] == (1200, 1200)


@pytest.mark.parametrize("patch_size", [5, 7, 9])
def test_a_cube_with_other_bands_is_named(patch_size: int) -> None:
    with pytest.raises(InvalidInputError, match="expected"):
        map_scene(
            Discriminator(8, 3, patch_size=patch_size, width=8),
            np.zeros((4, 4, 7), dtype=np.float32),
            patch_size=patch_size,
            device="cpu",
        )


def test_an_unmeasured_pixel_is_zero_in_the_map(tiny_scene: Scene) -> None:
    measured = np.ones((40, 30), dtype=bool)
    measured[3:9, 5:] = False
    network = discriminator(tiny_scene)
    class_map = map_scene(network, tiny_scene.cube, patch_size=5, device="cpu", measured=measured)
    whole = map_scene(network, tiny_scene.cube, patch_size=5, device="cpu")
    np.testing.assert_array_equal(class_map, np.where(measured, whole, 0))
