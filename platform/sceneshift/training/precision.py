"""Number formats a network is trained in. Weights, losses, optimizers and evaluation are float32 in each of them."""

import contextlib
from collections.abc import Iterator
from typing import Literal, get_args

import torch

from sceneshift.errors import InvalidInputError, nearest_name

#: float32; float32 with products in TF32 (CUDA devices alone); or products and maps in bfloat16, by autocast.
Precision = Literal["float32", "tf32", "bfloat16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


def check_precision(precision: str, *, on_gpu: bool) -> None:
    """Reject a format that is unknown or not supported by the device.

    Raises:
        InvalidInputError: Naming those there are.
    """
    if precision not in PRECISIONS:
        raise InvalidInputError(
            f"precision {precision!r}{nearest_name(precision, PRECISIONS)}; expected one of {', '.join(PRECISIONS)}."
        )
    if precision == "tf32" and not on_gpu:
        raise InvalidInputError("precision tf32 exists on CUDA devices only; on a CPU use float32 or bfloat16.")


@contextlib.contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Compute the forward and backward passes of one step in a format.

    For one step only: while it is on, autocast keeps its rounded copy of a weight even after the weight has been
    updated.

    Args:
        precision: One of :data:`PRECISIONS`.
        device: Where the network is.

    Raises:
        InvalidInputError: The format is unknown, or the device doesn't have it.
    """
    check_precision(precision, on_gpu=device.type == "cuda")
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = products.fp32_precision, convolutions.fp32_precision
    try:
        # Convolutions would be TF32 by PyTorch's own default. What stays float32 when the rest is bfloat16 needs all
        # its digits.
        products.fp32_precision = convolutions.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            yield
    finally:
        products.fp32_precision, convolutions.fp32_precision = before
