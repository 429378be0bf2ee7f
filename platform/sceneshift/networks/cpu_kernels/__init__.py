"""Loops over channels-last maps that torch has no single operator for, compiled by Numba for the CPU.

A CPU would otherwise spend half its time on these: an involution, and maps that are normalized, rectified and added.
With torch operators each is a chain of passes over maps larger than any cache; here each is one or two passes.

Maps are float32, float64, or bfloat16 as its uint16 bits (NumPy has no bfloat16); sums are taken in float32, for
float64 maps and over a batch in float64. NaN stays NaN, so that a diverged training is recognized. Compiled kernels
are kept in a cache on disk; the first use on a machine compiles for a second or two each.

Shape letters: B batch, C channels, H and W rows and columns of a map, N = B * H * W places.
"""
