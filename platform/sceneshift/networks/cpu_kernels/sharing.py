"""Tensors as the kernels see them, and kernels run in torch's own threads."""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Numbers below which waking another thread costs more than it saves.
_WORTH_A_THREAD = 50_000


def array_of(x: Tensor) -> NDArray[Any]:
    """(B, C, H, W), channels last, as the (B, H, W, C) array that it is in memory."""
    x = x.detach().permute(0, 2, 3, 1)
    assert x.is_contiguous()
    array: NDArray[Any] = (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()
    return array


def places_of(x: Tensor) -> NDArray[Any]:
    """(B, C, H, W), channels last, as (N, C)."""
    return array_of(x).reshape(-1, x.shape[1])


def sum_dtype(x: Tensor) -> type[np.float64] | type[np.float32]:
    """The dtype in which sums within a map are taken."""
    return np.float64 if x.dtype == torch.float64 else np.float32


def summed(
    kernel: Any,  # noqa: ANN401
    arrays: list[NDArray[Any]],
    *rest: Any,  # noqa: ANN401
    rows: int,
    scratch: Sequence[NDArray[Any]] = (),
) -> Tensor:
    """Run a kernel that adds to rows of float64 sums: (rows, C)."""
    sums: list[NDArray[np.float64]] = []

    def of_a_part() -> list[NDArray[Any]]:
        sums.append(np.zeros((rows, arrays[0].shape[1])))
        return [*(array.copy() for array in scratch), sums[-1]]

    share(kernel, arrays, *rest, scratch=of_a_part)
    return torch.from_numpy(np.sum(sums, axis=0))


def share(
    kernel: Any,  # noqa: ANN401
    arrays: list[NDArray[Any]],
    *rest: Any,  # noqa: ANN401
    scratch: Callable[[], Sequence[NDArray[Any]]] = tuple,
) -> None:
    """Run a kernel on equal parts of the arrays' first axis, one per torch thread, each with its own scratch memory."""
    parts = torch.get_num_threads() if arrays[0].size >= _WORTH_A_THREAD else 1
    length = len(arrays[0])
    calls = []
    for part in range(parts):
        mine = slice(length * part // parts, length * (part + 1) // parts)
        calls.append((*(array[mine] for array in arrays), *rest, *scratch()))
    if parts == 1 or _OPENMP is None:
        for call in calls:
            kernel(*call)
        return
    left = iter(calls)  # one for all threads: taking the next call is a single operation of the interpreter
    errors: list[BaseException] = []

    def work(_: object) -> None:
        try:
            for call in left:
                kernel(*call)
        except BaseException as error:  # none can pass through C, not even Ctrl-C
            errors.append(error)

    _OPENMP.GOMP_parallel(_WORK(work), None, parts, 0)
    if errors:
        raise errors[0]


def _torch_openmp() -> ctypes.CDLL | None:
    """The OpenMP library that torch has loaded; None if it doesn't have GNU's interface.

    Kernels run in torch's own threads: threads of another pool would have to share the cores with torch's, which keep
    spinning for a while after each of torch's operators.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "GOMP_parallel"):
        return None
    library.GOMP_parallel.argtypes = (_WORK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    library.GOMP_parallel.restype = None
    return library


_WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_OPENMP = _torch_openmp()
