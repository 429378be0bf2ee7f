"""A small batch, and small methods that train the discriminator."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sceneshift.methods.method import Method
from sceneshift.methods.registry import METHODS

#: Patches a batch, bands, classes, and side of a patch.
BATCH, BANDS, CLASSES, PATCH = 12, 6, 3, 5


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Patches (12, 6, 5, 5) of three classes, each with a band of its own, and their labels."""
    labels = torch.arange(BATCH) % CLASSES
    patches = 0.1 * torch.randn(BATCH, BANDS, PATCH, PATCH, generator=torch.Generator().manual_seed(0))
    patches[torch.arange(BATCH), labels] += 1
    return patches, labels


@pytest.fixture
def small() -> Callable[..., Any]:
    """Build a method by name, of width 8, with changed settings."""

    def build(name: str, seed: int = 0, **changes: Any) -> Method:
        kind = METHODS[name]
        config = kind.config_type(**{"patch_size": PATCH, "batch_size": BATCH, "width": 8, "lr": 0.01, **changes})
        return kind(config, bands=BANDS, classes=CLASSES, seed=seed, device=torch.device("cpu"))

    return build


@pytest.fixture
def weights_after() -> Callable[..., dict[str, Tensor]]:
    """The weights and buffers of a method's classifier after some steps on one batch."""

    def train(method: Method, batch: tuple[Tensor, Tensor], steps: int = 3) -> dict[str, Tensor]:
        for _ in range(steps):
            method.training_step(*batch)
        return {name: value.detach().clone() for name, value in method.classifier.state_dict().items()}

    return train
