"""SagNet's style network is the end of a discriminator."""

import torch

from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.style_network import StyleNetwork


def test_it_computes_what_a_discriminator_does_after_two_blocks() -> None:
    torch.manual_seed(0)
    network, style = Discriminator(6, 3, patch_size=5, width=8).eval(), StyleNetwork(8, 3, patch_size=5).eval()
    style.block.load_state_dict(network.features.blocks[2].state_dict())
    style.head.load_state_dict(network.head.state_dict())
    with torch.no_grad():
        style.blend.copy_(torch.tensor([0.3, -0.4]))
        network.features.blend.copy_(style.blend)
        x = torch.randn(4, 6, 5, 5)
        got = style(network.features.run_blocks(x, end=2))
        assert torch.equal(got, network(x))
