"""The pixel-level classifier: one retentive block, which attends along rows and columns and decays with distance.

The block follows Fan et al., "RMT: Retentive Networks Meet Vision Transformers", CVPR 2024; the Gaussian weights follow
Ioannides et al., "Gaussian Adaptive Attention is All You Need", 2024; Han et al., TGRS 2025, combine them.

Shape letters: B batch, C bands, P patch, K classes, d width, M heads, h = d / M width of a head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError
from sceneshift.networks.batch_norm import BatchNorm2d
from sceneshift.networks.shared_batch import current_share, largest_of, summed

_INIT_STD = 0.02

#: Added to a variance before taking its root.
_EPSILON = 1e-5


@dataclass(frozen=True, kw_only=True)
class GaussianForm:
    """How Gaussian weights are computed; the defaults are ours, the others those of the authors' release.

    Args:
        over_batch: standardize and normalize along the batch instead of over a map's pixels.
        scaled_offset: `y = (x - mean - offset) / std`: offsets in a map's own units, as (from memory) in the cited
            attention, instead of in standard deviations.
    """

    over_batch: bool = False
    scaled_offset: bool = False


class ManhattanAttention(nn.Module):
    """Attention along the width, then along the height, each head with its own decay `gamma^|i - j|`.

    Scores are `q k / sqrt(h) + log(gamma) |i - j|` under a softmax, with `gamma_m = 1 - 2^(-2 - 4 m / M)` for head m. A
    depth-wise 3x3 convolution of the values is added before the last projection.
    """

    def __init__(self, width: int, heads: int, *, gaussian: GaussianForm | None = None) -> None:
        """Build the layers.

        Args:
            width: d, a multiple of heads.
            heads: M.
            gaussian: form of its :class:`GaussianWeights`.
        """
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.local = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.weights = GaussianWeights(heads, gaussian)
        self.project = nn.Linear(width, width)
        gamma = 1 - torch.exp2(-2.0 - 4.0 * torch.arange(heads) / heads)
        self.register_buffer("log_gamma", torch.log(gamma), persistent=False)
        self.log_gamma: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(B, P, P, d) to (B, P, P, d)."""
        batch, rows, columns, width = x.shape
        query, key, value = (
            layer(x).view(batch, rows, columns, self.heads, -1) for layer in (self.query, self.key, self.value)
        )
        # (B, row, M, column, h): pixels of a row attend to each other.
        across = self._attend(query.transpose(2, 3), key.transpose(2, 3), value.transpose(2, 3))
        # (B, column, M, row, h): then those of a column, on the result for the rows.
        down = self._attend(query.permute(0, 2, 3, 1, 4), key.permute(0, 2, 3, 1, 4), across.permute(0, 3, 2, 1, 4))
        attended = self.weights(down.permute(0, 2, 4, 3, 1))  # (B, M, h, P, P)
        local = self.local(value.reshape(x.shape).permute(0, 3, 1, 2))
        joined = attended.reshape(batch, width, rows, columns) + local
        projected: Tensor = self.project(joined.permute(0, 2, 3, 1))
        return projected

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        length, head_width = query.shape[-2:]
        positions = torch.arange(length, device=query.device)
        distance = (positions[:, None] - positions[None, :]).abs()
        decay = self.log_gamma[:, None, None] * distance
        scores = query @ key.transpose(-1, -2) / head_width**0.5 + decay
        attended: Tensor = scores.softmax(dim=-1) @ value
        return attended


class GaussianWeights(nn.Module):
    """Multiplies each map by a normalized Gaussian of its own standardized values.

    `w = exp(-(y - offset)^2 / (2 width^2))`, `y = (x - mean) / std`, `x w / sum(w)`, one learned offset and width per
    head. Mean, deviation and sum are taken over a map's pixels. In the authors' release they are taken over the batch,
    so that a patch's class depends on the rest of the batch; :class:`GaussianForm` has this and another difference.
    """

    def __init__(self, heads: int, form: GaussianForm | None = None) -> None:
        """Build the parameters: offsets at 0, widths at 1.

        Args:
            heads: M.
            form: how the weights are computed; None for the form above.
        """
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(heads))
        self.width = nn.Parameter(torch.ones(heads))
        self.form = form or GaussianForm()
        self.axes = (0,) if self.form.over_batch else (3, 4)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, M, h, P, P) to (B, M, h, P, P)."""
        variance, mean = self._moments(maps)
        scale = torch.rsqrt(variance + _EPSILON)
        offset, width = (p[:, None, None, None] for p in (self.offset, self.width))
        standardized = (maps - mean) * scale
        offset = offset * scale if self.form.scaled_offset else offset
        # If training moves a width through 0, the Gaussian has width sqrt(epsilon) instead of a division by zero.
        exponents = -(standardized - offset).square() / (2 * (width.square() + _EPSILON))
        # Under a softmax the largest exponent is 0: a sum of weights is never 0.
        return maps * self._softmax(exponents)

    def _moments(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        share = current_share()
        if share is None or not self.form.over_batch:
            return torch.var_mean(maps, dim=self.axes, keepdim=True, correction=0)
        mean = summed(maps.sum(dim=0, keepdim=True)) / share.total
        return summed((maps - mean).square().sum(dim=0, keepdim=True)) / share.total, mean

    def _softmax(self, exponents: Tensor) -> Tensor:
        largest = exponents.amax(dim=self.axes, keepdim=True).detach()
        if not self.form.over_batch:
            powers = torch.exp(exponents - largest)
            return powers / powers.sum(dim=self.axes, keepdim=True)
        powers = torch.exp(exponents - largest_of(largest, current_share()))
        return powers / summed(powers.sum(dim=0, keepdim=True))


class RetentiveBlock(nn.Module):
    """Layer norm, Manhattan attention, residual; layer norm, two-layer perceptron with GELU, residual."""

    def __init__(self, width: int, heads: int, *, gaussian: GaussianForm | None = None) -> None:
        """Build the layers.

        Args:
            width: d.
            heads: M.
            gaussian: form of its :class:`GaussianWeights`.
        """
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = ManhattanAttention(width, heads, gaussian=gaussian)
        self.perceptron_norm = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, P, P, d) to (B, P, P, d)."""
        x = x + self.attention(self.attention_norm(x))
        x = x + self.perceptron(self.perceptron_norm(x))
        return x


class PixelClassifier(nn.Module):
    """Two 3x3 convolutions, a retentive block, batch norm, mean over the patch, a linear layer."""

    def __init__(
        self, bands: int, classes: int, *, width: int = 32, heads: int = 4, gaussian: GaussianForm | None = None
    ) -> None:
        """Build the layers.

        Args:
            bands: C.
            classes: K.
            width: d.
            heads: M.
            gaussian: form of its :class:`GaussianWeights`.

        Raises:
            InvalidInputError: the width is odd or no multiple of the heads, or one of them is below 1.
        """
        super().__init__()
        if min(width, heads) < 1 or width % heads or width % 2:
            raise InvalidInputError(f"width {width} with {heads} heads; expected an even multiple of the heads.")
        self.embed = nn.Sequential(
            nn.Conv2d(bands, width // 2, 3, padding=1),
            BatchNorm2d(width // 2),
            nn.GELU(),
            nn.Conv2d(width // 2, width, 3, padding=1),
            BatchNorm2d(width),
        )
        self.block = RetentiveBlock(width, heads, gaussian=gaussian)
        self.norm = BatchNorm2d(width)
        self.head = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=_INIT_STD)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, P, P) to class features (B, K)."""
        tokens = self.block(self.embed(x).permute(0, 2, 3, 1))
        features: Tensor = self.head(self.norm(tokens.permute(0, 3, 1, 2)).mean(dim=(2, 3)))
        return features
