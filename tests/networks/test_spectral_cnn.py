"""The spectral network: the paper's layers, and any number of bands."""

import pytest
import torch
from torch.nn import functional

from sceneshift.errors import InvalidInputError
from sceneshift.networks.spectral_cnn import SpectralCNN


def test_layers_of_the_paper() -> None:
    """Of Indian Pines' 220 bands: 20 kernels of 24 bands, 197 places pooled by 5 to 40, 100 hidden units."""
    network = SpectralCNN(220, 8)
    assert network.convolution.weight.shape == (20, 1, 24)
    assert network.pool.kernel_size == 5
    assert network.hidden.weight.shape == (100, 20 * 40)
    assert network.final.weight.shape == (8, 100)


def test_it_is_the_formula_on_the_centre_pixel() -> None:
    torch.manual_seed(0)
    network, x = SpectralCNN(100, 4, kernels=3, hidden=7), torch.randn(5, 100, 7, 7)
    spectra = x[:, :, 3, 3]
    h = functional.conv1d(spectra[:, None], network.convolution.weight, network.convolution.bias)  # 90 places
    h = functional.max_pool1d(h, 3).tanh().flatten(1)
    expected = network.final(network.hidden(h).tanh())
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("bands", [1, 6, 48, 103, 437])
def test_any_number_of_bands(bands: int) -> None:
    torch.manual_seed(0)
    network = SpectralCNN(bands, 3)
    assert network(torch.randn(2, bands, 1, 1)).shape == (2, 3)


@pytest.mark.parametrize("change", [{"bands": 0}, {"classes": 1}, {"kernels": 0}, {"hidden": 0}])
def test_an_argument_out_of_range_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match=f"got {next(iter(change))}="):
        SpectralCNN(**{"bands": 9, "classes": 3, **change})
