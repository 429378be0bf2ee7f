"""The discriminator: its size, its parts, and that a patch's logits are its own affair."""

import pytest
import torch
import torch.nn.functional as F

from sceneshift.errors import InvalidInputError
from sceneshift.networks.branches import max_pool
from sceneshift.networks.discriminator import NUM_BLOCKS, Discriminator


def test_parameter_count_of_the_spec() -> None:
    network = Discriminator(48, 7, patch_size=13)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_009_559


def test_logits_are_the_head_of_the_features() -> None:
    torch.manual_seed(0)
    network = Discriminator(6, 3, patch_size=7, width=10).eval()
    x = torch.randn(2, 6, 7, 7)
    features = network.features(x)
    assert features.shape == (2, 10, 3, 3)
    assert torch.equal(network.head(features), network(x))


def test_block_is_the_formula_and_one_pair_of_weights_serves_all_blocks() -> None:
    torch.manual_seed(0)
    network = Discriminator(6, 3, patch_size=5, width=8).eval()
    with torch.no_grad():
        network.features.blend.copy_(torch.tensor([0.3, -0.4]))
    w = torch.tensor([0.3, -0.4]).softmax(0)
    x = torch.randn(2, 6, 5, 5)
    h = x
    for block in network.features.blocks:
        spectral = F.relu(block.spectral_norm(F.conv2d(block.involution(h), block.spectral.weight)))
        spatial = F.relu(block.spatial_norm(F.conv2d(h, block.spatial.weight, padding=1)))
        h = w[0] * spectral + w[1] * spatial
    torch.testing.assert_close(network.features(x), F.max_pool2d(h, 2))


def test_blend_starts_equal() -> None:
    network = Discriminator(6, 3, patch_size=5, width=8)
    assert network.features.blend.softmax(0).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("width", [8, 20])  # 20: two channels left over by the groups of three
def test_in_eval_mode_a_patch_is_classified_alone(width: int) -> None:
    torch.manual_seed(0)
    network = Discriminator(7, 4, patch_size=7, width=width).double()
    x = torch.randn(5, 7, 7, 7, dtype=torch.float64)
    network(x)  # moves the running statistics off their start
    network.eval()
    with torch.no_grad():
        together = network(x)
        alone = torch.cat([network(patch[None]) for patch in x])
        among_giants = network(torch.cat((1e6 * x[1:], x[:1], 1e6 * x[1:])))[4:5]
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(among_giants, together[:1], rtol=1e-12, atol=1e-12)
    assert together.std(dim=0).min() > 1e-6


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = Discriminator(7, 3, patch_size=5, width=8)
    F.cross_entropy(network(torch.randn(8, 7, 5, 5)), torch.arange(8) % 3).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("patch_size", [5, 7, 9, 11, 13, 15])
@pytest.mark.parametrize("bands", [6, 48, 103, 250])
def test_any_patch_and_bands(patch_size: int, bands: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, bands, patch_size, patch_size)
    with torch.no_grad():
        logits = Discriminator(bands, 4, patch_size=patch_size, width=20)(x)
    assert logits.shape == (2, 4)
    assert torch.isfinite(logits).all()
    assert not torch.allclose(logits[0], logits[1])


def test_autocast_is_close_to_float32() -> None:
    torch.manual_seed(0)
    network = Discriminator(12, 3, patch_size=5, width=20)
    x = torch.randn(8, 12, 5, 5)
    full = network(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(x)
        assert network.features(x).dtype == torch.bfloat16
        assert half.dtype == torch.float32
    assert (half.float() - full).norm() < 0.05 * full.norm()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bands": 0}, r"bands=0.*1"),
        ({"classes": 1}, r"classes=1.*2"),
        ({"patch_size": 3}, r"patch_size=3.*5.*patch_size=13"),
        ({"patch_size": 8}, r"patch_size=8.*5"),
        ({"width": 0}, r"width=0.*1"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Discriminator(**({"bands": 6, "classes": 3, "patch_size": 5} | arguments))


def test_wrong_patches_are_named() -> None:
    network = Discriminator(6, 3, patch_size=7, width=8)
    with pytest.raises(InvalidInputError, match=r"\(2, 6, 5, 5\).*\(B, 6, 7, 7\)"):
        network(torch.zeros(2, 6, 5, 5))


def test_blocks_run_one_by_one_are_the_features() -> None:
    torch.manual_seed(0)
    network, x = Discriminator(6, 3, patch_size=5, width=8).eval(), torch.randn(2, 6, 5, 5)
    for split in range(NUM_BLOCKS + 1):
        lower = network.features.run_blocks(x, end=split)
        h = network.features.run_blocks(lower, first=split)
        assert torch.equal(max_pool(h), network.features(x))


def test_what_is_done_between_blocks_is_done_before_the_second_and_the_third() -> None:
    torch.manual_seed(0)
    network, x, seen = Discriminator(6, 3, patch_size=5, width=8).eval(), torch.randn(2, 6, 5, 5), []

    def double(h: torch.Tensor) -> torch.Tensor:
        seen.append(h)
        return 2 * h

    changed = network(x, double)
    assert torch.equal(seen[0], network.features.run_blocks(x, end=1))
    assert torch.equal(seen[1], network.features.run_blocks(2 * seen[0], first=1, end=2))
    assert torch.equal(changed, network.head(max_pool(network.features.run_blocks(2 * seen[1], first=2))))
    assert len(seen) == 2
    assert torch.equal(network(x, lambda h: h), network(x))


def test_features_are_what_the_last_layer_classifies() -> None:
    torch.manual_seed(0)
    network, x = Discriminator(6, 3, patch_size=5, width=8).eval(), torch.randn(2, 6, 5, 5)
    features = network.embed(x)
    assert features.shape == (2, 8)
    assert torch.equal(network.head[-1](features), network(x))
