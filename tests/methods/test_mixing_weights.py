"""Mixing weights: what they are distributed like, and that they go on where they were."""

import pytest
import torch

from sceneshift.methods.mixing_weights import MixingWeights


def weights_of(alpha: float, shape: tuple[int, ...] = (4000,), seed: int = 0) -> MixingWeights:
    return MixingWeights(alpha, shape, seed=seed, device=torch.device("cpu"))


@pytest.mark.parametrize("alpha", [0.1, 1.0, 2.0])
def test_they_are_drawn_from_the_beta_distribution(alpha: float) -> None:
    weights = weights_of(alpha)
    weights.draw()
    assert (weights.values.shape, weights.values.dtype) == ((4000,), torch.float32)
    assert weights.values.min() >= 0
    assert weights.values.max() <= 1
    assert weights.values.mean().item() == pytest.approx(0.5, abs=0.03)
    assert weights.values.var().item() == pytest.approx(0.25 / (2 * alpha + 1), rel=0.1)


def test_without_alpha_nothing_is_mixed() -> None:
    weights = weights_of(0.0, (2, 3))
    weights.draw()
    assert torch.equal(weights.values, torch.ones(2, 3))


def test_they_follow_from_the_seed_and_go_on_from_a_state() -> None:
    one, same, other = weights_of(0.4), weights_of(0.4), weights_of(0.4, seed=1)
    for weights in (one, same, other):
        weights.draw()
    assert torch.equal(one.values, same.values)
    assert not torch.equal(one.values, other.values)
    other.load_state_dict(one.state_dict())
    for weights in (one, other):
        weights.draw()
    assert torch.equal(one.values, other.values)
