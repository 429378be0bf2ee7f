"""GroupDRO: the weights of the sources follow their losses, sum to 1, and are kept with the state."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.group_dro import GroupDROConfig
from sceneshift.methods.method import DomainBatch


def test_weights_are_multiplied_by_exponentials_and_divided_by_their_sum(small: Callable[..., Any]) -> None:
    method = small("group_dro", weights_step=0.5)
    losses = torch.tensor([0.2, 1.0, 0.4])
    first = losses.mul(0.5).exp() / 3
    method.weights = method.moved(losses)
    torch.testing.assert_close(method.weights, first / first.sum())
    second = method.weights * losses.mul(0.5).exp()
    torch.testing.assert_close(method.moved(losses), second / second.sum())


def test_the_weight_goes_to_the_worst_source_and_weights_sum_to_one(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor]
) -> None:
    method, (patches, labels) = small("group_dro", weights_step=0.1), batch
    alike = patches[:1].expand_as(patches)  # one patch with three labels can't be learned
    domains = [DomainBatch(patches, labels), DomainBatch(alike, labels)]
    shares = []
    for _ in range(25):
        method.step_on_domains(domains)
        assert method.weights.sum().item() == pytest.approx(1, abs=1e-6)
        shares.append(method.weights[1].item())
    assert shares[-1] > 0.6
    assert shares[-1] > shares[5] > 0.5


def test_what_is_minimized_is_the_weighted_loss(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    equal, plain = small("group_dro", weights_step=0.0), small("cross_entropy")
    terms = equal.step_on_domains([DomainBatch(*batch), DomainBatch(*batch)])
    twice = (torch.cat([batch[0], batch[0]]), torch.cat([batch[1], batch[1]]))
    assert terms["weighted_ce"].item() == pytest.approx(plain.training_step(*twice)["ce"].item(), rel=1e-6)
    for got, expected in zip(equal.network.parameters(), plain.network.parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_weights_are_restored(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    domains = [DomainBatch(*batch), DomainBatch(batch[0].flip(0), batch[1])]
    method, restored = small("group_dro"), small("group_dro", seed=5)
    assert method.state_dict()["source_weights"] is None
    restored.load_state_dict(method.state_dict())
    assert restored.weights is None
    method.step_on_domains(domains)
    buffer = io.BytesIO()
    torch.save(method.state_dict(), buffer)
    restored.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert torch.equal(restored.weights, method.weights)
    assert restored.step_on_domains(domains) == method.step_on_domains(domains)
    assert torch.equal(restored.weights, method.weights)


def test_a_negative_step_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="weights_step = -1"):
        GroupDROConfig(weights_step=-1.0)
