"""SDEnet's generator: morphology against scipy's, randomized statistics, and a gradient for every weight."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from sceneshift.networks.domain_expansion import DomainExpansion, Morphology


def test_morphology_is_scipy_s() -> None:
    torch.manual_seed(0)
    module, h = Morphology(2), torch.randn(3, 2, 5, 6)
    with torch.no_grad():
        module.dilation.copy_(torch.rand(2, 9))
        module.erosion.copy_(torch.rand(2, 9))
        got = module(h).numpy()
    for patch in range(3):
        for channel in range(2):
            x = h[patch, channel].numpy()
            elements = [p.detach()[channel].view(3, 3).numpy() for p in (module.dilation, module.erosion)]
            # scipy mirrors the element of a dilation.
            dilated = ndimage.grey_dilation(x, structure=elements[0][::-1, ::-1], mode="nearest")
            eroded = ndimage.grey_erosion(x, structure=elements[1], mode="nearest")
            np.testing.assert_allclose(got[patch, channel], dilated, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(got[patch, 2 + channel], eroded, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bands", [1, 40])
def test_every_weight_gets_a_gradient_and_patches_keep_their_shape(bands: int) -> None:
    torch.manual_seed(0)
    module, x = DomainExpansion(bands, channels=6), torch.randn(4, bands, 5, 5)
    out = module(x, torch.tensor([[1, 2, 3, 0], [2, 3, 0, 1]]))
    assert out.shape == x.shape
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


def test_both_branches_depend_on_their_partners() -> None:
    torch.manual_seed(0)
    module, x = DomainExpansion(8, channels=6), torch.randn(4, 8, 5, 5) * torch.arange(1, 5).view(4, 1, 1, 1)
    own = torch.arange(4).repeat(2, 1)
    with torch.no_grad():
        plain = module(x, own)
        for branch in (0, 1):
            partners = own.clone()
            partners[branch] = own[branch].flip(0)
            assert not torch.allclose(module(x, partners), plain, atol=1e-4)
        # With all of its own statistics kept, a patch depends on no partner.
        module.kept.fill_(40.0)
        torch.testing.assert_close(module(x, own.flip(1)), plain, rtol=1e-4, atol=1e-5)
