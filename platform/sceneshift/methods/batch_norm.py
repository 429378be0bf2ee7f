"""Batch-norm statistics fit for evaluation.

In adversarial training the discriminator's running statistics come from generated patches, while it is used on
patches of real scenes. Re-estimating them on source patches is what makes its evaluation stable.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sceneshift.networks.batch_norm import stacked_batches
from sceneshift.networks.discriminator import Discriminator
from sceneshift.networks.shared_batch import current_share

# Small batches pass a discriminator together, up to this many patches: a layer's call costs as much as its work on a
# few.
_STACKED = 512


@torch.no_grad()
def calibrate_batch_norm(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace all running statistics by their plain average over the given batches.

    Weights don't move; the module is left in eval mode.

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
        # Not isinstance: a subclass may look at its batch. Elsewhere than on a CPU norms know of no stacked batches.
        stacks = type(module) is Discriminator and next(module.parameters()).device.type == "cpu"
        done = 0
        for stack in _stacked(batches) if stacks else ([batch] for batch in batches):
            done += len(stack)
            for norm in norms:
                norm.momentum = len(stack) / done
            if len(stack) == 1:
                module(stack[0])
            else:
                with stacked_batches([len(batch) for batch in stack]):
                    module(torch.cat(stack))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    module.eval()


def _stacked(batches: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The batches in their order, as many together as are to pass at once."""
    stack: list[Tensor] = []
    for batch in batches:
        # Of a shared batch the statistics are those of all workers: it goes by itself, while it is shared.
        shared = current_share() is not None
        if stack and (shared or sum(map(len, stack)) + len(batch) > _STACKED):
            yield stack
            stack = []
        stack.append(batch)
        if shared:
            yield stack
            stack = []
    if stack:
        yield stack
