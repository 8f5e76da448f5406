"""Densities at a stated resolution."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage


def smoothed_density(
    density: np.ndarray, voxel: Sequence[float], resolution_kpc: float
) -> np.ndarray:
    """Density smoothed by a Gaussian of this full width at half maximum, in the periodic box."""
    sigma = [resolution_kpc / 2.3548 / d for d in voxel]
    return ndimage.gaussian_filter(density, sigma, mode="wrap")


def ratio_scores(fit: np.ndarray, truth: np.ndarray, where: np.ndarray) -> dict[str, Any]:
    """Fit over truth in some cells: `cells`, `median`, and the 16th and 84th percentile."""
    ratio = fit[where] / truth[where]
    low, middle, high = np.percentile(ratio, [15.865, 50, 84.135]) if ratio.size else [None] * 3
    return {
        "cells": int(ratio.size),
        **{
            name: None if value is None else float(value)
            for name, value in (("median", middle), ("p16", low), ("p84", high))
        },
    }
