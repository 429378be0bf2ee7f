"""Variable endmembers: the formula row by row, where they start, and what they can become."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sceneshift.networks.s2vnet.unmixing import EDGE
from sceneshift.networks.s2vnet.variability import EndmemberVariability

ROWS, ENDMEMBERS, Z = 14, 5, 3


def endmembers_of(seed: int = 0, rows: int = ROWS) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.02, 0.98, (rows, ENDMEMBERS)))


def part_of(*, released: bool = False, seed: int = 0, spread: float | None = None) -> EndmemberVariability:
    """In float64; with a spread, every parameter and running statistic is drawn again."""
    torch.manual_seed(seed)
    part = EndmemberVariability(ENDMEMBERS, z_dim=Z, released=released).double()
    if spread is not None:
        with torch.no_grad():
            for parameter in part.parameters():
                parameter.normal_(0.1, spread)
            for name, buffer in part.named_buffers():
                if name.endswith("running_var"):
                    buffer.uniform_(0.5, 2)
                elif name.endswith("running_mean"):
                    buffer.normal_()
    return part


def row_by_row(part: EndmemberVariability, endmembers: Tensor, noise: Tensor | None) -> dict[str, np.ndarray]:
    """What the part gives in eval mode, in numpy, one row after the other."""
    w = {name: value.numpy() for name, value in part.state_dict().items()}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        standardized = (x - w[f"{name}.running_mean"]) / np.sqrt(w[f"{name}.running_var"] + 1e-5)
        return standardized * w[f"{name}.weight"] + w[f"{name}.bias"]

    out: dict[str, list[np.ndarray]] = {"endmembers": [], "perturbation": [], "mean": [], "log_variance": []}
    for i, row in enumerate(endmembers.numpy()):
        hidden = np.maximum(norm("shared.1", linear("shared.0", row)), 0)
        mean, log_variance = linear("mean", hidden), linear("log_variance", hidden)
        z = mean if noise is None else mean + noise[i].numpy() * np.exp(log_variance) ** 0.5
        decoded = np.maximum(norm("decoder.1", linear("decoder.0", z)), 0)
        scaling = np.maximum(linear("scaling", decoded), 0)
        delta = norm("perturbation.1", linear("perturbation.0", row))
        values = np.log(row / (1 - row))
        if part.released:
            delta, values = np.maximum(delta, 0), row
        moved = [sum(scaling[ENDMEMBERS * q + r] * values[r] for r in range(ENDMEMBERS)) for q in range(ENDMEMBERS)]
        out["endmembers"].append(1 / (1 + np.exp(-(np.array(moved) + delta))))
        out["perturbation"].append(delta)
        out["mean"].append(mean)
        out["log_variance"].append(log_variance)
    return {name: np.array(rows) for name, rows in out.items()}


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_it_is_the_formula_row_by_row(released: bool, noisy: bool) -> None:
    part, endmembers = part_of(released=released, spread=0.3).eval(), endmembers_of()
    noise = torch.randn(ROWS, Z, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) if noisy else None
    with torch.no_grad():
        variation = part(endmembers, noise)
    for name, expected in row_by_row(part, endmembers, noise).items():
        np.testing.assert_allclose(getattr(variation, name), expected, rtol=1e-9, atol=1e-12, err_msg=name)


def test_noise_of_zero_is_the_mean_and_other_noise_is_not() -> None:
    part, endmembers = part_of(spread=0.3).eval(), endmembers_of()
    mean = part(endmembers).endmembers
    zero, one = torch.zeros(2, ROWS, Z, dtype=torch.float64)
    one = one + 1
    assert torch.equal(part(endmembers, zero).endmembers, mean)
    assert (part(endmembers, one).endmembers - mean).abs().max() > 0.01


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("training", [False, True])
def test_adjusted_endmembers_start_at_the_endmembers(seed: int, training: bool) -> None:
    endmembers = endmembers_of(seed, rows=400)
    noise = torch.randn(400, Z, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    moved = (part_of(seed=seed).train(training)(endmembers, noise).endmembers - endmembers).abs()
    assert moved.max() < 0.06
    assert 0 < moved.mean() < 0.01


def test_they_start_near_zero_and_one_where_the_endmembers_are() -> None:
    endmembers = torch.full((ROWS, ENDMEMBERS), 0.001, dtype=torch.float64)
    endmembers[:, ::2] = 0.999
    adjusted = part_of().eval()(endmembers).endmembers
    assert adjusted[:, 1::2].max() < 0.002
    assert adjusted[:, ::2].min() > 0.998


def test_they_can_be_led_anywhere_between_zero_and_one() -> None:
    part, endmembers = part_of(), endmembers_of().requires_grad_()
    target = endmembers_of(seed=1).detach()
    target[0], target[1] = 0.003, 0.997
    optimizer = torch.optim.Adam([*part.parameters(), endmembers], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        adjusted = part(endmembers).endmembers
        torch.nn.functional.binary_cross_entropy(adjusted, target).backward()
        optimizer.step()
        with torch.no_grad():
            endmembers.clamp_(EDGE, 1 - EDGE)
    assert (adjusted - target).abs().max() < 0.05
    assert adjusted[0].max() < 0.03
    assert adjusted[1].min() > 0.97


def test_the_perturbation_has_both_signs() -> None:
    delta = part_of()(endmembers_of()).perturbation
    assert delta.min() < -0.0005
    assert delta.max() > 0.0005


def test_the_released_form_can_not_fall_below_one_half() -> None:
    for seed in range(5):
        variation = part_of(released=True, seed=seed, spread=2.0)(endmembers_of(seed))
        assert variation.endmembers.min() >= 0.5
        assert variation.perturbation.min() == 0
    ours = [part_of(seed=seed, spread=2.0)(endmembers_of(seed)).endmembers.min() for seed in range(5)]
    assert max(ours) < 0.1


@pytest.mark.parametrize("training", [False, True])
def test_endmembers_at_the_edges_give_finite_values_and_gradients(training: bool) -> None:
    endmembers = torch.full((ROWS, ENDMEMBERS), EDGE, dtype=torch.float32)
    endmembers[:, 1] = 1 - EDGE
    endmembers.requires_grad_()
    part = part_of().float().train(training)
    variation = part(endmembers)
    loss = variation.endmembers.sum() + variation.perturbation.sum() + variation.log_variance.sum()
    loss.backward()
    assert torch.isfinite(variation.endmembers).all()
    assert all(torch.isfinite(p.grad).all() for p in (endmembers, *part.parameters()))
    assert endmembers.grad.abs().min() > 0  # an endmember that reached an edge can leave it


def test_the_latent_size_is_as_asked_for() -> None:
    variation = EndmemberVariability(ENDMEMBERS, z_dim=7)(endmembers_of().float())
    assert variation.mean.shape == variation.log_variance.shape == (ROWS, 7)
    assert variation.endmembers.shape == variation.perturbation.shape == (ROWS, ENDMEMBERS)
