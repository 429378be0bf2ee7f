"""MixStyle: statistics between blocks are mixed in training alone, and not at all with weight 1 or probability 0."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.mixstyle import MixStyleConfig
from sceneshift.networks.feature_statistics import FeatureStatistics

BATCH = 12


@pytest.mark.parametrize("changes", [{"alpha": 0.0, "probability": 1.0}, {"probability": 0.0}])
def test_with_weight_one_or_never_it_is_cross_entropy(
    small: Callable[..., Any],
    weights_after: Callable[..., dict[str, Tensor]],
    batch: tuple[Tensor, Tensor],
    changes: dict[str, float],
) -> None:
    got, expected = (weights_after(method, batch) for method in (small("mixstyle", **changes), small("cross_entropy")))
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value)


def test_weight_one_is_the_identity_bit_for_bit(small: Callable[..., Any]) -> None:
    h = torch.randn(BATCH, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(small("mixstyle", probability=1.0).mixed(h, torch.ones(BATCH, 1, 1, 1)), h)


def test_weight_zero_exchanges_the_statistics(small: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    h = torch.randn(BATCH, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    h = h * torch.arange(1, BATCH + 1).view(-1, 1, 1, 1)
    other = torch.arange(BATCH).roll(1)
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: other)
    mixed = small("mixstyle", probability=1.0).mixed(h, torch.zeros(BATCH, 1, 1, 1))
    got, expected = FeatureStatistics.over_pixels(mixed), FeatureStatistics.over_pixels(h)
    torch.testing.assert_close(got.mean, expected.mean[other], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got.std, expected.std[other], rtol=1e-4, atol=1e-4)


def test_no_gradient_goes_through_the_statistics(small: Callable[..., Any]) -> None:
    h = torch.randn(BATCH, 8, 5, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    shares = torch.full((BATCH, 1, 1, 1), 0.5)
    mixed = small("mixstyle", probability=1.0).mixed(h, shares)
    (gradient,) = torch.autograd.grad(mixed.sum(), h)
    # Each value enters by its patch's and channel's constant scale alone.
    assert gradient.flatten(2).std(dim=2).max() < 1e-6


def test_each_place_has_its_own_weights_and_the_kept_classifier_none(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, plain, seen = small("mixstyle"), small("cross_entropy"), []
    monkeypatch.setattr(method, "mixed", lambda h, shares: seen.append((h.shape, shares)) or h)
    method.training_step(*batch)
    assert [shape for shape, _ in seen] == [(BATCH, 8, 5, 5)] * 2
    assert [shares.shape for _, shares in seen] == [(BATCH, 1, 1, 1)] * 2
    assert not torch.equal(seen[0][1], seen[1][1])
    method.classifier.eval()(batch[0])
    assert len(seen) == 2
    assert method.classifier.state_dict().keys() == plain.classifier.state_dict().keys()
    assert type(method.classifier) is type(plain.classifier)


@pytest.mark.parametrize("change", [{"alpha": -1.0}, {"probability": 1.5}])
def test_a_value_out_of_range_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(change))):
        MixStyleConfig(**change)
