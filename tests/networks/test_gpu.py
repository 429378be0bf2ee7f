"""The networks on a CUDA device: the numbers of a CPU, where kernels of ours compute them."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.encoder import ContentEncoder
from sceneshift.networks.generator import DomainGenerator
from sceneshift.networks.involution import Involution

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.usefixtures("no_tf32"),
]

DEVICE = "cuda"
#: Network, and the shapes of what it is given.
CASES: dict[str, tuple[Callable[[], nn.Module], list[tuple[int, ...]]]] = {
    "involution": (lambda: Involution(24), [(8, 24, 7, 7)]),
    "involution, channels left over": (lambda: Involution(64), [(8, 64, 7, 7)]),
    "involution, one group": (lambda: Involution(5), [(8, 5, 5, 5)]),
    "discriminator": (lambda: Discriminator(20, 4, patch_size=7, width=32), [(16, 20, 7, 7)]),
    "encoder": (lambda: ContentEncoder(20), [(8, 20, 7, 7)]),
    "encoder, many bands": (lambda: ContentEncoder(120), [(8, 120, 7, 7)]),
    "generator": (lambda: DomainGenerator(20, channels=8, init_std=0.2), [(16, 20, 7, 7), (3, 16, 2)]),
    "generator, renormalized": (
        lambda: DomainGenerator(20, channels=8, init_std=0.2, renormalize=True),
        [(16, 20, 7, 7), (3, 16, 2)],
    ),
}


def outcome(network: nn.Module, given: list[Tensor], device: str, dtype: torch.dtype) -> list[Tensor]:
    """Outputs, gradients of inputs and parameters, and running statistics."""
    network = copy.deepcopy(network).to(device, dtype)
    inputs = [each.to(device, dtype).requires_grad_() for each in given]
    out = network(*inputs)
    outs = out if isinstance(out, list) else [out]
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(each.shape, generator=generator, dtype=torch.float64).to(each) for each in outs]
    loss = sum((each * weight).sum() for each, weight in zip(outs, weights, strict=True))
    grads = torch.autograd.grad(loss, [*inputs, *network.parameters()])
    assert all(each.device.type == device for each in (*outs, *grads))
    assert all(each.dtype == dtype for each in (*outs, *grads))
    return [each.detach().cpu().double() for each in (*outs, *grads, *network.buffers())]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-3)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", list(CASES))
def test_values_and_gradients_are_those_of_a_cpu(
    name: str, training: bool, dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    build, shapes = CASES[name]
    network = build().train(training)
    given = [torch.randn(shape) for shape in shapes]
    there, here = (outcome(network, given, device, dtype) for device in (DEVICE, "cpu"))
    largest = max(want.norm() for want in here)
    for got, want in zip(there, here, strict=True):
        # A bias in front of a norm has no gradient but rounding.
        assert (got - want).norm() <= tolerance * (want.norm() + 1e-2 * largest)


@pytest.mark.parametrize("name", list(CASES))
def test_under_autocast_values_are_close_and_gradients_finite(name: str) -> None:
    torch.manual_seed(0)
    build, shapes = CASES[name]
    network = build().to(DEVICE)
    inputs = [torch.randn(shape, device=DEVICE, requires_grad=True) for shape in shapes]
    full = network(*inputs)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        half = network(*inputs)
    pairs = list(zip(half, full, strict=True)) if isinstance(half, list) else [(half, full)]
    for got, want in pairs:
        assert (got.float() - want).norm() < 0.1 * want.norm()
    grads = torch.autograd.grad(sum(got.float().square().sum() for got, _ in pairs), [*inputs, *network.parameters()])
    assert all(grad.dtype == torch.float32 and grad.isfinite().all() for grad in grads)
