"""Deep CORAL: the distance between sources, and that it is zero of equal ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.deep_coral import DeepCoralConfig, coral_distance
from sceneshift.methods.method import DomainBatch


def features(seed: int) -> Tensor:
    return torch.randn(20, 4, generator=torch.Generator().manual_seed(seed))


def test_the_distance_of_equal_batches_is_zero() -> None:
    one = features(0)
    assert coral_distance(one, one).item() == 0
    assert coral_distance(one, one.flip(0)).item() == pytest.approx(0, abs=1e-12)


def test_the_distance_is_that_of_means_and_covariances() -> None:
    one, other = features(0), 2 * features(1) + 1
    means = (one.numpy().mean(axis=0) - other.numpy().mean(axis=0)) ** 2
    covariances = (np.cov(one.numpy().T) - np.cov(other.numpy().T)) ** 2
    assert coral_distance(one, other).item() == pytest.approx(means.mean() + covariances.mean(), rel=1e-5)


def test_of_one_source_and_of_equal_sources_it_is_cross_entropy(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor]
) -> None:
    method, plain = small("deep_coral"), small("cross_entropy")
    assert method.losses(*batch)["coral"].item() == 0
    twice = (torch.cat([batch[0], batch[0]]), torch.cat([batch[1], batch[1]]))
    terms = method.domain_losses([DomainBatch(*batch), DomainBatch(*batch)])
    assert terms["coral"].item() == pytest.approx(0, abs=1e-10)
    assert terms["ce"].item() == pytest.approx(plain.losses(*twice)["ce"].item(), rel=1e-6)


def test_the_penalty_draws_sources_together(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    shifted = DomainBatch(1.5 * batch[0] + 0.5, batch[1])

    def last_distance(weight: float) -> float:
        method = small("deep_coral", lambda_coral=weight, lr=0.003)
        return [method.step_on_domains([DomainBatch(*batch), shifted])["coral"].item() for _ in range(30)][-1]

    assert last_distance(10.0) < 0.5 * last_distance(0.0)


def test_pairs_of_three_sources_are_averaged(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    method = small("deep_coral")
    domains = [DomainBatch(batch[0] + shift, batch[1]) for shift in (0.0, 0.2, 0.7)]
    terms = method.domain_losses(domains)
    with torch.no_grad():
        chunks = method.network.embed(torch.cat([domain.patches for domain in domains])).chunk(3)
    expected = [coral_distance(chunks[i], chunks[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert terms["coral"].item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-4)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="lambda_coral = -1"):
        DeepCoralConfig(lambda_coral=-1.0)
