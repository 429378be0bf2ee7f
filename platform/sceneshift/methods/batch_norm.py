"""Batch-norm statistics fit for evaluation.

In adversarial training the discriminator's running statistics come from generated patches, while it is used on
patches of real scenes. Re-estimating them on source patches is what makes its evaluation stable.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def calibrate_batch_norm(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace all running statistics by their plain average over the given batches.

    The t-th batch (from 0) enters with momentum 1 / (t + 1). Weights don't move; the module is left in eval mode.

    Args:
        module: Any module; without batch norm nothing happens.
        batches: Inputs of the module, such as (B, C, P, P) unaugmented source patches.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if norms:
        momenta = [norm.momentum for norm in norms]
        module.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        for step, batch in enumerate(batches):
            for norm in norms:
                norm.momentum = 1.0 / (step + 1)
            module(batch)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    module.eval()
