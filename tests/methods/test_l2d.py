"""L2D: the module changes the patches, each step moves its own parts, and the module works against the network."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.l2d import L2DConfig


def parts_moved(method: Any, step: Callable[[], Any]) -> set[str]:
    before = {name: [p.detach().clone() for p in module.parameters()] for name, module in method.modules().items()}
    step()
    return {
        name
        for name, module in method.modules().items()
        if any(not torch.equal(p, was) for p, was in zip(module.parameters(), before[name], strict=True))
    }


def test_each_step_moves_its_own_parts(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    method = small("l2d")
    changed = method.changed(batch[0])
    first = parts_moved(method, lambda: method.network_step(*batch, changed.detach()))
    assert first == {"discriminator", "predictor"}
    assert parts_moved(method, lambda: method.complement_step(*batch, changed)) == {"complement"}


def test_patches_are_changed_anew_in_each_draw_and_keep_their_scale(
    small: Callable[..., Any], batch: tuple[Tensor, Tensor]
) -> None:
    method, (patches, _) = small("l2d"), batch
    with torch.no_grad():
        first, second = method.changed(patches), method.changed(patches)
    assert first.shape == patches.shape
    assert not torch.allclose(first, patches, atol=0.05)
    assert not torch.allclose(first, second, atol=1e-3)
    assert first.square().mean() <= patches.square().mean() * 1.01


def test_the_module_s_steps_lower_what_it_minimizes(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    method = small("l2d", lr=0.003)
    for _ in range(20):
        method.network_step(*batch, method.changed(batch[0]).detach())
    losses = [method.complement_step(*batch, method.changed(batch[0]))["max"].item() for _ in range(60)]
    assert sum(losses[-15:]) < sum(losses[:15])


def test_terms_are_weighted_as_configured(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    terms = small("l2d", lambda_contrast=0.5, lambda_mi=2.0, lambda_class=3.0).training_step(*batch)
    assert list(terms) == ["min", "ce", "contrast", "prediction", "max", "shared", "class_distance"]
    value = {name: term.item() for name, term in terms.items()}
    assert value["min"] == pytest.approx(value["ce"] + 0.5 * value["contrast"], rel=1e-5)
    assert value["max"] == pytest.approx(2 * value["shared"] + 3 * value["class_distance"], rel=1e-4, abs=1e-6)


def test_a_separable_batch_is_learned(small: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    method = small("l2d")
    losses = [method.training_step(*batch)["ce"].item() for _ in range(40)]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"lambda_mi": -1.0}, {"lambda_class": -1.0}])
def test_a_value_out_of_range_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(change))):
        L2DConfig(**change)
