"""Mixup: mixed patches, the mixed loss, and cross-entropy where nothing is mixed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.methods.mixup import MixupConfig


def test_with_a_share_of_one_it_is_cross_entropy(
    small: Callable[..., Any], weights_after: Callable[..., dict[str, Tensor]], batch: tuple[Tensor, Tensor]
) -> None:
    got, expected = (weights_after(method, batch) for method in (small("mixup", alpha=0.0), small("cross_entropy")))
    assert all(torch.equal(got[name], value) for name, value in expected.items())


def test_patches_and_losses_are_mixed_with_one_share(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, (patches, labels) = small("mixup"), batch
    method._share.values = torch.tensor(0.7)
    other = torch.arange(12).roll(1)
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: other)
    logits = method.network(0.7 * patches + 0.3 * patches[other])
    soft = 0.7 * functional.one_hot(labels, 3) + 0.3 * functional.one_hot(labels[other], 3)
    expected = -(soft * logits.log_softmax(dim=1)).sum(dim=1).mean()
    assert method.losses(patches, labels)["ce"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_every_step_draws_a_share(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    method, shares = small("mixup", alpha=1.0), set()
    for _ in range(5):
        method.training_step(*batch)
        shares.add(method._share.values.item())
    assert len(shares) == 5


def test_a_separable_batch_is_learned(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    method = small("mixup")
    losses = [method.training_step(*batch)["ce"].item() for _ in range(40)]
    assert losses[0] > 0.8
    assert sum(losses[-10:]) / 10 < 0.5


def test_a_negative_alpha_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="alpha = "):
        MixupConfig(alpha=-0.1)
