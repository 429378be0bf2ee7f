"""The discriminator on patches that overlap: its first block, most of the work, is computed once a place.

In eval mode, what the first block computes at a place depends on the place and on which of the patch's borders lie next
to it: the low, none or the high one along either axis, nine cases in all. So the block is computed for all places that
some patch holds, nine cases each, and a patch's map is gathered from these. The later blocks see further, and have more
cases than places are shared by: they run patch by patch. (Where every pixel of a scene is asked for,
:mod:`sceneshift.networks.scene_pass` shares these as well.)

Shape letters: H rows, W columns, C bands, P patch, K classes, d projection width, N patches, U places they hold.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.networks.branches import max_pool
from sceneshift.networks.discriminator import Discriminator, DiscriminatorBlock
from sceneshift.networks.folding import fold_block

# Places of patches taken at once: memory grows with the places they hold, some 20 kB each at 200 bands.
_PLACES = 2**16

# Patches that go through the later blocks at once.
_BATCH = 256

# A place must be in so many patches: in nine cases it costs as much as three to four times in one.
_WORTH_SHARING = 4

# Of the taps -1, 0, 1 along an axis, those inside the patch at its first place, further in, and at its last.
_CASES = ((1, 2), (0, 1, 2), (0, 1))


class DiscriminatorOverPatches:
    """Classifies patches of one scene as the discriminator would classify each by itself.

    Some of the weights are copied: it must be rebuilt when they have changed. Chen et al., TGRS 2024, in eval mode.

    Args:
        discriminator: The network; in eval mode, and not changed.
    """

    def __init__(self, discriminator: Discriminator) -> None:
        self._discriminator = discriminator
        self.patches_at_once = _PLACES // discriminator.patch_size**2
        first = discriminator.features.blocks[0]
        assert isinstance(first, DiscriminatorBlock)
        with torch.no_grad():
            self._blend = discriminator.features.blend.softmax(0)
            block = fold_block(first, self._blend, self._blend.dtype)
        self._reduce, self._spectral, *self._expand = (
            (weight.flatten(1), bias) for weight, bias in (block.reduce, block.spectral, *block.expand)
        )
        weight, bias = block.spatial
        # From columns below each other, (3 * d, C, 3, 1), to taps below each other, (9 * d, C).
        taps = weight.view(3, -1, *weight.shape[1:3]).permute(3, 0, 1, 2)
        self._spatial, self._spatial_bias = taps.flatten(0, 2).contiguous(), bias.view(3, -1)[1]
        side = torch.arange(discriminator.patch_size, device=self._blend.device)
        case = 1 - (side == 0).long() + (side == len(side) - 1).long()
        self._case_of = (3 * case[:, None] + case).flatten()

    @torch.inference_mode()
    def logits(self, scene: Tensor, pixels: Tensor) -> Tensor:
        """Logits of the patches around some pixels, best of neighbouring ones.

        Args:
            scene: (H + P - 1, W + P - 1, C), continued by P // 2 pixels beyond each border, on the network's device.
            pixels: (N,) int64 flat indices, row * W + column; at most ``patches_at_once``, for memory's sake.

        Returns:
            (N, K).

        Raises:
            InvalidInputError: The scene has another number of bands.
        """
        if scene.shape[2] != self._discriminator.bands:
            raise InvalidInputError(
                f"got a scene of shape {tuple(scene.shape)}; expected {self._discriminator.bands} bands; pass a scene "
                f"with the bands the network was built for"
            )
        side, wide = self._discriminator.patch_size, scene.shape[1]
        rows = scene.reshape(-1, scene.shape[2])
        width, steps = wide - (side - 1), torch.arange(side, device=scene.device)
        corners = pixels // width * wide + pixels % width
        places = corners[:, None] + (steps[:, None] * wide + steps).flatten()
        held = torch.zeros(len(rows), dtype=torch.bool, device=scene.device)
        held[places] = True
        held_places = held.nonzero().squeeze(1)
        # From here on maps are rows of one table.
        table, numbers, blocks = rows, places, list(self._discriminator.features.blocks)
        if places.numel() >= _WORTH_SHARING * len(held_places):
            number_of = torch.zeros(len(rows), dtype=torch.int64, device=scene.device)
            number_of[held_places] = torch.arange(len(held_places), device=scene.device)
            # Where no patch holds the neighbour it is another place: read in cases alone that no patch asks for.
            taps = [row * wide + column for row in (-1, 0, 1) for column in (-1, 0, 1)]
            neighbours = [number_of[(held_places + tap).clamp(0, len(rows) - 1)] for tap in taps]
            table, blocks = self._first_block(rows[held_places], neighbours), blocks[1:]
            numbers = self._case_of * len(held_places) + number_of[places]
        parts = []
        for batch in numbers.split(_BATCH):
            h = table[batch].view(len(batch), side, side, -1).permute(0, 3, 1, 2)
            for block in blocks:
                h = block(h, self._blend)
            parts.append(self._discriminator.head(max_pool(h)))
        return torch.cat(parts)

    def _first_block(self, x: Tensor, neighbours: list[Tensor]) -> Tensor:
        """The first block at places (U, C) with each tap's neighbours (U,), case after case: (9 * U, d)."""
        hidden = F.linear(x, *self._reduce).relu_()
        taps = list(zip(neighbours, self._expand, strict=True))
        involved = _sums(F.linear(hidden, *expand).relu_().mul_(x[seen]) for seen, expand in taps)
        out = [F.linear(h, *self._spectral).relu_() for h in involved]
        products = F.linear(x, self._spatial).view(len(x), len(neighbours), -1)
        for case, spatial in zip(out, _sums(products[seen, tap] for tap, seen in enumerate(neighbours)), strict=True):
            case += spatial.add_(self._spatial_bias).relu_()
        return torch.cat(out)


def _sums(terms: Iterable[Tensor]) -> Iterator[Tensor]:
    """For each of the nine cases the sum over its taps, of nine taps' terms."""
    terms, lines = iter(terms), []
    for _ in range(3):
        line = list(islice(terms, 3))
        lines.append([_sum([line[column] for column in columns]) for columns in _CASES])
    for rows in _CASES:
        for case in range(3):
            yield _sum([lines[row][case] for row in rows])


def _sum(terms: list[Tensor]) -> Tensor:
    """A new tensor: the sum of at least two."""
    total = terms[0] + terms[1]
    for term in terms[2:]:
        total += term
    return total
