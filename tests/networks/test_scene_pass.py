"""The discriminator over a whole scene gives what it gives patch by patch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.batch_norm import calibrate_batch_norm
from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.scene_pass import DiscriminatorOverScene
from sceneshift.scenes.patches import PatchSampler
from sceneshift.scenes.scene import Scene


def padded(bands: int, patch_size: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A random scene continued beyond its borders, and the patch of every pixel."""
    cube = np.random.default_rng(0).normal(size=(height, width, bands))
    sampler = PatchSampler(cube, patch_size=patch_size, device="cpu")
    return sampler.padded, sampler.patches(torch.arange(height * width))


def balance(network: Discriminator, patches: Tensor) -> Tensor:
    """Shift the logits so that every class has its pixels; returns these patches' classes."""
    with torch.no_grad():
        network.head[-1].bias -= network(patches).mean(dim=0)
        return network(patches).argmax(dim=1)


@pytest.mark.parametrize(
    ("bands", "patch_size", "width", "shape"),
    [
        (6, 7, 10, (9, 8)),  # 10 channels: the last group serves one more
        (6, 7, 4, (1, 1)),
        (1, 7, 1, (2, 3)),
        (5, 9, 8, (3, 17)),
        (8, 9, 8, (2, 1)),
        (4, 11, 6, (5, 4)),
        (7, 13, 8, (1, 30)),  # smaller than a patch both ways
        (3, 13, 8, (20, 6)),
        (3, 15, 5, (16, 17)),
    ],
)
def test_logits_are_those_of_every_patch(
    discriminator: Callable[..., Discriminator], bands: int, patch_size: int, width: int, shape: tuple[int, int]
) -> None:
    network = discriminator(bands, patch_size, width)
    scene, patches = padded(bands, patch_size, *shape)
    with torch.no_grad():
        expected = network(patches).view(*shape, 4)
    logits = DiscriminatorOverScene(network).logits(scene)
    assert logits.shape == (*shape, 4)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-11 * float(expected.abs().max()))
    if expected.numel() > 24:
        assert expected.std(dim=(0, 1)).min() > 1e-3 * float(expected.abs().max())


@pytest.mark.parametrize(("patch_size", "few_bytes"), [(7, 950_000), (13, 2_500_000)])
def test_tiles_do_not_show(discriminator: Callable[..., Discriminator], patch_size: int, few_bytes: int) -> None:
    network = discriminator(4, patch_size, 6)
    scene, patches = padded(4, patch_size, 7, 12)
    expected = balance(network, patches).view(7, 12)
    over_scene = DiscriminatorOverScene(network)
    reports = {}
    for tile_bytes in (1, few_bytes, 2**29):
        done: list[tuple[int, int]] = []
        classes = over_scene.predict(
            scene, tile_bytes=tile_bytes, progress=lambda *counts, done=done: done.append(counts)
        )
        assert classes.dtype == torch.int64
        assert torch.equal(classes, expected)
        assert done == sorted(set(done))
        assert done[-1] == (84, 84)
        reports[tile_bytes] = len(done)
    assert len(expected.unique()) > 1
    assert reports[1] == 84
    assert 84 > reports[few_bytes] > reports[2**29] == 1


def test_single_precision_gives_the_same_classes(discriminator: Callable[..., Discriminator]) -> None:
    network = discriminator(6, 9, 12)
    scene, patches = padded(6, 9, 30, 30)
    expected = balance(network, patches).view(30, 30)
    classes = DiscriminatorOverScene(network, dtype=torch.float32).predict(scene)
    assert (classes == expected).float().mean() > 0.998
    assert expected.unique().numel() > 1


def test_bfloat16_agrees_once_trained(tiny_scene: Scene) -> None:
    """Pixels of unit length are similar, and training amplifies their differences: rounding would show."""
    sampler = PatchSampler(tiny_scene.cube, patch_size=7, device="cpu")
    labels = torch.from_numpy(tiny_scene.labels.flatten())
    torch.manual_seed(0)
    network = Discriminator(8, 3, patch_size=7, width=16)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    pixels = torch.nonzero(labels).squeeze(1)
    for _ in range(40):
        batch = pixels[torch.randint(len(pixels), (64,))]
        loss = F.cross_entropy(network(sampler.patches(batch)), labels[batch] - 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    calibrate_batch_norm(network, [sampler.patches(pixels)])
    patches = sampler.patches(torch.arange(1200))
    with torch.no_grad():
        expected = network(patches).argmax(dim=1)
    assert (expected[pixels] == labels[pixels] - 1).float().mean() > 0.8
    rounded = DiscriminatorOverScene(network, dtype=torch.bfloat16)
    assert rounded.logits(sampler.padded).dtype == torch.float32
    assert (rounded.predict(sampler.padded).flatten() == expected).float().mean() >= 0.995


def test_the_discriminator_is_copied_not_changed(discriminator: Callable[..., Discriminator]) -> None:
    network = discriminator(3, 7, 5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    scene, _ = padded(3, 7, 4, 4)
    over_scene = DiscriminatorOverScene(network)
    logits = over_scene.logits(scene)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(over_scene.logits(scene), logits)


def test_training_mode_makes_no_difference(discriminator: Callable[..., Discriminator]) -> None:
    network = discriminator(3, 7, 5)
    scene, _ = padded(3, 7, 4, 4)
    assert torch.equal(
        DiscriminatorOverScene(network.train()).logits(scene), DiscriminatorOverScene(network.eval()).logits(scene)
    )


def test_small_patches_and_wrong_types_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"patch_size=5.*7"):
        DiscriminatorOverScene(Discriminator(3, 2, patch_size=5, width=4))
    with pytest.raises(InvalidInputError, match=r"dtype=torch.int8"):
        DiscriminatorOverScene(Discriminator(3, 2, patch_size=7, width=4), dtype=torch.int8)


@pytest.mark.parametrize("shape", [(6, 9, 3), (9, 6, 3), (9, 9, 4), (3, 9, 9, 3)])
def test_wrong_scenes_are_named(shape: tuple[int, ...]) -> None:
    over_scene = DiscriminatorOverScene(Discriminator(3, 2, patch_size=7, width=4))
    for call in (over_scene.predict, over_scene.logits):
        with pytest.raises(InvalidInputError, match=r"6.*6.*3.*3 pixels"):
            call(torch.zeros(shape))
