"""A small convolutional network over the bands of one spectrum.

Shape letters: B batch, C bands, P patch size, K classes.
"""

import math

import torch
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError
from sceneshift.networks.spectral import centre_pixels

#: Places that are left of a spectrum after the pooling, at most: the paper has 30 to 40.
_POOLED = 40


class SpectralCNN(nn.Module):
    """`Conv1d -> max-pool -> tanh -> Linear -> tanh -> Linear`, on the spectrum of a patch's centre pixel.

    Hu, Huang, Wei, Zhang, Li, "Deep Convolutional Neural Networks for Hyperspectral Image Classification", Journal of
    Sensors 2015, doi 10.1155/2015/258619, from memory of the paper, section 3: 20 kernels as long as a ninth of the
    spectrum, a pooling to 30 to 40 places, and 100 hidden units.
    """

    def __init__(self, bands: int, classes: int, *, kernels: int = 20, hidden: int = 100) -> None:
        """Build the layers.

        Args:
            bands: C, at least 1.
            classes: K, at least 2.
            kernels: Number of kernels, at least 1.
            hidden: Number of hidden units, at least 1.

        Raises:
            InvalidInputError: an argument is out of the range above.
        """
        super().__init__()
        for name, value, least in (
            ("bands", bands, 1),
            ("classes", classes, 2),
            ("kernels", kernels, 1),
            ("hidden", hidden, 1),
        ):
            if value < least:
                raise InvalidInputError(f"got {name}={value}; expected at least {least}; pass {name}={least} or more")
        length = max(1, bands // 9)
        places = bands - length + 1
        pooled = math.ceil(places / _POOLED)
        self.convolution = nn.Conv1d(1, kernels, length)
        self.pool = nn.MaxPool1d(pooled, ceil_mode=True)
        self.hidden = nn.Linear(kernels * math.ceil(places / pooled), hidden)
        self.final = nn.Linear(hidden, classes)

    def forward(self, patches: Tensor) -> Tensor:
        """(B, C, P, P) to logits (B, K), at least float32, of the centre pixels."""
        h = self.pool(self.convolution(centre_pixels(patches)[:, None])).tanh()
        logits: Tensor = self.final(self.hidden(h.flatten(1)).tanh())
        return logits.to(torch.promote_types(logits.dtype, torch.float32))
