"""Which side of every kink a float32 step was on, and the plain step in float64 on those same sides.

Where a ReLU opens, or another value becomes a pool's largest, the gradient jumps. A value within rounding of
such a kink may be on either side, and one of them alone can move a gradient by 1e-3, however small the rounding.
Between steps on the same sides rounding is all that differs.

For CPUs only: elsewhere our involution applies the ReLU itself. Shape letters: B batch, C channels, H and W rows and
columns.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sceneshift.networks import involution
from sceneshift.networks.cpu_kernels import pool, rectify

_TAPS = 9

#: Of a pass of a network: for a ReLU whether it is open, (B, C, H, W) bool; for a pool the flat place of the largest.
Sides = list[Tensor]


@contextlib.contextmanager
def sides_of(modules: Mapping[str, nn.Module]) -> Iterator[list[Sides]]:
    """Gather the sides of all passes of a side's modules, ours or the plain network's, in the order of the passes."""
    passes: list[Sides] = []
    logits: list[Tensor] = []

    def note(*sides: Tensor) -> None:
        if logits:  # an involution's kernels come before what follows them, some patches at a time
            batch, channels, height, width = (whole := torch.cat(logits)).shape
            logits.clear()
            # Ours are ordered tap by tap, the plain network's group by group.
            by_group = whole.reshape(batch, _TAPS, channels // _TAPS, height, width).transpose(1, 2)
            passes[-1].append(by_group.reshape(whole.shape))
        passes[-1].extend(side.detach().contiguous() for side in sides)

    relu, leaky_relu, max_pool2d = F.relu, F.leaky_relu, F.max_pool2d
    rectified, blended, involved, pooled = rectify.rectify, rectify.blend, involution.involve, pool.pool

    def note_relu(x: Tensor, inplace: bool = False) -> Tensor:
        note(x > 0)
        return relu(x)

    def note_leaky_relu(x: Tensor, slope: float) -> Tensor:
        note(x > 0)
        return leaky_relu(x, slope)

    def note_max_pool(x: Tensor, size: int) -> Tensor:
        out: Tensor
        out, places = max_pool2d(x, size, return_indices=True)
        note(places)
        return out

    def note_rectify(x: Tensor, affine: Tensor, num_ones: int) -> Tensor:
        out = rectified(x, affine, num_ones)
        note(out[:, : x.shape[1]] > 0)
        return out

    def note_blend(x: Tensor, y: Tensor, affine: Tensor) -> Tensor:
        note(*(rectified(branch, line, 0) > 0 for branch, line in zip((x, y), affine.split(2), strict=True)))
        return blended(x, y, affine)

    def note_involve(x: Tensor, kernel_logits: Tensor, *rest: Any, **named: Any) -> None:  # noqa: ANN401
        logits.append(kernel_logits.detach() > 0)
        involved(x, kernel_logits, *rest, **named)

    def note_pool(x: Tensor) -> tuple[Tensor, Tensor]:
        out, chosen = pooled(x)
        rows, columns = torch.arange(out.shape[2])[:, None], torch.arange(out.shape[3])
        note((2 * rows + chosen // 2) * x.shape[3] + 2 * columns + chosen % 2)
        return out, chosen

    with contextlib.ExitStack() as stack:
        for owner, name, noting in (
            (F, "relu", note_relu),
            (F, "leaky_relu", note_leaky_relu),
            (F, "max_pool2d", note_max_pool),
            (rectify, "rectify", note_rectify),
            (rectify, "blend", note_blend),
            (involution, "involve", note_involve),
            (pool, "pool", note_pool),
        ):
            stack.enter_context(patch.object(owner, name, noting))
        for module in _networks(modules):
            hook = module.register_forward_pre_hook(lambda _module, _inputs: passes.append([]))
            stack.callback(hook.remove)
        yield passes


@contextlib.contextmanager
def on_sides(passes: list[Sides]) -> Iterator[None]:
    """Within this context, the plain network's ReLUs and pools are on these sides, in the order of its passes."""
    left = iter([side for sides in passes for side in sides])

    def relu(x: Tensor, inplace: bool = False) -> Tensor:
        return x * next(left)

    def leaky_relu(x: Tensor, slope: float) -> Tensor:
        return torch.where(next(left), x, slope * x)

    def max_pool(x: Tensor, size: int) -> Tensor:
        places = next(left)
        return x.flatten(2).gather(2, places.flatten(2)).view(places.shape)

    with (
        patch.object(F, "relu", relu),
        patch.object(F, "leaky_relu", leaky_relu),
        patch.object(F, "max_pool2d", max_pool),
    ):
        yield
    assert next(left, None) is None, "the step had more kinks than the plain one"


def in_plain_order(passes: list[Sides]) -> list[Sides]:
    """Our step's passes as the plain step takes them.

    Ours runs the min step's inputs pair by pair, and source and both domains through the encoder at once.
    """
    *generated, min_a, min_mix_b, min_b, min_mix_a, max_a, max_mix_b, max_b, max_mix_a, encoded = passes
    source, a, b = (list(part) for part in zip(*(side.chunk(3) for side in encoded), strict=True))
    least = [min_a, min_b, min_mix_a, min_mix_b]
    return [*generated, *least, max_a, max_mix_b, max_b, max_mix_a, a, source, b, source]


def _networks(modules: Mapping[str, nn.Module]) -> list[nn.Module]:
    generators = modules["generators"]
    assert isinstance(generators, nn.ModuleList)
    return [*generators, modules["discriminator"], modules["encoder"]]
