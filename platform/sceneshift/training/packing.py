"""Packing a state of many small tensors into few large ones: pickling takes a tenth of a millisecond per tensor."""

from typing import Any

import torch
from torch import Tensor

_TENSOR = "<tensor>"


def pack(state: dict[str, Any]) -> dict[str, Any]:
    """Lay all tensors of one dtype side by side, on the CPU.

    Args:
        state: Plain values and tensors in dictionaries, lists and tuples. Tensors are kept by their values; one that is
            in it twice is kept once.

    Returns:
        What :func:`unpack` takes, of plain values and tensors too.
    """
    numbers: dict[tuple[Any, ...], int] = {}
    kept: dict[torch.dtype, list[Tensor]] = {}
    shapes: list[tuple[torch.dtype, list[int]]] = []

    def place(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, Tensor):
            key = value.device, value.data_ptr(), value.dtype, value.shape, value.stride()
            if key not in numbers or value.numel() == 0:
                numbers[key] = len(shapes)
                shapes.append((value.dtype, list(value.shape)))
                kept.setdefault(value.dtype, []).append(value.detach().flatten().cpu())
            return {_TENSOR: numbers[key]}
        if isinstance(value, dict):
            return {name: place(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(place(part) for part in value)
        return value

    placed = place(state)
    return {
        "packed": placed,
        "shapes": shapes,
        "values": {dtype: torch.cat(tensors) for dtype, tensors in kept.items()},
    }


def unpack(packed: dict[str, Any]) -> dict[str, Any]:
    """The state that was packed; one that never was is returned as it is."""
    if packed.keys() != {"packed", "shapes", "values"}:
        return packed
    at = dict.fromkeys(packed["values"], 0)
    tensors: list[Tensor] = []
    for dtype, shape in packed["shapes"]:
        size = torch.Size(shape).numel()
        # A copy, so that keeping one tensor does not keep all of them.
        tensors.append(packed["values"][dtype].narrow(0, at[dtype], size).view(shape).clone())
        at[dtype] += size

    def taken(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict):
            if value.keys() == {_TENSOR}:
                return tensors[value[_TENSOR]]
            return {name: taken(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(taken(part) for part in value)
        return value

    state: dict[str, Any] = taken(packed["packed"])
    return state
