"""The discriminator over a whole scene: every pixel's patch is classified, without cutting patches.

Shape letters: H rows, W columns, C bands, P patch, K classes, d projection width, S patches below each other in a
tile (its rows of pixels), B batch.

Why this is exact. A patch's convolutions read zeros beyond its border, so the discriminator cannot simply be run over
the scene. But batch norm in eval mode is fixed, so what layer n computes at a place depends only on the place in the
scene and on how far the patch's four borders are, and borders further than n - 1 have no effect. Along an axis that
leaves 2n + 1 cases: 0 ... n - 1 places from the low border, INNER, and -n ... -1 from the high one. Layer n is
therefore (2n + 1)^2 maps of the scene, 9, 25 and 49, instead of P * P values per pixel in patches; and since the
max-pool drops the last row and column of an odd patch, the last layer needs only 36. (Patches without zeros around them
share more: Giusti et al., "Fast image scanning with deep max-pooling convolutional neural networks", ICIP 2013.)

How maps are kept. Every index is that of a patch, except in INNER maps, where it is that of the place; INNER maps of
layer n start n places in. Each column case has its own tensor, `{case: _Rows}`. Row cases are stored together:

    low    (S, d, n, columns)    the first n rows of each patch
    inner  (1, d, rows, columns) rows out of reach of any border: one picture for all patches
    high   (S, d, n, columns)    the last n rows of each patch

so that a layer's vertical taps are an ordinary convolution over "the n rows, two INNER rows beyond, and one row of
zeros outside", a batch of strips. The horizontal taps are shared further: output cases that apply the same tap to
the same column case use the same product, which is computed once (11 for 17 in the last layer).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError
from sceneshift.networks.discriminator import Discriminator, DiscriminatorBlock
from sceneshift.networks.folding import FoldedBlock, fold_block, own

#: In smaller patches a place can be within reach of the low and the high border at once.
SMALLEST_PATCH = 7

#: Memory for one tile's maps. Between 128 MiB and 1 GiB speed differs little.
TILE_BYTES = 2**29

# Values in memory per pixel of a tile, at most, measured: for each of the d channels while the last layer is computed
# (two layers' maps, strips, products, kernels), and for each band while the first is.
_MAPS_HELD = 180
_BANDS_HELD = 20

Case: TypeAlias = int | None
_INNER: Case = None
_LAYERS = 3
_LOW_PART, _INNER_PART, _HIGH_PART = range(3)


class _Rows(NamedTuple):
    """One column case of a layer."""

    low: Tensor
    inner: Tensor
    high: Tensor


class DiscriminatorOverScene:
    """Classifies every pixel of a scene as the discriminator would classify the patch around it.

    The weights are copied: later training of the discriminator has no effect. Chen et al., TGRS 2024, in eval mode.

    Args:
        discriminator: The network; patches of at least :data:`SMALLEST_PATCH`. It is not changed.
        dtype: The dtype of the computation; None takes the network's own. bfloat16 is much faster where the hardware
            has it; by rounding, about one pixel in a thousand, where two classes nearly tie, gets the other class.

    Raises:
        InvalidInputError: The patches are too small for this, or the dtype is not a floating-point type.
    """

    def __init__(self, discriminator: Discriminator, *, dtype: torch.dtype | None = None) -> None:
        if discriminator.patch_size < SMALLEST_PATCH:
            raise InvalidInputError(
                f"got patch_size={discriminator.patch_size}; expected at least {SMALLEST_PATCH}; "
                f"classify smaller patches one by one"
            )
        first, last = discriminator.head[1], discriminator.head[3]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        self.dtype = first.weight.dtype if dtype is None else dtype
        if not self.dtype.is_floating_point:
            raise InvalidInputError(f"got dtype={dtype}; expected a floating-point type; try torch.bfloat16")
        self.device = first.weight.device
        self.bands = discriminator.bands
        self.classes = discriminator.classes
        self.patch_size = discriminator.patch_size
        self.width = first.out_features
        self._reads = [_reads(self.patch_size, layer) for layer in range(1, _LAYERS + 1)]
        # The first block stays exact: spectra are similar, and their differences are lost if they, or the kernels
        # made of them, are rounded to bfloat16. The last sums stay exact because they are little work.
        self._accurate = torch.promote_types(self.dtype, torch.float32)
        with torch.no_grad():
            blend = discriminator.features.branch_weights()
            self._blocks: list[FoldedBlock] = []
            for block in discriminator.features.blocks:
                assert isinstance(block, DiscriminatorBlock)
                self._blocks.append(fold_block(block, blend, self.dtype if self._blocks else self._accurate))
            side = self.patch_size // 2
            weight = first.weight.view(self.width, -1, side, side)
            self._head = [own(part, self.dtype) for part in weight.split([1, 1, side - 3, 1], dim=3)]
            self._bias = own(first.bias, self._accurate)
            self._last = own(last.weight, self._accurate), own(last.bias, self._accurate)

    @torch.inference_mode()
    def predict(
        self,
        scene: Tensor,
        *,
        tile_bytes: int = TILE_BYTES,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Classify every pixel, tile by tile.

        Args:
            scene: (H + P - 1, W + P - 1, C), continued by P // 2 pixels beyond each border, on any device.
            tile_bytes: Approximate memory for one tile's maps; a single pixel is the minimum.
            progress: Called after every tile with the number of pixels done and their total.

        Returns:
            (H, W) int64 class indices 0..K-1, on the scene's device.

        Raises:
            InvalidInputError: The scene has another shape.
        """
        height, width = self._check(scene)
        halo = self.patch_size - 1
        rows, columns = self.tile_shape(height, width, tile_bytes)
        out = torch.empty((height, width), dtype=torch.int64, device=scene.device)
        done = 0
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                tile = out[top : top + rows, left : left + columns]
                padded = scene[top : top + rows + halo, left : left + columns + halo]
                tile.copy_(self.logits(padded).argmax(dim=2))
                done += tile.numel()
                if progress is not None:
                    progress(done, height * width)
        return out

    @torch.inference_mode()
    def logits(self, scene: Tensor) -> Tensor:
        """Logits of every pixel, all at once: memory grows with the scene.

        Args:
            scene: (H + P - 1, W + P - 1, C), continued by P // 2 pixels beyond each border.

        Returns:
            (H, W, K), in float32 or better, on the network's device.

        Raises:
            InvalidInputError: The scene has another shape.
        """
        height, width = self._check(scene)
        # A scene's pixels are rows of C numbers: the channels-last layout, the fastest for convolutions.
        inner = scene.to(self.device, self._accurate).contiguous().permute(2, 0, 1)[None]
        none = inner.new_empty((height, self.bands, 0, inner.shape[3]))
        maps: Mapping[Case, _Rows] = {_INNER: _Rows(none, inner, none)}
        for layer in range(1, _LAYERS + 1):
            maps = self._run_block(layer, maps, height, width)
        return self._run_head(maps, height, width)

    def _check(self, scene: Tensor) -> tuple[int, int]:
        """H and W of a continued scene."""
        halo = self.patch_size - 1
        if scene.ndim != 3 or min(scene.shape[:2]) <= halo or scene.shape[2] != self.bands:
            raise InvalidInputError(
                f"got a scene of shape {tuple(scene.shape)}; expected (H + {halo}, W + {halo}, {self.bands}) with at "
                f"least one pixel; continue it by {halo // 2} pixels beyond each border, as PatchSampler.padded is"
            )
        return scene.shape[0] - halo, scene.shape[1] - halo

    def tile_shape(self, height: int, width: int, tile_bytes: int = TILE_BYTES) -> tuple[int, int]:
        """Rows and columns of a tile: nearly square, so that little is computed twice."""
        halo = self.patch_size - 1
        per_pixel = _MAPS_HELD * self.width * self.dtype.itemsize + _BANDS_HELD * self.bands * self._accurate.itemsize
        pixels = tile_bytes // per_pixel
        rows = min(height, max(1, math.isqrt(pixels) - halo))
        columns = min(width, max(1, pixels // (rows + halo) - halo))
        rows = min(height, max(rows, pixels // (columns + halo) - halo))
        # Equal tiles, so that the last is not narrow.
        return math.ceil(height / math.ceil(height / rows)), math.ceil(width / math.ceil(width / columns))

    def _run_block(self, layer: int, maps: Mapping[Case, _Rows], height: int, width: int) -> dict[Case, _Rows]:
        """Layer `layer`'s maps from those of the layer before."""
        block = self._blocks[layer - 1]
        reads = self._reads[layer - 1]
        taps = {case: {t for hits in reads.values() for t, (c, _) in hits.items() if c == case} for case in maps}
        centres = dict.fromkeys(hits[0][0] for hits in reads.values())
        # An involution's kernel depends only on its centre: fewer cases than there are outputs.
        inner_kernels = {c: _kernels(block, maps[c].inner) for c in centres}
        out: dict[Case, list[Tensor]] = {case: [] for case in reads}
        for part in (_LOW_PART, _INNER_PART, _HIGH_PART):
            strips = {c: self._strip(part, rows, layer, height) for c, rows in maps.items()}
            products = {c: _products(block, strips[c], taps[c]) for c in maps}
            for centre in centres:
                kernels = self._strip_kernels(part, maps[centre], inner_kernels[centre], layer, height)
                for case, hits in reads.items():
                    if hits[0][0] != centre:
                        continue
                    size = width + self.patch_size - 1 - 2 * layer if case is _INNER else width
                    spatial = _sum([products[c][t][..., at : at + size] for t, (c, at) in hits.items()])
                    h = _involve(
                        {t: strips[c][..., at : at + size] for t, (c, at) in hits.items()},
                        [(top, [k[..., hits[0][1] : hits[0][1] + size] for k in piece]) for top, piece in kernels],
                    )
                    h = F.conv2d(h, *block.spectral).relu_()
                    out[case].append(h.add_(spatial.relu_()).to(self.dtype))
        return {case: _Rows(*parts) for case, parts in out.items()}

    def _strip(self, part: int, rows: _Rows, layer: int, height: int) -> Tensor:
        """What a layer's vertical taps see to make one part of its rows."""
        if part == _INNER_PART:
            return rows.inner
        # The first of the two INNER rows, in the maps of the layer before.
        start = 0 if part == _LOW_PART else self.patch_size - 2 * layer
        near = [rows.inner[0, :, start + k : start + k + height].transpose(0, 1) for k in range(2)]
        outside = torch.zeros_like(near[0])
        if part == _LOW_PART:
            return _stack([outside, *rows.low.unbind(2), *near])
        # The last row of the last layer is dropped by the pool, and with it what only that row would read.
        return _stack([*near, *rows.high.unbind(2), *([outside] if layer < _LAYERS else [])])

    def _strip_kernels(
        self, part: int, rows: _Rows, inner: list[Tensor], layer: int, height: int
    ) -> list[tuple[int, list[Tensor]]]:
        """The involution's kernels for a strip's output, in pieces: the piece's first row, and nine kernels.

        One row of both outer strips has INNER centres, whose kernels are known.
        """
        if part == _INNER_PART:
            return [(0, [kernel[:, :, 1:-1] for kernel in inner])]
        start = 0 if part == _LOW_PART else self.patch_size - 2 * layer + 1
        known = [kernel[0, :, start : start + height].transpose(0, 1).unsqueeze(2) for kernel in inner]
        if layer == 1:
            return [(0, known)]
        block = self._blocks[layer - 1]
        if part == _LOW_PART:
            return [(0, _kernels(block, rows.low)), (layer - 1, known)]
        return [(0, known), (1, _kernels(block, rows.high[:, :, :-1] if layer == _LAYERS else rows.high))]

    def _run_head(self, maps: Mapping[Case, _Rows], height: int, width: int) -> Tensor:
        """Logits (H, W, K) from the last layer's maps: max-pool, and the first linear layer as convolutions."""
        side = self.patch_size // 2
        # Pool windows along an axis are (0, 1), (2, INNER), INNER pairs, and (-3, -2). Columns first.
        inner = maps[_INNER]
        windows = [
            [torch.maximum(*pair) for pair in zip(maps[0], maps[1], strict=True)],
            [torch.maximum(a, b[..., :width]) for a, b in zip(maps[2], inner, strict=True)],
            [torch.maximum(b[..., 1:-1], b[..., 2:]) for b in inner],
            [torch.maximum(*pair) for pair in zip(maps[-3], maps[-2], strict=True)],
        ]
        total = self._bias[:, None, None]
        for (low, middle, high), weight in zip(windows, self._head, strict=True):
            if weight.shape[3] == 0:  # a 7 x 7 patch has no INNER pair
                continue
            picture = middle[0].transpose(0, 1)
            pairs = torch.maximum(picture[:-1], picture[1:])
            pooled = _stack(
                [
                    torch.maximum(low[:, :, 0], low[:, :, 1]),
                    torch.maximum(low[:, :, 2], picture[:height]),
                    *(pairs[2 * k - 3 : 2 * k - 3 + height] for k in range(2, side - 1)),
                    torch.maximum(high[:, :, 0], high[:, :, 1]),
                ]
            )
            # Windows of one patch are two places apart.
            total = total + F.conv2d(pooled, weight, dilation=(1, 2)).to(total.dtype)
        hidden = total.relu().squeeze(2).transpose(1, 2)
        return F.linear(hidden, *self._last)


def _reads(patch_size: int, layer: int) -> dict[Case, dict[int, tuple[Case, int]]]:
    """Where a layer's taps read along the columns: `{case: {tap: (case before, offset)}}`.

    The offset is that of the first patch's place in the earlier case's maps. A tap that would read outside of the
    patch is left out. The last layer's last case, which the pool drops, is left out too.
    """
    high = range(-layer, -1 if layer == _LAYERS else 0)
    reads: dict[Case, dict[int, tuple[Case, int]]] = {}
    for case in (*range(layer), _INNER, *high):
        reads[case] = {}
        for tap in (0, -1, 1):
            if case is _INNER:
                reads[case][tap] = _INNER, 1 + tap
                continue
            place = case + tap
            if (place < 0) != (case < 0):
                continue
            if -layer < place < layer - 1:
                reads[case][tap] = place, 0
            else:
                reads[case][tap] = _INNER, place % patch_size - (layer - 1)
    return reads


def _products(block: FoldedBlock, strip: Tensor, taps: set[int]) -> dict[int, Tensor]:
    """The spatial branch's product of a strip with each requested column of the 3x3 kernel."""
    weight, bias = block.spatial
    width = weight.shape[0] // 3
    first, last = min(taps) + 1, max(taps) + 1  # always consecutive: one convolution for all of them
    wanted = slice(first * width, (last + 1) * width)
    parts = F.conv2d(strip, weight[wanted], bias[wanted]).split(width, dim=1)
    return {tap - 1: part for tap, part in zip(range(first, last + 1), parts, strict=True)}


def _kernels(block: FoldedBlock, x: Tensor) -> list[Tensor]:
    """The involution's kernels, a value for every channel: nine tensors of x's shape."""
    hidden = F.conv2d(x, *block.reduce).relu_()
    return [F.conv2d(hidden, *tap).relu_() for tap in block.expand]


def _involve(seen: Mapping[int, Tensor], kernels: list[tuple[int, list[Tensor]]]) -> Tensor:
    """Sum over taps of kernel times what it sees; `seen[j]` has one row more than the output above and below."""
    centre = seen[0]
    out = _new(centre, (*centre.shape[:2], centre.shape[2] - 2, centre.shape[3]))
    for top, piece in kernels:
        target = out[:, :, top : top + piece[0].shape[2]]
        taps = [
            (x[:, :, top + i : top + i + target.shape[2]], piece[3 * i + j + 1])
            for j, x in seen.items()
            for i in range(3)
        ]
        torch.mul(*taps[0], out=target)
        for x, kernel in taps[1:]:
            target.addcmul_(x, kernel)
    return out


def _sum(terms: list[Tensor]) -> Tensor:
    """A new tensor: the sum of at least two."""
    total = terms[0] + terms[1]
    for term in terms[2:]:
        total += term
    return total


def _stack(rows: list[Tensor]) -> Tensor:
    """(S, d, columns) each, as (S, d, rows, columns)."""
    patches, channels, columns = rows[0].shape
    out = _new(rows[0], (patches, channels, len(rows), columns))
    for place, row in zip(out.unbind(2), rows, strict=True):
        place.copy_(row)
    return out


def _new(like: Tensor, shape: Sequence[int]) -> Tensor:
    """An empty tensor, channels last by order: with a batch of one torch can't infer it from strides."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
