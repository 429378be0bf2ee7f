"""Where batches are made; what a training sees of them is tested with the loop."""

from collections import Counter

import numpy as np
import torch

from sceneshift.methods.method import MethodConfig
from sceneshift.splits.source import SourceDomain
from sceneshift.training.batches import Batch, SourceBatches
from sceneshift.training.workers import Workers


def batches_of(
    source: SourceDomain, *, at_once: bool, workers: Workers | None = None, source_passes: int = 1
) -> list[Batch]:
    return list(
        SourceBatches(
            [source],
            [source.scene.cube],
            config=MethodConfig(patch_size=5, batch_size=40, flips=False, noise_scale=0.0, source_passes=source_passes),
            at_once=at_once,
            apart=False,
            draws=torch.Generator().manual_seed(0),
            device=torch.device("cpu"),
            workers=workers or Workers(),
        ).of_an_epoch()
    )


def test_at_once_one_batch_has_all_training_pixels_in_the_split_s_order(tiny_source: SourceDomain) -> None:
    (batch,) = batches_of(tiny_source, at_once=True)
    pixels = np.array(tiny_source.split.train)
    np.testing.assert_array_equal(batch.patches[:, :, 2, 2], tiny_source.scene.cube.reshape(-1, 8)[pixels])
    np.testing.assert_array_equal(batch.labels, tiny_source.labels_of(pixels))
    assert batch.share is None


def test_workers_hold_between_them_what_one_has(tiny_source: SourceDomain) -> None:
    alone = batches_of(tiny_source, at_once=False)
    shared = [batches_of(tiny_source, at_once=False, workers=Workers(rank=rank, num=2)) for rank in range(2)]
    assert [len(batch.labels) for batch in alone] == [30, 30, 30]
    for whole, *parts in zip(alone, *shared, strict=True):
        assert torch.equal(torch.cat([part.patches for part in parts]), whole.patches)
        assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
        assert [part.share.rows for part in parts] == [slice(0, 15), slice(15, 30)]


def test_several_passes_are_one_epoch_in_one_random_order(tiny_source: SourceDomain) -> None:
    batches = batches_of(tiny_source, at_once=False, source_passes=5)
    assert [len(batch.labels) for batch in batches] == 6 * [38] + 6 * [37]
    spectra = torch.cat([batch.patches[:, :, 2, 2] for batch in batches])
    seen = Counter(tuple(spectrum.tolist()) for spectrum in spectra)
    pixels = np.array(tiny_source.split.train)
    once = Counter(map(tuple, tiny_source.scene.cube.reshape(-1, 8)[pixels].tolist()))
    assert seen == Counter({spectrum: 5 * count for spectrum, count in once.items()})
    first = {tuple(spectrum.tolist()) for spectrum in spectra[: len(pixels)]}
    assert len(first) < len(pixels)  # passes are not one after the other
