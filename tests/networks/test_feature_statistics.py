"""Feature statistics, and maps that take another style."""

import pytest
import torch
from torch import Tensor

from sceneshift.networks.feature_statistics import FeatureStatistics, restyle


@pytest.fixture
def h() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    scale = torch.rand(4, 3, 1, 1, generator=generator) + 0.5
    return scale * torch.randn(4, 3, 5, 5, generator=generator) + scale


def test_statistics_over_pixels_and_over_channels(h: Tensor) -> None:
    for statistics, dim, shape in (
        (FeatureStatistics.over_pixels(h), (2, 3), (4, 3, 1, 1)),
        (FeatureStatistics.over_channels(h), (1,), (4, 1, 5, 5)),
    ):
        assert (statistics.mean.shape, statistics.std.shape) == (shape, shape)
        torch.testing.assert_close(statistics.mean, h.mean(dim, keepdim=True))
        torch.testing.assert_close(statistics.std, h.std(dim, correction=0, keepdim=True), rtol=1e-4, atol=1e-4)


def test_the_same_style_is_the_identity_bit_for_bit_and_of_a_constant_map_too(h: Tensor) -> None:
    for x in (h, torch.full_like(h, 3.0)):
        own = FeatureStatistics.over_pixels(x)
        assert torch.equal(restyle(x, own, own), x)


def test_a_map_takes_the_statistics_it_is_given(h: Tensor) -> None:
    own, rows = FeatureStatistics.over_pixels(h), torch.tensor([3, 2, 1, 0])
    got = FeatureStatistics.over_pixels(restyle(h, own, own.taken(rows)))
    torch.testing.assert_close(got.mean, own.mean[rows], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got.std, own.std[rows], rtol=1e-4, atol=1e-5)


def test_mixtures_run_from_one_to_the_other(h: Tensor) -> None:
    own = FeatureStatistics.over_pixels(h)
    other = own.taken(torch.tensor([1, 0, 3, 2]))
    weight = torch.tensor([1.0, 0.0, 0.25, 0.5]).view(4, 1, 1, 1)
    mixed = own.mixed(other, weight)
    for got, one, two in zip(mixed, own, other, strict=True):
        assert torch.equal(got[0], one[0])
        assert torch.equal(got[1], two[1])
        torch.testing.assert_close(got, weight * one + (1 - weight) * two)


def test_detached_statistics_have_no_gradient(h: Tensor) -> None:
    own = FeatureStatistics.over_pixels(h.requires_grad_())
    assert own.mean.requires_grad
    assert not any(part.requires_grad for part in own.detached())
