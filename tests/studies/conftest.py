"""A tiny design, and published rows made by hand."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sceneshift.search.space import SearchSpace, load_space
from sceneshift.studies.design import StudyDesign
from sceneshift.studies.published_rows import SCORE, BatchFacts, PublishedBatch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return load_space(ROOT / "search_spaces" / "cross_entropy.py")


@pytest.fixture
def design(space: SearchSpace) -> StudyDesign:
    return StudyDesign.draw({"cross_entropy": space}, num_configurations=3, epochs=2, num_seeds=2)


@pytest.fixture
def batch(design: StudyDesign) -> Callable[..., PublishedBatch]:
    """Rows from OA by configuration, seed and epoch, and from strategies' scores of the same shape."""

    def make(
        pair: str,
        reached: Sequence[Sequence[Sequence[float]]],
        scores: Mapping[str, Any],
        **facts: Any,
    ) -> PublishedBatch:
        oa = np.array(reached, dtype=np.float64)
        rows = [
            {
                "configuration": c,
                "seed": r,
                "epoch": e + 1,
                "is_average": False,
                **{f"source_{name}": 0.5 for name in ("oa", "aa", "kappa")},
                "target_oa": oa[c, r, e],
                "target_aa": oa[c, r, e] / 2,
                "target_kappa": oa[c, r, e] / 4,
                **{SCORE + name: float(np.asarray(values)[c, r, e]) for name, values in scores.items()},
                "estimate": oa[c, r, e] - 0.1,
                "estimate_atc": oa[c, r, e],
                "estimate_doc": oa[c, r, e],
                "estimate_agreement": oa[c, r, e],
                "estimate_deviation": 0.01,
                "confusion": [1, 2, 3, 4] if e == oa.shape[2] - 1 else None,
                "predicted": bytes([0, 1, 1]) if e == oa.shape[2] - 1 else None,
            }
            for c, r, e in np.ndindex(oa.shape)
        ]
        values = {
            "design": design.key(),
            "pair": pair,
            "method": "cross_entropy",
            "is_refit": False,
            "num_cells": oa.shape[0] * oa.shape[1],
            "is_complete": True,
            "diverged": [],
            "class_names": ["a", "b"],
            "target_pixels": [3, 5, 8],
            "largest_class_share": 0.6,
            "seconds": {"c000-s0": 1.0},
            "code": {},
        }
        return PublishedBatch(facts=BatchFacts(**(values | facts)), rows=pd.DataFrame(rows))

    return make
