"""The discriminator on patches that overlap: its first block, most of the work, is computed once per place.

In eval mode, what the first block computes at a place depends on the place and on which of the patch's borders are next
to it: the low, none or the high one along either axis, nine cases in all. So the block is computed for all places that
some patch contains, nine cases each, and a patch's map is gathered from these. The later blocks have larger receptive
fields, and more cases than patches that share a place: they run patch by patch. (For all pixels of a scene,
:mod:`sceneshift.networks.scene_pass` shares these blocks as well.)

Shape letters: H rows, W columns, C bands, P patch, K classes, d projection width, N patches, U places in them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.networks.branches import max_pool
from sceneshift.networks.discriminator import Discriminator, DiscriminatorBlock
from sceneshift.networks.folding import fold_block

# Places of patches taken at once: memory grows with their places, some 20 kB each at 200 bands.
_PLACES = 2**16

# Patches that go through the later blocks at once.
_BATCH = 256

# Minimum number of patches per place: nine cases cost as much as three to four patches.
_WORTH_SHARING = 4

# Of the taps -1, 0, 1 along an axis, those inside the patch at its first place, further in, and at its last.
_CASES = ((1, 2), (0, 1, 2), (0, 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """The distinct places in some patches of a scene.

    Args:
        held: (U,) int64 flat indices into the scene continued by P // 2 pixels beyond each border, ascending.
        numbers: (N, P * P) int64, the place of ``held`` at each place of each patch.
        neighbours: Nine (U,) int64, the place at each tap of a 3x3 window. Where no patch contains that neighbour it
            is another place, which is read only in cases that no patch uses. None if too few places are shared for
            this to pay.
    """

    held: Tensor
    numbers: Tensor
    neighbours: tuple[Tensor, ...] | None

    @classmethod
    def of(cls, pixels: Tensor, *, continued: tuple[int, int], patch_size: int) -> "Places":
        """The places of the patches around some pixels.

        Args:
            pixels: (N,) int64 flat indices, row * W + column.
            continued: (H + P - 1, W + P - 1), the size of the continued scene.
            patch_size: P.
        """
        tall, wide = continued
        num_rows, width = tall * wide, wide - (patch_size - 1)
        steps = torch.arange(patch_size, device=pixels.device)
        corners = pixels // width * wide + pixels % width
        places = corners[:, None] + (steps[:, None] * wide + steps).flatten()
        is_held = torch.zeros(num_rows, dtype=torch.bool, device=pixels.device)
        is_held[places] = True
        held = is_held.nonzero().squeeze(1)
        number_of = torch.zeros(num_rows, dtype=torch.int64, device=pixels.device)
        number_of[held] = torch.arange(len(held), device=pixels.device)
        neighbours = None
        if places.numel() >= _WORTH_SHARING * len(held):
            taps = [row * wide + column for row in (-1, 0, 1) for column in (-1, 0, 1)]
            neighbours = tuple(number_of[(held + tap).clamp(0, num_rows - 1)] for tap in taps)
        return cls(held=held, numbers=number_of[places], neighbours=neighbours)


class DiscriminatorOverPatches:
    """Classifies patches of one scene as the discriminator would classify each of them.

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
            self._blend = discriminator.features.branch_weights()
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
        """Logits of the patches around some pixels; neighbouring pixels are fastest.

        Args:
            scene: (H + P - 1, W + P - 1, C), continued by P // 2 pixels beyond each border, on the network's device.
            pixels: (N,) int64 flat indices, row * W + column; at most ``patches_at_once``, to limit memory.

        Returns:
            (N, K).

        Raises:
            InvalidInputError: The scene has another number of bands.
        """
        wide = scene.shape[1]
        places = Places.of(pixels, continued=(scene.shape[0], wide), patch_size=self._discriminator.patch_size)
        return self.logits_at(scene.reshape(-1, scene.shape[2])[places.held], places)

    @torch.inference_mode()
    def logits_at(self, spectra: Tensor, places: Places) -> Tensor:
        """Logits of patches whose places are known.

        Args:
            spectra: (U, C), the spectra at the places, on the network's device.
            places: The places, of at most ``patches_at_once`` patches to limit memory.

        Returns:
            (N, K).

        Raises:
            InvalidInputError: The spectra have another number of bands.
        """
        if spectra.shape[1] != self._discriminator.bands:
            raise InvalidInputError(
                f"got spectra of {spectra.shape[1]} bands; expected {self._discriminator.bands} bands; pass a scene "
                f"with the bands the network was built for"
            )
        side = self._discriminator.patch_size
        # From here on maps are rows of one table.
        table, numbers, blocks = spectra, places.numbers, list(self._discriminator.features.blocks)
        if places.neighbours is not None:
            table, blocks = self._first_block(spectra, places.neighbours), blocks[1:]
            numbers = self._case_of * len(spectra) + places.numbers
        parts = []
        for batch in numbers.split(_BATCH):
            h = table[batch].view(len(batch), side, side, -1).permute(0, 3, 1, 2)
            for block in blocks:
                h = block(h, self._blend)
            parts.append(self._discriminator.head(max_pool(h)))
        return torch.cat(parts)

    def _first_block(self, x: Tensor, neighbours: tuple[Tensor, ...]) -> Tensor:
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
