"""The two sides that are compared: this package's S2AMSnet and the plain one, with the same weights.

Shape letters: B batch, C bands, P patch, K classes, N noise dimensions.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from plain_s2amsnet import PlainS2AMSnet
from sceneshift.methods.s2amsnet import S2AMSnet, S2AMSnetConfig
from sceneshift.training.precision import computing_in

NOISE_DIM = 2


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Size of the network and its patches."""

    bands: int = 48
    patch: int = 13
    classes: int = 7
    width: int = 128
    channels: int = 24

    def __str__(self) -> str:
        return f"{self.bands} bands, patch {self.patch}, d {self.width}, ch {self.channels}"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Everything that enters a step, all draws included."""

    patches: Tensor
    """(B, C, P, P), contiguous."""

    labels: Tensor
    """(B,) class indices."""

    noise: tuple[Tensor, Tensor]
    """(3, B, N) for each generator."""

    betas: tuple[float, float]
    """Mixing weights."""

    @classmethod
    def draw(cls, shape: Shape, size: int, *, device: torch.device, seed: int = 0) -> "Batch":
        """Random spectra of unit length, the same on every device."""
        rng = np.random.default_rng(seed)
        patches = rng.uniform(0.1, 1, (size, shape.bands, shape.patch, shape.patch)).astype(np.float32)
        patches /= np.linalg.norm(patches, axis=1, keepdims=True)
        noise = rng.standard_normal((2, 3, size, NOISE_DIM)).astype(np.float32)
        first, second = torch.from_numpy(noise).to(device)
        return cls(
            patches=torch.from_numpy(patches).to(device),
            labels=torch.from_numpy(rng.integers(0, shape.classes, size)).to(device),
            noise=(first, second),
            betas=(0.3, 0.8),
        )

    def to(self, dtype: torch.dtype) -> "Batch":
        """The same numbers in another floating-point type."""
        first, second = self.noise
        return replace(self, patches=self.patches.to(dtype), noise=(first.to(dtype), second.to(dtype)))


def build_ours(shape: Shape, *, device: torch.device) -> S2AMSnet:
    """This package's network, as the paper initializes it."""
    config = S2AMSnetConfig(
        patch_size=shape.patch, width=shape.width, generator_channels=shape.channels, noise_dim=NOISE_DIM
    )
    return S2AMSnet(config, bands=shape.bands, classes=shape.classes, seed=0, device=device)


def build_plain(shape: Shape, ours: S2AMSnet) -> PlainS2AMSnet:
    """The plain network with the weights ours has, on the same device."""
    plain = PlainS2AMSnet(
        shape.bands,
        shape.classes,
        patch_size=shape.patch,
        width=shape.width,
        channels=shape.channels,
        noise_dim=NOISE_DIM,
        lr=ours.config.lr,
        temperature=ours.config.temperature,
    )
    for name, module in plain.modules().items():
        copy_weights(ours.modules()[name], module)
        module.to(ours.device)
    return plain


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Load one side's module with the other's weights; only BlurPool's constant kernel may be lacking."""
    keys = target.load_state_dict(source.state_dict(), strict=False)
    assert not keys.unexpected_keys, keys
    assert all(key.startswith("pools.") and key.endswith(".kernel") for key in keys.missing_keys), keys


def rounded_to(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """What a step of ours runs in: "fp32", "tf32" or "bf16"."""
    return computing_in({"fp32": "float32", "bf16": "bfloat16"}.get(precision, precision), device)
