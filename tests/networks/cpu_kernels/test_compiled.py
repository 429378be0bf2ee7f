"""bfloat16 in kernels: widened exactly, narrowed as torch narrows."""

from typing import Any

import numpy as np
import torch

from sceneshift.networks.cpu_kernels.compiled import compiled, narrow, widen


@compiled
def _widen_all(values: Any, out: Any) -> None:
    for i in range(values.shape[0]):
        out[i] = widen(values[i])


@compiled
def _narrow_all(values: Any, out: Any) -> None:
    for i in range(values.shape[0]):
        out[i] = narrow(values[i], out[i])


def test_every_bfloat16_is_widened_exactly() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    out = np.empty(2**16, np.float32)
    _widen_all(bits, out)
    assert np.array_equal(out.view(np.uint32), bits.astype(np.uint32) << 16)


def test_floats_are_rounded_to_nearest_even_as_torch_does() -> None:
    rng = np.random.default_rng(0)
    # Every upper half (subnormals, infinities and NaN among them) with lower halves around the tie, and any floats.
    upper = np.arange(2**16, dtype=np.uint32) << 16
    around = [upper | np.uint32(lower) for lower in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)]
    bits = np.concatenate([*around, rng.integers(0, 2**32, 200_000, dtype=np.uint32)])
    values = bits.view(np.float32)
    out = np.empty(len(values), np.uint16)
    _narrow_all(values, out)
    expected = torch.from_numpy(values).to(torch.bfloat16)
    is_nan = np.isnan(values)
    assert is_nan.sum() > 1000
    assert np.array_equal(out[~is_nan], expected.view(torch.uint16).numpy()[~is_nan])
    # Which NaN is anybody's choice (torch itself has several); that it is one, is not.
    assert torch.from_numpy(out).view(torch.bfloat16)[torch.from_numpy(is_nan)].isnan().all()


def test_floats_stay_as_they_are() -> None:
    values = np.array([0.1, -0.0, np.inf, np.nan])
    for dtype in (np.float32, np.float64):
        given = values.astype(dtype)
        for kernel in (_widen_all, _narrow_all):
            out = np.empty(4, dtype)
            kernel(given, out)
            assert out.tobytes() == given.tobytes()
