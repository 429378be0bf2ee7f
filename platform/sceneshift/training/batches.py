"""Building batches: the training patches of a source, shuffled and augmented, epoch by epoch.

Shape letters: B batch, C bands, P patch size, K classes, N pixels.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sceneshift.methods.augmentations import Draws
from sceneshift.methods.method import MethodConfig
from sceneshift.networks.shared_batch import Share, shared_batch
from sceneshift.scenes.patches import PatchSampler
from sceneshift.seeding import derive_seed
from sceneshift.splits.source import SourceDomain
from sceneshift.training.workers import Workers

#: Number of batches over which batch-norm statistics are averaged.
CALIBRATION_BATCHES = 20


class Batch(NamedTuple):
    """The input of a training step.

    Attributes:
        patches: (B, C, P, P) float32; of a shared batch, this worker's rows.
        labels: (B,) class indices 0..K-1, of the same rows.
        share: Which rows of the whole batch they are; None for a worker alone.
    """

    patches: Tensor
    labels: Tensor
    share: Share | None


class SourceBatches:
    """The batches of one source.

    Args:
        source: The scene and its split.
        cube: (H, W, C) the scene, normalized.
        config: The method's configuration: patch size, batch size and augmentations.
        at_once: One batch holds all training pixels, in the split's order.
        draws: The generator for order and augmentations, on the device.
        device: The device of all tensors.
        workers: The workers that share each batch.

    Raises:
        InvalidInputError: A batch has fewer patches than there are workers.
    """

    def __init__(
        self,
        source: SourceDomain,
        cube: NDArray[np.float32],
        *,
        config: MethodConfig,
        at_once: bool,
        draws: torch.Generator,
        device: torch.device,
        workers: Workers,
    ) -> None:
        num_pixels = len(source.split.train)
        workers.share_of(num_pixels // math.ceil(num_pixels / config.batch_size))
        self._config, self._draws, self._workers, self._at_once = config, draws, workers, at_once
        #: Every patch of the scene.
        self.sampler = PatchSampler(cube, patch_size=config.patch_size, device=device)
        self._augmentations = config.augmentations(rms=self.sampler.rms)
        self.hold_back(source)

    def hold_back(self, source: SourceDomain) -> None:
        """From now on, use the training pixels of another split of the same scene."""
        self._pair_name = source.pair_name
        self._pixels = torch.from_numpy(np.array(source.split.train)).to(self.sampler.device)
        self._labels = torch.from_numpy(source.labels_of(source.split.train)).to(self.sampler.device)

    def training_spectra(self) -> tuple[Tensor, Tensor]:
        """The training pixels, normalized, in the split's order: spectra (N, C) and class indices (N,)."""
        return self.sampler.spectra(self._pixels), self._labels

    def of_an_epoch(self) -> Iterator[Batch]:
        """Every training pixel once, in random order and equal batches; or all at once."""
        for chosen in self._chosen():
            share = self._workers.share_of(len(chosen))
            mine = chosen if share is None else chosen[share.rows]
            draws = Draws(generator=self._draws, batch=len(chosen), rows=slice(None) if share is None else share.rows)
            patches = self.sampler.patches(self._pixels[mine])
            for change in self._augmentations:
                patches = change(patches, draws)
            yield Batch(patches, self._labels[mine], share)

    def _chosen(self) -> tuple[Tensor, ...]:
        """The training pixels of each batch."""
        num_pixels, device = len(self._pixels), self._pixels.device
        if self._at_once:
            return (torch.arange(num_pixels, device=device),)
        order = torch.randperm(num_pixels, device=device, generator=self._draws)
        # Equal batches, so that no last batch computes its statistics from a handful of patches.
        return order.tensor_split(math.ceil(num_pixels / self._config.batch_size))

    def for_calibration(self) -> Iterator[Tensor]:
        """Unchanged training patches (B, C, P, P) for batch-norm statistics, :data:`CALIBRATION_BATCHES` equal batches.

        Every training pixel once, or as many as such batches hold at the configuration's batch size.
        """
        # A separate draw from the training pixels, so that the number of evaluations doesn't change the training.
        rng = torch.Generator().manual_seed(derive_seed(self._pair_name, "calibration"))
        num_pixels = len(self._pixels)
        # One pass over the pixels; more only if a batch would have fewer than two of them.
        passes = math.ceil(2 * CALIBRATION_BATCHES / num_pixels)
        order = torch.cat([torch.randperm(num_pixels, generator=rng) for _ in range(passes)])
        most = CALIBRATION_BATCHES * self._config.batch_size
        for chosen in order[:most].to(self._pixels.device).tensor_split(CALIBRATION_BATCHES):
            # If a batch is too small to be shared, every worker uses all of it.
            share = self._workers.share_of(len(chosen)) if len(chosen) >= self._workers.num else None
            with shared_batch(share):
                yield self.sampler.patches(self._pixels[chosen if share is None else chosen[share.rows]])
