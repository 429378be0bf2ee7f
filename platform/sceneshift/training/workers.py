"""The worker processes of a torch.distributed group that train one network together.

Each worker holds all pixels of the sources, draws from the same seeds what one worker would draw, and computes on its
share of every batch. The first worker alone reads and writes checkpoints: no other needs to reach the storage.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sceneshift.errors import InvalidInputError, SceneshiftError
from sceneshift.networks.shared_batch import Share

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Workers:
    """This process among those that train together.

    Args:
        rank: Its number, from 0.
        num: How many there are.
    """

    rank: int = 0
    num: int = 1

    @classmethod
    def of_this_process(cls) -> Self:
        """The workers of torch.distributed's default group; this process alone where there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(rank=dist.get_rank(), num=dist.get_world_size())

    def share_of(self, num_rows: int) -> Share | None:
        """This worker's share of a batch; None for a worker alone.

        Shares differ by one row at most.

        Raises:
            InvalidInputError: There are fewer rows than workers.
        """
        if self.num == 1:
            return None
        if num_rows < self.num:
            raise InvalidInputError(
                f"a batch of {num_rows} patches for {self.num} workers; expected at least one for each. Use fewer "
                "workers, or a larger batch_size."
            )
        least, more = divmod(num_rows, self.num)
        return Share(rank=self.rank, sizes=tuple(least + (rank < more) for rank in range(self.num)))

    def from_first(self, make: Callable[[], T]) -> T:
        """Call a function in the first worker, and return in all what it returned there, as plain values and tensors.

        No worker continues before it has returned.

        Raises:
            SceneshiftError: In all workers, what the function raised in the first.
        """
        if self.num == 1:
            return make()
        outcome: list[Any] = [None, None]
        if self.rank == 0:
            try:
                outcome[0] = make()
            except SceneshiftError as error:
                outcome[1] = error
        dist.broadcast_object_list(outcome, src=0)
        if outcome[1] is not None:
            raise outcome[1]
        made: T = outcome[0]
        return made

    def agree_on(self, modules: Iterable[nn.Module]) -> None:
        """Give all workers the first one's weights and buffers, should another machine have rounded them otherwise."""
        if self.num == 1:
            return
        tensors = [tensor for module in modules for tensor in module.state_dict().values()]
        for _, same in groupby(sorted(tensors, key=lambda t: str(t.dtype)), key=lambda t: t.dtype):
            group = list(same)
            flat = torch.cat([tensor.flatten() for tensor in group])
            dist.broadcast(flat, src=0)
            for tensor, part in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
                tensor.copy_(part.view(tensor.shape))

    def total(self, x: Tensor) -> Tensor:
        """The sum of what all workers hold; x itself for a worker alone."""
        if self.num > 1:
            x = x.clone()
            dist.all_reduce(x)
        return x
