"""S2AMSnet's semantic consistency discriminator F, the network that is kept for prediction.

Shape letters: B batch, C bands, P patch, K classes, d projection width.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError
from sceneshift.networks.batch_norm import BatchNorm2d
from sceneshift.networks.branches import blend_branches, max_pool
from sceneshift.networks.involution import Involution, computed_in

#: Blocks of a discriminator.
NUM_BLOCKS = 3

#: What a method does in training to the map (B, d, P, P) between two blocks: a map of the same shape.
BetweenBlocks: TypeAlias = Callable[[Tensor], Tensor]


class DiscriminatorBlock(nn.Module):
    """`w0 * ReLU(BN(Conv1x1(Involution(h)))) + w1 * ReLU(BN(Conv3x3(h)))`, convolutions without bias.

    Chen et al., TGRS 2024.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the layers.

        Args:
            in_channels: channels of the input map.
            out_channels: channels of the output map.
        """
        super().__init__()
        self.involution = Involution(in_channels)
        self.spectral = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.spectral_norm = BatchNorm2d(out_channels)
        self.spatial = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.spatial_norm = BatchNorm2d(out_channels)

    def forward(self, h: Tensor, weights: Tensor) -> Tensor:
        """Blend the spectral and the spatial branch.

        Args:
            h: (B, in_channels, P, P).
            weights: (2,), w0 and w1, non-negative.

        Returns:
            (B, out_channels, P, P).
        """
        spectral = self.spectral(self.involution(h))
        return blend_branches(spectral, self.spectral_norm, self.spatial(h), self.spatial_norm, weights)


class SpectralSpatialFeatures(nn.Module):
    """Three discriminator blocks that share one pair of branch weights, then a 2x2 max-pool.

    The pair is the softmax of two learned scalars that start equal. Without one of the branches it is 1 and 0: that
    branch is computed all the same and weighs nothing.
    """

    def __init__(
        self, bands: int, width: int, *, has_spectral_branch: bool = True, has_spatial_branch: bool = True
    ) -> None:
        """Build the layers.

        Args:
            bands: C.
            width: d.
            has_spectral_branch: whether the spectral branch has a weight.
            has_spatial_branch: whether the spatial branch has a weight.
        """
        super().__init__()
        self._has_both_branches = has_spectral_branch and has_spatial_branch
        fixed = torch.tensor([has_spectral_branch, has_spatial_branch], dtype=torch.float32)
        self.register_buffer("_fixed_weights", fixed, persistent=False)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(bands if index == 0 else width, width) for index in range(NUM_BLOCKS)
        )
        self.blend = nn.Parameter(torch.zeros(2))

    def branch_weights(self) -> Tensor:
        """Weights of the spectral and the spatial branch, (2,), non-negative, summing to one."""
        if self._has_both_branches:
            return self.blend.softmax(0)
        assert isinstance(self._fixed_weights, Tensor)
        return self._fixed_weights

    def forward(self, x: Tensor, between: BetweenBlocks | None = None) -> Tensor:
        """(B, C, P, P) to (B, d, P // 2, P // 2); ``between`` changes the map before the second and the third block."""
        return max_pool(self.run_blocks(x, between=between))

    def run_blocks(
        self, h: Tensor, *, first: int = 0, end: int = NUM_BLOCKS, between: BetweenBlocks | None = None
    ) -> Tensor:
        """Run some of the blocks.

        Args:
            h: The input of block ``first``: (B, C, P, P) of the first, (B, d, P, P) of the others.
            first: Index of the first block that is run.
            end: Index after the last.
            between: Changes the map before every block but the first of the network; None leaves it.

        Returns:
            (B, d, P, P).
        """
        weights = self.branch_weights()
        for index in range(first, end):
            block = self.blocks[index]
            if index == 0:
                # Spectra often differ by less than bfloat16's 0.4 %: the block that reads them stays float32.
                with torch.autocast(h.device.type, enabled=False):
                    h = block(computed_in(h), weights)
                h = computed_in(h)
            else:
                h = block(h if between is None else between(h), weights)
        return h


class Discriminator(nn.Module):
    """Patch classifier: spectral-spatial features, then `flatten -> Linear -> ReLU -> Linear`.

    `features` maps (B, C, P, P) to (B, d, P // 2, P // 2), `head` maps that to the logits (B, K). In eval
    mode a patch's logits depend only on that patch. Chen et al., TGRS 2024.
    """

    def __init__(
        self,
        bands: int,
        classes: int,
        *,
        patch_size: int,
        width: int = 128,
        has_spectral_branch: bool = True,
        has_spatial_branch: bool = True,
    ) -> None:
        """Build the layers.

        Args:
            bands: C, at least 1.
            classes: K, at least 2.
            patch_size: P, odd, at least 5.
            width: d, at least 1.
            has_spectral_branch: whether its blocks have their spectral branch.
            has_spatial_branch: whether its blocks have their spatial branch; at least one of the two.

        Raises:
            InvalidInputError: an argument is out of the range above.
        """
        super().__init__()
        if bands < 1:
            raise InvalidInputError(f"got bands={bands}; expected at least 1; pass the scene's number of bands")
        if classes < 2:
            raise InvalidInputError(f"got classes={classes}; expected at least 2; pick a pair that shares two classes")
        if patch_size < 5 or patch_size % 2 == 0:
            raise InvalidInputError(
                f"got patch_size={patch_size}; expected an odd number of at least 5; try patch_size=13, the default"
            )
        if width < 1:
            raise InvalidInputError(f"got width={width}; expected at least 1; try width=128, the default")
        if not (has_spectral_branch or has_spatial_branch):
            raise InvalidInputError("got neither a spectral nor a spatial branch; expected at least one of them")
        self.bands = bands
        self.classes = classes
        self.patch_size = patch_size
        self.features = SpectralSpatialFeatures(
            bands, width, has_spectral_branch=has_spectral_branch, has_spatial_branch=has_spatial_branch
        )
        self.head = classification_head(width, classes, patch_size=patch_size)

    def forward(self, x: Tensor, between: BetweenBlocks | None = None) -> Tensor:
        """Classify patches by their centre pixel.

        Args:
            x: (B, C, P, P).
            between: Changes the map between two blocks, in the training of some methods; None leaves it.

        Returns:
            Logits, (B, K), at least float32, under autocast too, as the losses need it.

        Raises:
            InvalidInputError: x has another shape.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != (self.bands, self.patch_size, self.patch_size):
            raise InvalidInputError(
                f"got x of shape {tuple(x.shape)}; "
                f"expected (B, {self.bands}, {self.patch_size}, {self.patch_size}); "
                f"cut patches of this size, or build Discriminator with the patches' bands and patch_size"
            )
        logits: Tensor = self.head(self.features(x, between))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def embed(self, x: Tensor) -> Tensor:
        """(B, C, P, P) to the features (B, d) that the head's last layer classifies, at least float32."""
        features: Tensor = self.head[:-1](self.features(x))
        return features.to(torch.promote_types(features.dtype, torch.float32))


def classification_head(width: int, classes: int, *, patch_size: int) -> nn.Sequential:
    """`flatten -> Linear -> ReLU -> Linear`: maps (B, d, P // 2, P // 2) to logits (B, K)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(width * (patch_size // 2) ** 2, width),
        nn.ReLU(inplace=True),
        nn.Linear(width, classes),
    )
