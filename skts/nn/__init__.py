"""Blocks that more than one family needs; torch only, and numba's kernels where it is installed.

One set of letters throughout: B batch, C channels or variates, L length, P patches, D width, H horizon, N state
(in :mod:`skts.fmamba`, where the sequence runs over variates, N counts variates and S is the state).
"""
