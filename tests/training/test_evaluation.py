"""Predictions for pixels and whole scenes, one patch at a time as the oracle."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.networks.discriminator import Discriminator
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scenes.scene import Scene
from sceneshift.training import evaluation
from sceneshift.training.evaluation import map_scene, predict_pixels


class CentreBand(nn.Module):
    """Answers with the strongest band of the patch's centre pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, x.shape[2] // 2, x.shape[3] // 2]


def discriminator(scene: Scene) -> Discriminator:
    """A network that tells the scene's pixels apart: random weights, statistics of the scene's own patches."""
    torch.manual_seed(0)
    network = Discriminator(8, 3, patch_size=5, width=8)
    sampler = PatchSampler(scene.cube, patch_size=5, device="cpu")
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
    network.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    monkeypatch.setattr(evaluation, "PREDICTION_BATCH", batch)
    np.testing.assert_array_equal(map_scene(network, cube, patch_size=5, device="cpu"), expected)
    assert max(sizes) == batch
    assert sum(sizes) == 1200
    assert len(np.unique(expected)) == 3
