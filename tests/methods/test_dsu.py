"""DSU: new statistics are drawn as widely as they scatter over the batch, and none where they don't."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.dsu import DSUConfig
from sceneshift.networks.feature_statistics import FeatureStatistics


def map_of(batch: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, 8, 5, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("changes", [{"uncertainty": 0.0, "probability": 1.0}, {"probability": 0.0}])
def test_without_uncertainty_or_never_it_is_cross_entropy(
    small: Callable[..., Any],
    weights_after: Callable[..., dict[str, Tensor]],
    batch: tuple[Tensor, Tensor],
    changes: dict[str, float],
) -> None:
    got, expected = (weights_after(method, batch) for method in (small("dsu", **changes), small("cross_entropy")))
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value)


def test_without_variance_over_the_batch_it_is_the_identity_and_has_a_gradient(small: Callable[..., Any]) -> None:
    method = small("dsu", probability=1.0)
    h = map_of(1).expand(4, -1, -1, -1).clone().requires_grad_()
    changed = method.uncertain(h)
    torch.testing.assert_close(changed, h)
    (gradient,) = torch.autograd.grad(changed.square().sum(), h)
    assert torch.isfinite(gradient).all()


def test_statistics_are_drawn_around_their_own_by_the_batch_s_scatter(small: Callable[..., Any]) -> None:
    h = map_of(4000) * (1 + torch.rand(4000, 1, 1, 1, generator=torch.Generator().manual_seed(1)))
    own = FeatureStatistics.over_pixels(h)
    new = FeatureStatistics.over_pixels(small("dsu", probability=1.0, uncertainty=2.0).uncertain(h))
    for drawn, values in ((new.mean, own.mean), (new.std, own.std)):
        moved = (drawn - values).squeeze()
        expected = 2 * values.std(dim=0, correction=0).squeeze()
        torch.testing.assert_close(moved.mean(dim=0), torch.zeros(8), atol=0.05, rtol=0)
        torch.testing.assert_close(moved.std(dim=0), expected, rtol=0.1, atol=0)


def test_it_acts_between_blocks_in_training_alone(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, seen = small("dsu"), []
    monkeypatch.setattr(method, "uncertain", lambda h: seen.append(tuple(h.shape)) or h)
    method.training_step(*batch)
    method.classifier.eval()(batch[0])
    assert seen == [(12, 8, 5, 5)] * 2


@pytest.mark.parametrize("change", [{"uncertainty": -1.0}, {"probability": -0.5}])
def test_a_value_out_of_range_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(change))):
        DSUConfig(**change)
