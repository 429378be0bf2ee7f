"""A training of any method, interrupted after any epoch and resumed elsewhere, ends bit for bit the same."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.methods.registry import METHODS
from sceneshift.splits.source import SourceDomain
from sceneshift.training.checkpoint import CheckpointFolder
from sceneshift.training.loop import EpochReport, train
from sceneshift.training.plan import TrainingPlan

EPOCHS = 3
SMALL = {"patch_size": 5, "batch_size": 40, "width": 8, "heads": 2, "generator_channels": 6, "lr": 0.01}

#: Every method as it is, and as its authors released it: what piles up or draws next to the rest must be kept as well.
#: One that is fitted in a single epoch has nowhere to be cut.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name, method in METHODS.items() if not method.fitted_at_once},
    "s2amsnet, release": ("s2amsnet", {"discriminator_steps_twice": True, "encoder_accumulates": True}),
    "s2vnet, release": ("s2vnet", {"released_endmembers": True, "released_batch_axis": True}),
}


class Cut(Exception):
    """What ends a training in the middle."""


def plan_of(case: str) -> TrainingPlan:
    name, changes = CASES[case]
    config_type = METHODS[name].config_type
    known = {f.name for f in fields(config_type)}
    config = config_type.from_mapping({k: v for k, v in SMALL.items() if k in known} | changes)
    return TrainingPlan(method=name, config=config, epochs=EPOCHS, seed=1)


def end_of(folder: Path) -> dict[str, Any]:
    """All that the last checkpoint holds, in one level, without timings."""
    latest = CheckpointFolder(str(folder)).load_latest()
    assert latest is not None
    assert latest[0] == EPOCHS
    leaves: dict[str, Any] = {}

    def flatten(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                flatten(f"{prefix}/{key}", inner)
        elif "/time/" not in prefix:
            leaves[prefix] = value

    flatten("", latest[1])
    return leaves


@pytest.mark.parametrize("epoch", range(1, EPOCHS))
@pytest.mark.parametrize("case", CASES)
def test_all_that_is_kept_at_the_end_is_the_same(
    case: str, epoch: int, make_source: Callable[..., SourceDomain], tmp_path: Path
) -> None:
    plan = plan_of(case)
    least = METHODS[plan.method].least_sources
    sources = [replace(make_source(seed=seed), part=f"part-{seed}" if least > 1 else None) for seed in range(least)]
    train(plan, sources, report=lambda _: None, checkpoints=CheckpointFolder(str(tmp_path / "whole")))

    def cut(report: EpochReport) -> None:
        if report.epoch == epoch:
            raise Cut

    with pytest.raises(Cut):
        train(plan, sources, report=cut, checkpoints=CheckpointFolder(str(tmp_path / "cut")))
    torch.manual_seed(99)
    train(plan, sources, report=lambda _: None, checkpoints=CheckpointFolder(str(tmp_path / "cut")))
    whole, resumed = end_of(tmp_path / "whole"), end_of(tmp_path / "cut")
    assert resumed.keys() == whole.keys()
    kept = {name.split("/")[4] for name in whole if "/method/" in name}
    assert {"modules", "optimizers", "generator"} <= kept
    for name, value in whole.items():
        same = torch.equal(resumed[name], value) if isinstance(value, Tensor) else resumed[name] == value
        assert same, name
