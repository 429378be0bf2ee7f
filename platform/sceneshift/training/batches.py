"""Building batches: the training patches of a pair's sources, shuffled and augmented, epoch by epoch.

Most methods are given batches in which the pixels of all sources are mixed. A method that takes its sources apart is
given a batch of each, all of one size: an epoch passes over the source of the most pixels once, and over the others as
often as it takes.

Shape letters: B batch, C bands, P patch size, K classes, N pixels, D sources.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sceneshift.errors import InvalidInputError
from sceneshift.methods.augmentations import Draws
from sceneshift.methods.method import DomainBatch, MethodConfig
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


def steps_of_epoch(num_pixels: Sequence[int], config: MethodConfig, *, apart: bool) -> int:
    """Training steps in an epoch.

    Args:
        num_pixels: Training pixels of each source.
        config: The method's configuration: most patches in a step, and passes over the pixels per epoch.
        apart: Whether a step takes a batch of each source.

    Raises:
        InvalidInputError: The batch size has no room for two patches of each source, which batch statistics need.
    """
    batch_size, passes = config.batch_size, config.source_passes
    if not apart:
        return math.ceil(passes * sum(num_pixels) / batch_size)
    if (of_each := batch_size // len(num_pixels)) < 2:
        raise InvalidInputError(
            f"batch_size = {batch_size} for {len(num_pixels)} sources, and the method takes a batch from each; "
            f"expected room for two patches of each. Use a batch_size of {2 * len(num_pixels)} or more."
        )
    return math.ceil(passes * max(num_pixels) / of_each)


class SourceBatches:
    """The batches of a pair's sources.

    Args:
        sources: The scenes and their splits.
        cubes: (H, W, C) each scene, normalized.
        config: The method's configuration: patch size, batch size and augmentations.
        at_once: One batch holds all training pixels, source by source, in the splits' order.
        apart: A step takes a batch of each source.
        draws: The generator for order and augmentations, on the device.
        device: The device of all tensors.
        workers: The workers that share each batch.

    Raises:
        InvalidInputError: A batch has fewer patches than there are workers, or than two of each source taken apart.
    """

    def __init__(
        self,
        sources: Sequence[SourceDomain],
        cubes: Sequence[NDArray[np.float32]],
        *,
        config: MethodConfig,
        at_once: bool,
        apart: bool,
        draws: torch.Generator,
        device: torch.device,
        workers: Workers,
    ) -> None:
        sizes = [len(source.split.train) for source in sources]
        num_steps = steps_of_epoch(sizes, config, apart=apart)
        workers.share_of(config.source_passes * sum(sizes) // num_steps)
        self._config, self._draws, self._workers = config, draws, workers
        self._at_once = at_once
        #: Every patch of the scenes.
        self.sampler = PatchSampler.over(cubes, patch_size=config.patch_size, device=device)
        self._augmentations = config.augmentations(rms=self.sampler.rms)
        self.hold_back(sources)

    def hold_back(self, sources: Sequence[SourceDomain]) -> None:
        """From now on, use the training pixels of other splits of the same scenes."""
        self._pair_name = sources[0].pair_name
        self._sizes = [len(source.split.train) for source in sources]
        pixels = self.places([source.split.train for source in sources])
        labels = np.concatenate([source.labels_of(source.split.train) for source in sources])
        self._pixels = torch.from_numpy(pixels).to(self.sampler.device)
        self._labels = torch.from_numpy(labels).to(self.sampler.device)

    def places(self, pixels: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """What the sampler calls pixels of the sources: (N,), source by source.

        Args:
            pixels: Flat indices in each source.
        """
        return np.concatenate([self.sampler.places(number, of_source) for number, of_source in enumerate(pixels)])

    def training_spectra(self) -> tuple[Tensor, Tensor]:
        """The training pixels, normalized, in the splits' order: spectra (N, C) and class indices (N,)."""
        return self.sampler.spectra(self._pixels), self._labels

    def of_an_epoch(self) -> Iterator[Batch]:
        """Every training pixel once a pass, in random order and equal batches; or all at once."""
        for chosen in self._chosen():
            share = self._workers.share_of(len(chosen))
            mine = chosen if share is None else chosen[share.rows]
            draws = Draws(generator=self._draws, batch=len(chosen), rows=slice(None) if share is None else share.rows)
            yield Batch(self._augmented(mine, draws), self._labels[mine], share)

    def domains_of_an_epoch(self) -> Iterator[list[DomainBatch]]:
        """A batch of each source at every step, all of one size, in random order.

        Every training pixel of the largest source comes once a pass (a few of them more often, so that the last batch
        is as large), those of the others over and over, each time in another order.
        """
        num_steps = steps_of_epoch(self._sizes, self._config, apart=True)
        batch = math.ceil(self._config.source_passes * max(self._sizes) / num_steps)
        orders = []
        for start, size in zip(itertools.accumulate(self._sizes, initial=0), self._sizes, strict=False):
            rounds = math.ceil(num_steps * batch / size)
            passes = [torch.randperm(size, device=self._pixels.device, generator=self._draws) for _ in range(rounds)]
            orders.append((start + torch.cat(passes)[: num_steps * batch]).split(batch))
        for of_sources in zip(*orders, strict=True):
            yield [
                DomainBatch(self._augmented(chosen, Draws(generator=self._draws, batch=batch)), self._labels[chosen])
                for chosen in of_sources
            ]

    def _augmented(self, chosen: Tensor, draws: Draws) -> Tensor:
        patches = self.sampler.patches(self._pixels[chosen])
        for change in self._augmentations:
            patches = change(patches, draws)
        return patches

    def _chosen(self) -> tuple[Tensor, ...]:
        """The training pixels of each batch."""
        num_pixels, device = len(self._pixels), self._pixels.device
        if self._at_once:
            return (torch.arange(num_pixels, device=device),)
        # All passes are one random order, as of a data set that holds every pixel several times.
        order = torch.randperm(self._config.source_passes * num_pixels, device=device, generator=self._draws)
        # Equal batches, so that no last batch computes its statistics from a handful of patches.
        return (order % num_pixels).tensor_split(steps_of_epoch(self._sizes, self._config, apart=False))

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
