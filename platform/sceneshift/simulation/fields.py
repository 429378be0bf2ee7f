"""Smooth random fields, and abundances made from them.

Shape letters: H rows, W columns, R materials.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

#: Pixels per side on which the classes' offsets are fitted: enough that a class of 1 % has some hundred of them.
_FIT_SIDE = 128
_FIT_STEPS = 120


def gaussian_field(shape: tuple[int, int], length: float, seed: int) -> NDArray[np.float32]:
    """A stationary Gaussian field of mean 0, variance 1 and covariance ``exp(-d² / (2 length²))`` at distance d.

    White noise filtered by a Gaussian of standard deviation ``length / sqrt(2)``, by FFT on a grid so much larger that
    opposite sides of the field don't know each other. Mean and variance of one field differ from 0 and 1, more so
    the longer ``length`` is.

    Args:
        shape: (H, W).
        length: Correlation length in pixels; 0 gives white noise.
        seed: Of the draw.

    Returns:
        (H, W).
    """
    rng = np.random.default_rng(seed)
    if length == 0:
        return rng.standard_normal(shape, dtype=np.float32)
    margin = math.ceil(4 * length)
    height, width = (fft.next_fast_len(n + margin, real=True) for n in shape)
    noise = fft.rfft2(rng.standard_normal((height, width), dtype=np.float32))
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    gain = np.exp(-((math.pi * length) ** 2) * (rows**2 + columns**2))
    # The half spectrum's inner columns count twice.
    twice = np.full(columns.shape, 2.0)
    twice[0, 0] = 1.0
    if width % 2 == 0:
        twice[0, -1] = 1.0
    gain /= math.sqrt(float((twice * gain**2).sum()) / (height * width))
    field = fft.irfft2(noise * gain.astype(np.float32), s=(height, width))
    return np.ascontiguousarray(field[: shape[0], : shape[1]], dtype=np.float32)


def abundances_from_fields(
    fields: NDArray[np.float32], proportions: NDArray[np.float64], softness: float
) -> NDArray[np.float32]:
    """Turn one field per material into abundances whose dominant materials have given shares of the scene.

    ``a = softmax((g + b) / softness)``: within an area one material is nearly pure, across a border the abundances
    change smoothly, the faster the smaller ``softness``. The offsets ``b`` are fitted to the fields at hand
    (``b <- b + log(proportion / share) / 3``, steps cut at 0.5), so that the shares hold in every scene and not only on
    average.

    Args:
        fields: (R, H, W), about N(0, 1).
        proportions: (R,) positive shares of the pixels, of sum 1.
        softness: In units of the fields' standard deviation.

    Returns:
        (H, W, R), each >= 0, of sum 1 up to rounding.
    """
    offsets = _fitted_offsets(fields, proportions)
    scores = np.moveaxis(fields, 0, -1) + offsets
    scores -= scores.max(axis=2, keepdims=True)
    scores /= np.float32(softness)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=2, keepdims=True)
    return np.ascontiguousarray(scores)


def _fitted_offsets(fields: NDArray[np.float32], proportions: NDArray[np.float64]) -> NDArray[np.float32]:
    row_step, column_step = (max(1, n // _FIT_SIDE) for n in fields.shape[1:])
    sample = fields[:, ::row_step, ::column_step].reshape(len(fields), -1).T.copy()
    offsets = np.zeros(len(fields))
    best, least = offsets, math.inf
    for _ in range(_FIT_STEPS):
        counts = np.bincount((sample + offsets.astype(np.float32)).argmax(axis=1), minlength=len(fields))
        shares = counts / len(sample)
        distance = float(np.abs(shares - proportions).max())
        if distance < least:
            best, least = offsets, distance
        # Half a pixel is used instead of none.
        step = np.log(proportions / np.maximum(shares, 0.5 / len(sample))) / 3
        offsets = offsets + np.clip(step, -0.5, 0.5)
    return best.astype(np.float32)
