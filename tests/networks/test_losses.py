"""The losses against the same formulas in numpy."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sceneshift.errors import InvalidInputError
from sceneshift.networks.losses import info_nce, kl_divergence, mutual_information, released_kl, supervised_contrast


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _info_nce(query: np.ndarray, key: np.ndarray, temperature: float, normalize: bool) -> float:
    z = np.concatenate([query, key])
    if normalize:
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
    batch = len(query)
    total = 0.0
    for row in range(2 * batch):
        partner = (row + batch) % (2 * batch)
        positive = z[row] @ z[partner] / temperature
        negatives = [z[row] @ z[k] / temperature for k in range(2 * batch) if k not in (row, partner)]
        logits = np.array([positive, *negatives])
        total += logits.max() + math.log(np.exp(logits - logits.max()).sum()) - positive
    return total / (2 * batch)


def test_kl_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    p_logits, q_logits = rng.normal(size=(2, 5, 4)) * 2
    p, q = _softmax(p_logits), _softmax(q_logits)
    expected = (p * np.log(p / q)).sum() / 5
    forth = kl_divergence(torch.from_numpy(p_logits), torch.from_numpy(q_logits)).item()
    back = kl_divergence(torch.from_numpy(q_logits), torch.from_numpy(p_logits)).item()
    assert forth == pytest.approx(expected, rel=1e-10)
    assert back != pytest.approx(expected)


def test_kl_is_never_negative_and_zero_for_equal_inputs() -> None:
    torch.manual_seed(0)
    for scale in (0.1, 1.0, 10.0):
        p_logits, q_logits = scale * torch.randn(2, 6, 5)
        assert kl_divergence(p_logits, q_logits) > 0
        assert kl_divergence(p_logits, p_logits) == 0
        assert kl_divergence(p_logits, p_logits + 3).abs() < 1e-5


def test_kl_of_certain_logits_and_its_gradient_stay_finite() -> None:
    p_logits = torch.tensor([[500.0, -500.0]], requires_grad=True)
    q_logits = torch.tensor([[-500.0, 500.0]], requires_grad=True)
    for loss in (kl_divergence, released_kl):
        grads = torch.autograd.grad(loss(p_logits, q_logits), (p_logits, q_logits))
        assert all(torch.isfinite(grad).all() for grad in grads)
    assert kl_divergence(p_logits, q_logits).item() == pytest.approx(1000)


def test_released_kl_is_the_formula_and_negative_for_equal_inputs() -> None:
    rng = np.random.default_rng(1)
    p_logits, q_logits = rng.normal(size=(2, 5, 4)) * 2
    p, q = _softmax(p_logits), _softmax(q_logits)
    expected = (q * (np.log(q) - p)).mean()
    actual = released_kl(torch.from_numpy(p_logits), torch.from_numpy(q_logits)).item()
    assert actual == pytest.approx(expected, rel=1e-10)
    assert released_kl(torch.from_numpy(p_logits), torch.from_numpy(p_logits)) < 0


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_info_nce_is_the_formula(normalize: bool, batch: int) -> None:
    rng = np.random.default_rng(batch)
    query, key = rng.normal(size=(2, batch, 3))
    expected = _info_nce(query, key, 0.3, normalize)
    actual = info_nce(torch.from_numpy(query), torch.from_numpy(key), temperature=0.3, normalize=normalize)
    assert actual.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_info_nce_rewards_the_right_partner() -> None:
    rows = torch.eye(4, requires_grad=True)
    right = info_nce(rows, torch.eye(4), temperature=0.07, normalize=True)
    wrong = info_nce(rows, torch.eye(4).roll(1, 0), temperature=0.07, normalize=True)
    assert right < 1e-4
    assert wrong > 10
    (grad,) = torch.autograd.grad(wrong, rows)
    assert torch.isfinite(grad).all()
    assert grad.any()


def test_normalized_rows_do_not_feel_their_scale() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 4, 6)
    plain = info_nce(query, key, temperature=0.5, normalize=True)
    torch.testing.assert_close(info_nce(100 * query, 7 * key, temperature=0.5, normalize=True), plain)
    assert info_nce(100 * query, 7 * key, temperature=0.5, normalize=False) > 10 * plain


def test_losses_stay_float32_under_autocast() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = info_nce(a, b, temperature=0.07, normalize=True), kl_divergence(a, b), released_kl(a, b)
    outside = info_nce(a, b, temperature=0.07, normalize=True), kl_divergence(a, b), released_kl(a, b)
    assert all(torch.equal(x, y) for x, y in zip(inside, outside, strict=True))
    assert kl_divergence(a.bfloat16(), b.bfloat16()).dtype == torch.float32
    assert info_nce(a.bfloat16(), b.bfloat16(), temperature=1, normalize=True).dtype == torch.float32


@pytest.mark.parametrize("normalize", [False, True])
def test_mutual_information_is_the_mean_over_depths(normalize: bool) -> None:
    torch.manual_seed(0)
    source = [torch.randn(3, n) for n in (2, 5, 9)]
    generated = [torch.randn(3, n) for n in (2, 5, 9)]
    terms = [
        _info_nce(xhat.double().numpy(), x.double().numpy(), 0.4, normalize)
        for x, xhat in zip(source, generated, strict=True)
    ]
    actual = mutual_information(source, generated, temperature=0.4, normalize=normalize)
    assert actual.item() == pytest.approx(sum(terms) / 3, rel=1e-5)


def test_wrong_inputs_are_named() -> None:
    a = torch.zeros(2, 3)
    with pytest.raises(InvalidInputError, match=r"p_logits.*\(2, 3\).*q_logits.*2.*4"):
        kl_divergence(a, torch.zeros(2, 4))
    with pytest.raises(InvalidInputError, match=r"\(2, 3\).*\(3, 3\)"):
        released_kl(a, torch.zeros(3, 3))
    with pytest.raises(InvalidInputError, match=r"\(2, 3, 1\)"):
        info_nce(a[..., None], a[..., None], temperature=1, normalize=True)
    with pytest.raises(InvalidInputError, match=r"temperature=0.*0"):
        info_nce(a, a, temperature=0, normalize=True)
    with pytest.raises(InvalidInputError, match=r"1.*2 depths"):
        mutual_information([a], [a, a], temperature=1, normalize=True)


class TestSupervisedContrast:
    def test_it_is_the_sum_over_pairs(self) -> None:
        features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        labels = torch.tensor([0, 0, 1, 1, 1, 2])
        rows = F.normalize(features, dim=1)
        losses = []
        for i in range(5):  # the last row has no other of its class
            others = [j for j in range(6) if j != i]
            similarity = {j: (rows[i] @ rows[j]).item() / 0.2 for j in others}
            total = sum(math.exp(value) for value in similarity.values())
            terms = [math.log(total) - similarity[j] for j in others if labels[j] == labels[i]]
            losses.append(sum(terms) / len(terms))
        got = supervised_contrast(features, labels, temperature=0.2)
        assert got.item() == pytest.approx(sum(losses) / len(losses), rel=1e-10)

    def test_it_is_less_where_classes_are_together(self) -> None:
        together = torch.eye(3).repeat_interleave(2, dim=0)
        labels = torch.arange(3).repeat_interleave(2)
        losses = [supervised_contrast(together, of, temperature=0.1).item() for of in (labels, labels.roll(1))]
        assert 0 <= losses[0] < 0.01 < losses[1]

    def test_without_two_rows_of_a_class_it_is_zero_with_a_zero_gradient(self) -> None:
        features = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
        loss = supervised_contrast(features, torch.arange(3), temperature=0.1)
        loss.backward()
        assert loss.item() == 0
        assert features.grad is not None
        assert torch.isfinite(features.grad).all()

    @pytest.mark.parametrize(
        ("features", "labels", "temperature"),
        [
            (torch.ones(3), torch.ones(3), 0.1),
            (torch.ones(3, 2), torch.ones(2), 0.1),
            (torch.ones(3, 2), torch.ones(3), 0.0),
        ],
    )
    def test_bad_input_is_refused(self, features: torch.Tensor, labels: torch.Tensor, temperature: float) -> None:
        with pytest.raises(InvalidInputError):
            supervised_contrast(features, labels, temperature=temperature)
