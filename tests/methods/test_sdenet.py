"""SDEnet: the generator changes the patches, each step moves its own parts, and the two work against each other."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.sdenet import SDEnetConfig


def parts_moved(method: Any, step: Callable[[], Any]) -> set[str]:
    before = {name: [p.detach().clone() for p in module.parameters()] for name, module in method.modules().items()}
    step()
    return {
        name
        for name, module in method.modules().items()
        if any(not torch.equal(p, was) for p, was in zip(module.parameters(), before[name], strict=True))
    }


def test_each_step_moves_its_own_parts(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    method, (patches, labels) = small("sdenet"), batch
    extended = method.extended(patches)
    first = parts_moved(method, lambda: method.min_step(patches, labels, extended.detach()))
    assert first == {"discriminator", "projection"}
    assert parts_moved(method, lambda: method.max_step(patches, labels, extended)) == {"generator"}


def test_patches_of_the_extended_domain_are_others_in_each_draw(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor]
) -> None:
    method, (patches, _) = small("sdenet"), batch
    with torch.no_grad():
        first, second = method.extended(patches), method.extended(patches)
    assert first.shape == patches.shape
    assert not torch.allclose(first, patches, atol=0.1)
    assert not torch.allclose(first, second, atol=1e-4)


def test_the_generator_s_steps_lower_what_it_minimizes(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    method, (patches, labels) = small("sdenet", lr=0.003), batch
    for _ in range(10):
        method.training_step(patches, labels)
    losses = [method.max_step(patches, labels, method.extended(patches))["max"].item() for _ in range(40)]
    assert sum(losses[-10:]) < sum(losses[:10])


def test_the_generator_separates_what_the_discriminator_joins(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor]
) -> None:
    terms = small("sdenet", lambda_contrast=0.5, lambda_adv=2.0).training_step(*batch)
    value = {name: term.item() for name, term in terms.items()}
    assert list(value) == ["min", "ce", "contrast", "max", "extended_ce", "adversarial_contrast"]
    assert value["min"] == pytest.approx(value["ce"] + 0.5 * value["contrast"], rel=1e-5)
    assert value["max"] == pytest.approx(value["extended_ce"] - 2 * value["adversarial_contrast"], rel=1e-5)


def test_a_separable_batch_is_learned(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    method = small("sdenet")
    losses = [method.training_step(*batch)["ce"].item() for _ in range(40)]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


@pytest.mark.parametrize(
    "change", [{"temperature": 0.0}, {"lambda_adv": -1.0}, {"projection": 0}, {"generator_channels": 0}]
)
def test_a_value_out_of_range_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(change))):
        SDEnetConfig(**change)
