"""S2AMSnet's training step on a CUDA device."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sceneshift.methods.augmentations import Draws
from sceneshift.methods.s2amsnet import S2AMSnet, S2AMSnetConfig
from sceneshift.scenes.patches import PatchSampler

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.usefixtures("no_tf32"),
]

DEVICE = "cuda"
CONFIG = S2AMSnetConfig(patch_size=7, batch_size=16, width=16, generator_channels=6, init_std=0.2)
BANDS, CLASSES = 104, 3


def build(device: str, **changes: Any) -> S2AMSnet:
    return S2AMSnet(replace(CONFIG, **changes), bands=BANDS, classes=CLASSES, seed=0, device=torch.device(device))


def step(device: str, dtype: torch.dtype, **changes: Any) -> tuple[dict[str, Tensor], dict[str, list[Tensor]]]:
    """Loss terms and gradients of a step in which any device draws the same noise."""
    method = build(device, **changes)
    for module in method.modules().values():
        module.to(dtype)
    noise, batch = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    method._draw_noise = lambda count: torch.randn(3, count, CONFIG.noise_dim, generator=noise).to(device)
    patches = torch.randn(16, BANDS, 7, 7, generator=batch).to(device, dtype)
    labels = torch.randint(0, CLASSES, (16,), generator=batch).to(device)
    terms = method.training_step(patches, labels)
    gradients = {name: [p.grad for p in module.parameters()] for name, module in method.modules().items()}
    for each in (*terms.values(), *itertools.chain(*gradients.values())):
        assert each.device.type == device
    return (
        {name: value.cpu().double() for name, value in terms.items()},
        {name: [grad.cpu().double() for grad in grads] for name, grads in gradients.items()},
    )


@pytest.mark.parametrize("changes", [{}, {"lambda_src": 1.0, "renormalize": True}])
def test_a_step_is_that_of_a_cpu(changes: dict[str, Any]) -> None:
    (terms, grads), (expected, expected_grads) = (step(name, torch.float64, **changes) for name in (DEVICE, "cpu"))
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-7, abs=1e-9), name
    for name, wanted in expected_grads.items():
        largest = max(want.norm() for want in wanted)
        for got, want in zip(grads[name], wanted, strict=True):
            assert (got - want).norm() <= 1e-6 * (want.norm() + 1e-2 * largest), name


def test_in_float32_its_losses_are_those_of_a_cpu() -> None:
    (terms, grads), (expected, expected_grads) = (step(name, torch.float32) for name in (DEVICE, "cpu"))
    for name in ("min", "ce", "kl", "mi"):
        assert terms[name].item() == pytest.approx(expected[name].item(), rel=5e-3), name
    # The other step looks with weights moved by Adam, which makes a full step of a gradient that is all rounding.
    wanted = expected_grads["discriminator"]
    largest = max(want.norm() for want in wanted)
    for got, want in zip(grads["discriminator"], wanted, strict=True):
        assert (got - want).norm() <= 5e-3 * (want.norm() + 1e-2 * largest)


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("changes", [{}, {"lambda_src": 1.0, "renormalize": True}, {"lambda_mi": 0.0}, "released"])
def test_the_host_does_not_wait_within_a_step(changes: Any, bfloat16: bool) -> None:
    if changes == "released":
        preset = S2AMSnetConfig.released()
        names = ("mi_normalize", "kl_of_probabilities", "discriminator_steps_twice", "encoder_accumulates")
        changes = {name: getattr(preset, name) for name in names}
    method = build(DEVICE, **changes)
    cube = np.random.default_rng(0).normal(size=(12, 11, BANDS)).astype(np.float32)
    sampler = PatchSampler(cube, patch_size=CONFIG.patch_size, device=DEVICE)
    draws = torch.Generator(DEVICE).manual_seed(0)
    pixels = torch.arange(16, device=DEVICE)
    labels = pixels % CLASSES

    def one_step() -> dict[str, Tensor]:
        patches = sampler.patches(pixels)
        for change in CONFIG.augmentations(rms=1.0):
            patches = change(patches, Draws(generator=draws, batch=len(pixels)))
        with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=bfloat16):
            return method.training_step(patches, labels)

    one_step()  # what is made once and kept may wait
    with waiting_is_an_error():
        terms = [one_step() for _ in range(2)]
    assert all(value.isfinite() for each in terms for value in each.values())
    assert all(p.isfinite().all() for module in method.modules().values() for p in module.parameters())
