"""SagNet: each step moves what it is meant to move, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.sagnet import SagNetConfig
from sceneshift.networks.feature_statistics import FeatureStatistics


def parameters_of(method: Any) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": parameter.detach().clone()
        for part, module in method.modules().items()
        for name, parameter in module.named_parameters()
    }


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def test_the_content_step_moves_the_discriminator_alone(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor]
) -> None:
    method = small("sagnet")
    before = parameters_of(method)
    method.content_step(*batch)
    changed = moved(before, parameters_of(method))
    assert changed == {name for name in before if name.startswith("discriminator.")}


@pytest.mark.parametrize("lambda_adv", [0.1, 0.0])
def test_the_adversarial_step_moves_the_lower_norms_alone(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor], lambda_adv: float
) -> None:
    method = small("sagnet", lambda_adv=lambda_adv)
    method.content_step(*batch)  # Adam has moments of all the discriminator's parameters
    before = parameters_of(method)
    method.style_steps(*batch)
    in_discriminator = {name for name in moved(before, parameters_of(method)) if name.startswith("discriminator.")}
    norms = {
        f"discriminator.features.blocks.{block}.{norm}.{kind}"
        for block in (0, 1)
        for norm in ("involution.norm", "spectral_norm", "spatial_norm")
        for kind in ("weight", "bias")
    }
    assert in_discriminator == (norms if lambda_adv else set())
    assert any(name.startswith("style.") for name in moved(before, parameters_of(method)))


def test_the_adversarial_step_lowers_what_the_style_network_can_tell(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor]
) -> None:
    def adversarial_loss(**changes: float) -> float:
        method = small("sagnet", lr=0.003, **changes)
        losses = [method.training_step(*batch)["adversarial"].item() for _ in range(60)]
        return sum(losses[-20:]) / 20

    assert adversarial_loss(lambda_adv=10.0) < adversarial_loss(lambda_adv=0.0)


def test_a_randomized_style_keeps_the_content_and_a_randomized_content_the_style(
    small: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, other = small("sagnet"), torch.arange(6).roll(1)
    h = torch.randn(6, 8, 5, 5, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7).view(-1, 1, 1, 1)
    monkeypatch.setattr(method, "_others", lambda _: other)

    def content(x: Tensor) -> Tensor:
        statistics = FeatureStatistics.over_pixels(x)
        return (x - statistics.mean) / statistics.std

    styled, filled = method._randomized_style(h), method._randomized_content(h)
    torch.testing.assert_close(content(styled), content(h), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(content(filled), content(h[other]), rtol=1e-3, atol=1e-3)
    own, kept = FeatureStatistics.over_pixels(h), FeatureStatistics.over_pixels(filled)
    torch.testing.assert_close(kept.mean, own.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(kept.std, own.std, rtol=1e-3, atol=1e-3)
    new = FeatureStatistics.over_pixels(styled).std
    least, most = torch.minimum(own.std, own.std[other]), torch.maximum(own.std, own.std[other])
    assert ((new >= least - 1e-3) & (new <= most + 1e-3)).all()


def test_a_separable_batch_is_learned_by_the_kept_classifier(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor]
) -> None:
    method = small("sagnet")
    losses = [method.training_step(*batch)["ce"].item() for _ in range(60)]
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    with torch.no_grad():
        assert (method.classifier(batch[0]).argmax(dim=1) == batch[1]).float().mean() > 0.9


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="lambda_adv = -1"):
        SagNetConfig(lambda_adv=-1.0)
