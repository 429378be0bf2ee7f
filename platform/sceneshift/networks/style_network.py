"""SagNet's style network (Nam et al., CVPR 2021): a second end of a discriminator.

Shape letters: B batch, P patch size, K classes, d projection width.
"""

import torch
from torch import Tensor, nn

from sceneshift.networks.branches import max_pool
from sceneshift.networks.discriminator import DiscriminatorBlock, classification_head


class StyleNetwork(nn.Module):
    """What the content network is, a discriminator's last block and head, with weights of its own.

    Args:
        width: d.
        classes: K.
        patch_size: P.
    """

    def __init__(self, width: int, classes: int, *, patch_size: int) -> None:
        super().__init__()
        self.block = DiscriminatorBlock(width, width)
        self.blend = nn.Parameter(torch.zeros(2))
        self.head = classification_head(width, classes, patch_size=patch_size)

    def forward(self, h: Tensor) -> Tensor:
        """(B, d, P, P) to logits (B, K)."""
        logits: Tensor = self.head(max_pool(self.block(h, self.blend.softmax(0))))
        return logits
