"""What several tests of networks share."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from sceneshift.networks.discriminator import Discriminator


@pytest.fixture
def discriminator() -> Callable[..., Discriminator]:
    """Build a float64 network whose weights, biases, branch weights and statistics are away from where they start."""

    def build(bands: int, patch_size: int, width: int, *, classes: int = 4) -> Discriminator:
        torch.manual_seed(bands + patch_size)
        network = Discriminator(bands, classes, patch_size=patch_size, width=width).double().eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_(0, 0.5)
                    module.running_var.uniform_(0.5, 2)
        return network

    return build
