"""The domain generator: its blend, its noise, its norms."""

import pytest
import torch
import torch.nn.functional as F

from sceneshift.errors import InvalidInputError
from sceneshift.networks.generator import AdaptiveInstanceNorm, DomainGenerator


@pytest.mark.parametrize(("shared_norm", "expected"), [(False, 36_852), (True, 36_468)])
def test_parameter_count_of_the_spec(shared_norm: bool, expected: int) -> None:
    generator = DomainGenerator(48, shared_norm=shared_norm)
    assert sum(parameter.numel() for parameter in generator.parameters()) == expected


def test_blend_starts_half_and_half() -> None:
    torch.manual_seed(0)
    generator = DomainGenerator(6, channels=8)
    torch.nn.init.zeros_(generator.decoder.weight)
    torch.nn.init.constant_(generator.decoder.bias, 3.0)
    x = torch.randn(2, 6, 5, 5)
    torch.testing.assert_close(generator(x), 0.5 * x + 1.5)


@pytest.mark.parametrize("shared_norm", [False, True])
def test_output_is_the_formula(shared_norm: bool) -> None:
    torch.manual_seed(0)
    generator = DomainGenerator(6, channels=8, shared_norm=shared_norm).eval()
    with torch.no_grad():
        generator.blend.copy_(torch.tensor([0.7, -0.2]))
        for index, norm in enumerate(generator.norms):
            norm.weight.fill_(0.5 + index)
    x, noise = torch.randn(2, 6, 5, 5), torch.randn(3, 2, 2)
    h = x
    for index, block in enumerate(generator.blocks):
        spectral = F.conv2d(block.involution(h), block.spectral.weight)
        h = spectral + F.conv2d(h, block.spatial.weight, padding=1)
        own = 0 if shared_norm else index
        h = generator.norms[own](generator.adains[own](h, noise[index]))
        h = torch.where(h > 0, h, 0.01 * h)
    decoded = F.conv2d(h, generator.decoder.weight, generator.decoder.bias, padding=1)
    w = torch.tensor([0.7, -0.2]).softmax(0)
    torch.testing.assert_close(generator(x, noise), w[0] * x + w[1] * decoded)


@pytest.mark.parametrize("shared_norm", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_noise_changes_the_output_and_the_same_noise_repeats_it(shared_norm: bool, training: bool) -> None:
    torch.manual_seed(0)
    generator = DomainGenerator(6, channels=8, noise_dim=3, shared_norm=shared_norm).train(training)
    x = torch.randn(2, 6, 5, 5)
    noise = torch.randn(3, 2, 3)
    first = generator(x, noise)
    assert torch.equal(first, generator(x, noise))
    assert not torch.allclose(generator(x), generator(x))
    for block in range(3):  # every block listens to its own draw
        other = noise.clone()
        other[block] += 1
        assert not torch.allclose(first, generator(x, other), atol=1e-3)


def test_drawn_noise_is_one_standard_normal_draw_a_block_and_patch() -> None:
    generator = DomainGenerator(6, channels=8)
    x = torch.randn(2, 6, 5, 5)
    torch.manual_seed(5)
    drawn = generator(x)
    torch.manual_seed(5)
    assert torch.equal(drawn, generator(x, torch.randn(3, 2, 2)))


def test_adain_is_the_formula() -> None:
    torch.manual_seed(0)
    adain = AdaptiveInstanceNorm(2, 3).double()
    h = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    noise = torch.randn(2, 3, dtype=torch.float64)
    scale_shift = noise @ adain.linear.weight.T + adain.linear.bias
    out = adain(h, noise)
    for b in range(2):
        for c in range(2):
            plane = h[b, c]
            normal = (plane - plane.mean()) / (plane.var(correction=0) + 1e-5).sqrt()
            torch.testing.assert_close(out[b, c], (1 + scale_shift[b, c]) * normal + scale_shift[b, 2 + c])


def test_renormalize_keeps_each_pixels_norm() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 5, 5)
    x[0, :, 1, 1] = 0
    noise = torch.randn(3, 2, 2)
    kept, free = DomainGenerator(6, channels=8, renormalize=True), DomainGenerator(6, channels=8)
    free.load_state_dict(kept.state_dict())
    x_hat, x_free = kept(x, noise), free(x, noise)
    torch.testing.assert_close(x_hat.norm(dim=1), x.norm(dim=1))
    torch.testing.assert_close(torch.cosine_similarity(x_hat, x_free)[1], torch.ones(5, 5))
    assert (x_free.norm(dim=1) > 2 * x.norm(dim=1)).any()


def test_renormalize_survives_a_dark_generated_pixel() -> None:
    generator = DomainGenerator(6, channels=8, renormalize=True)
    for parameter in generator.decoder.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.zeros(1, 6, 5, 5, requires_grad=True)
    out = generator(x)
    out.sum().backward()
    assert torch.equal(out, torch.zeros_like(out))
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("init_std", [0.05, 1.0])
def test_every_weight_starts_with_init_std(init_std: float) -> None:
    torch.manual_seed(0)
    generator = DomainGenerator(60, channels=30, noise_dim=16, init_std=init_std)
    seen = 0
    for module in generator.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            seen += 1
            assert module.weight.std().item() == pytest.approx(init_std, rel=0.15)
    assert seen == 3 * 4 + 3 + 1
    assert not generator.blocks[0].involution.expand.bias.any()


@pytest.mark.parametrize("shared_norm", [False, True])
def test_every_parameter_gets_a_gradient(shared_norm: bool) -> None:
    torch.manual_seed(0)
    generator = DomainGenerator(7, channels=8, shared_norm=shared_norm)
    generator(torch.randn(4, 7, 5, 5)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in generator.parameters())


@pytest.mark.parametrize("patch_size", [5, 7, 9, 11, 13, 15])
@pytest.mark.parametrize("bands", [6, 48, 103, 250])
def test_any_patch_and_bands(patch_size: int, bands: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, bands, patch_size, patch_size)
    with torch.no_grad():
        x_hat = DomainGenerator(bands, channels=10)(x)
    assert x_hat.shape == x.shape
    assert torch.isfinite(x_hat).all()
    assert not torch.allclose(x_hat, x)


def test_autocast_is_close_to_float32_and_keeps_the_dtype() -> None:
    torch.manual_seed(0)
    generator = DomainGenerator(12, channels=8, init_std=0.1)
    x, noise = torch.randn(4, 12, 5, 5), torch.randn(3, 4, 2)
    full = generator(x, noise)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = generator(x, noise)
    assert half.dtype == torch.float32
    assert (half - full).norm() < 0.03 * full.norm()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bands": 0}, r"bands=0.*1"),
        ({"bands": 6, "channels": 0}, r"channels=0.*1"),
        ({"bands": 6, "noise_dim": 0}, r"noise_dim=0.*1"),
        ({"bands": 6, "init_std": 0.0}, r"init_std=0.0.*0"),
        ({"bands": 6, "init_std": float("nan")}, r"init_std=nan.*0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        DomainGenerator(**arguments)


def test_wrong_shapes_are_named() -> None:
    generator = DomainGenerator(6, channels=8)
    with pytest.raises(InvalidInputError, match=r"\(2, 5, 5, 5\).*\(B, 6, P, P\)"):
        generator(torch.zeros(2, 5, 5, 5))
    with pytest.raises(InvalidInputError, match=r"\(2, 2\).*\(3, 2, 2\)"):
        generator(torch.zeros(2, 6, 5, 5), torch.zeros(2, 2))
