"""Logits and features of some pixels: taken in passing while others are classified too, or of patches kept for it.

Shape letters: H rows, W columns, C bands, P patch, K classes, F features, N pixels, U places their patches hold.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.final_layer import features_seen, final_layer
from sceneshift.networks.overlapping_patches import DiscriminatorOverPatches, Places
from sceneshift.training.precision import computing_in
from sceneshift.training.scene_mapping import prediction_batch
from sceneshift.training.workers import Workers


class OutputTaker:
    """Keeps the logits and the features of some of the pixels that a classifier is shown, batch by batch.

    Args:
        classifier: (B, C, P, P) to (B, K).
        positions: (N,) places of the pixels among all that are shown, ascending.
        num_classes: K.
        device: Where the classifier is.
    """

    def __init__(
        self, classifier: nn.Module, positions: NDArray[np.int64], *, num_classes: int, device: torch.device
    ) -> None:
        self._positions = positions
        self._layer = final_layer(classifier)
        #: (N, K) float32.
        self.logits = torch.zeros(len(positions), num_classes, device=device)
        #: (N, F) float32, the input of the final layer; None where there is no such layer.
        self.features = (
            None if self._layer is None else torch.zeros(len(positions), self._layer.in_features, device=device)
        )
        self._seen: list[Tensor] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """A context for one batch: what the final layer sees is noted."""
        with features_seen(self._layer) as self._seen:
            yield

    def take(self, start: int, logits: Tensor) -> None:
        """Keep what belongs to the batch that was just shown.

        Args:
            start: The place of its first pixel among all.
            logits: (B, K).
        """
        first, last = np.searchsorted(self._positions, [start, start + len(logits)])
        if first == last:
            return
        rows = torch.from_numpy(self._positions[first:last] - start).to(logits.device)
        self.logits[first:last] = logits[rows].float()
        if self.features is not None:
            self.features[first:last] = torch.cat(self._seen)[rows].float()

    def total(self, workers: Workers) -> None:
        """Complete it by what other workers were shown."""
        self.logits = workers.total(self.logits)
        if self.features is not None:
            self.features = workers.total(self.features)


class FixedPatches:
    """The patches around fixed pixels of a scene, as the places in them.

    The spectra at these places may be changed, such as shifted, before they are classified; where patches overlap they
    are held once, and a discriminator's first block is computed once (:mod:`sceneshift.networks.overlapping_patches`).

    Args:
        shape: (H, W) of the scene. Its borders are continued by symmetric reflection.
        pixels: (N,) flat indices.
        patch_size: P.
        device: Where classifiers are.
    """

    def __init__(
        self, shape: tuple[int, int], pixels: NDArray[np.int64], *, patch_size: int, device: torch.device
    ) -> None:
        self.patch_size = patch_size
        self._device = device
        self._continued = shape[0] + patch_size - 1, shape[1] + patch_size - 1
        self._pixels = torch.from_numpy(np.array(pixels)).to(device)
        whole = Places.of(self._pixels, continued=self._continued, patch_size=patch_size)
        self._held, self._numbers = whole.held, whole.numbers
        rows, columns = (np.pad(np.arange(size), patch_size // 2, mode="symmetric") for size in shape)
        in_rows, in_columns = np.divmod(whole.held.cpu().numpy(), self._continued[1])
        #: (U,) flat indices of the pixels of the scene that the patches hold; where a border is reflected, twice.
        self.places: NDArray[np.int64] = rows[in_rows] * shape[1] + columns[in_columns]
        self._parts: list[tuple[Tensor, Places]] | None = None

    @torch.inference_mode()
    def outputs(self, classifier: nn.Module, spectra: Tensor) -> tuple[Tensor, Tensor | None]:
        """Classify the patches.

        Args:
            classifier: (B, C, P, P) to (B, K); put into eval mode.
            spectra: (U, C) float32, normalized, at :attr:`places`, on the device.

        Returns:
            Logits (N, K), and features (N, F), the input of the final layer; None where there is no such layer.
        """
        classifier.eval()
        with features_seen(final_layer(classifier)) as seen, computing_in("float32", self._device):
            # Not isinstance: a subclass may compute something else.
            if type(classifier) is Discriminator and classifier.patch_size == self.patch_size:
                over_patches = DiscriminatorOverPatches(classifier)
                parts = self._parts_of(over_patches.patches_at_once)
                logits = [over_patches.logits_at(spectra[rows], places) for rows, places in parts]
            else:
                logits = [
                    classifier(spectra[rows].view(len(rows), self.patch_size, self.patch_size, -1).permute(0, 3, 1, 2))
                    for rows in self._numbers.split(prediction_batch(self._device))
                ]
        return torch.cat(logits), torch.cat(seen) if seen else None

    def _parts_of(self, size: int) -> list[tuple[Tensor, Places]]:
        """So many patches at a time: which of the spectra they contain, and where these are."""
        if self._parts is None:
            found = (
                Places.of(part, continued=self._continued, patch_size=self.patch_size)
                for part in self._pixels.split(size)
            )
            self._parts = [(torch.searchsorted(self._held, places.held), places) for places in found]
        return self._parts
