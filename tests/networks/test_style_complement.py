"""L2D's style-complement module, and its estimate of shared information against what is known of normal variables."""

import math

import pytest
import torch

from sceneshift.networks.style_complement import FeaturePredictor, StyleComplement, StyleTransformation, class_distance


@pytest.mark.parametrize("bands", [1, 6, 40])
@pytest.mark.parametrize("patch_size", [5, 9])
def test_any_patch_and_bands(bands: int, patch_size: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, bands, patch_size, patch_size)
    changed = StyleComplement(bands, patch_size=patch_size)(x, torch.tensor([1.0, 2.0, 3.0]))
    assert changed.shape == x.shape
    assert torch.isfinite(changed).all()


def test_one_transformation_alone_keeps_the_root_mean_square_and_weights_are_shares() -> None:
    torch.manual_seed(0)
    module, x = StyleComplement(12, patch_size=5), torch.randn(4, 12, 5, 5)
    parts = []
    for number in range(module.num_weights):
        weights = torch.zeros(module.num_weights)
        weights[number] = 3.0
        parts.append(module(x, weights))
        assert parts[-1].square().mean().item() == pytest.approx(x.square().mean().item(), rel=1e-5)
    blended = module(x, torch.tensor([2.0, 2.0, 4.0]))
    torch.testing.assert_close(blended, 0.25 * parts[0] + 0.25 * parts[1] + 0.5 * parts[2])


def test_a_transformation_is_a_convolution_there_and_back() -> None:
    torch.manual_seed(0)
    transform = StyleTransformation(8, patch_size=5, pixels=1, length=1)
    with torch.no_grad():
        for layer in (transform.down, transform.up):
            layer.weight.fill_(2.0)
            layer.bias.zero_()
        transform.gain.fill_(1.0)
        transform.offset.zero_()
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(transform(x), x)


def test_the_likelihood_is_that_of_a_normal_distribution() -> None:
    torch.manual_seed(0)
    predictor, z, changed = FeaturePredictor(5), torch.randn(7, 5), torch.randn(7, 5)
    mean, log_variance = predictor(z)
    normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = -normal.log_prob(changed).sum(dim=1).mean() - 5 * 0.5 * math.log(2 * math.pi)
    assert predictor.negative_log_likelihood(z, changed).item() == pytest.approx(expected.item(), rel=1e-5)


def test_shared_information_is_the_mean_over_pairs() -> None:
    torch.manual_seed(0)
    predictor, z, changed = FeaturePredictor(5), torch.randn(7, 5), torch.randn(7, 5)
    mean, log_variance = predictor(z)
    normal = torch.distributions.Normal(mean[:, None], (0.5 * log_variance).exp()[:, None])
    pairs = normal.log_prob(changed[None]).sum(dim=2)  # i predicts, j is seen
    expected = (pairs.diagonal() - pairs.mean(dim=1)).mean()
    assert predictor.shared_information(z, changed).item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_fitted_predictor_tells_shared_from_independent_features() -> None:
    torch.manual_seed(0)
    z, noise = torch.randn(256, 4), torch.randn(256, 4)

    def information(changed: torch.Tensor) -> float:
        predictor = FeaturePredictor(4)
        optimizer = torch.optim.Adam(predictor.parameters(), lr=0.01)
        for _ in range(150):
            optimizer.zero_grad()
            predictor.negative_log_likelihood(z, changed).backward()
            optimizer.step()
        return predictor.shared_information(z, changed).item()

    assert information(z + 0.5 * noise) > 2 > 1 > information(noise) > -0.5


def test_the_distance_of_classes_is_that_of_their_means() -> None:
    z = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]])
    changed = torch.tensor([[1.0, 0.0], [3.0, 0.0], [1.0, 4.0]])
    labels = torch.tensor([0, 0, 2])  # class 1 does not occur
    assert class_distance(z, changed, labels, classes=3).item() == pytest.approx((1 + 9) / 2)
    assert class_distance(z, z[[1, 0, 2]], labels, classes=3).item() == 0
