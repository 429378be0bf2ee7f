"""A running average of a classifier's weights from where validation flattens: one more candidate of a training.

Cha et al., "SWAD: Domain Generalization by Seeking Flat Minima", NeurIPS 2021, average the weights between the point
from which validation no longer improves and the point where it worsens. Here the average begins once validation AA has
not risen above its best for :data:`PATIENCE` evaluations in a row (SWAD's N_s = 3, of losses), takes the weights after
each epoch from that one on, and does not end: where to stop is for a strategy to choose, of the epochs at which it is
recorded. SWAD averages every step and begins where the flat part began; weights of the past are not kept here. The
figures of SWAD are from memory.
"""

import math
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel

#: Evaluations without a better AA after which the average begins.
PATIENCE = 3


class FlatAverage:
    """The average of one classifier; it takes no memory before it has begun."""

    def __init__(self) -> None:
        self._best = -math.inf
        self._waited = 0
        self._average: AveragedModel | None = None

    @property
    def candidate(self) -> nn.Module | None:
        """The classifier with averaged weights; None while it would be the epoch's own. It is replaced by none of them.

        Its batch-norm statistics are the last epoch's until they are estimated again.
        """
        if self._average is None or int(self._average.n_averaged) < 2:
            return None
        averaged: nn.Module = self._average.module
        return averaged

    def trained(self, classifier: nn.Module) -> None:
        """Take the weights after an epoch, where the average has begun."""
        if self._average is not None:
            self._average.update_parameters(classifier)

    def evaluated(self, aa: float, classifier: nn.Module) -> None:
        """Hear of an evaluation, and begin where validation has flattened.

        Args:
            aa: Average accuracy on the validation pixels, 0..1.
            classifier: What was evaluated, or the network behind it.
        """
        if self._average is not None:
            return
        self._waited = 0 if aa > self._best else self._waited + 1
        self._best = max(self._best, aa)
        if self._waited >= PATIENCE:
            self._begin(classifier)

    def state_dict(self) -> dict[str, Any]:
        """How far it is, and, where it has begun, the averaged ``classifier``."""
        state: dict[str, Any] = {"best": self._best, "waited": self._waited}
        if self._average is not None:
            state["num_averaged"] = int(self._average.n_averaged)
            state["classifier"] = self._average.module.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any], classifier: nn.Module) -> None:
        """Take back what :meth:`state_dict` gave.

        Args:
            state: The state.
            classifier: Any classifier of the same shape.
        """
        self._best, self._waited = state["best"], state["waited"]
        self._average = None
        if "classifier" in state:
            self._begin(classifier)
            assert self._average is not None
            self._average.module.load_state_dict(state["classifier"])
            self._average.n_averaged.fill_(state["num_averaged"])

    def _begin(self, classifier: nn.Module) -> None:
        self._average = AveragedModel(classifier)
        self._average.update_parameters(classifier)
