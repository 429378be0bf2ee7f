"""Weights of mixtures, drawn on the host from a beta distribution, which torch has no seeded draws from.

Shape letters: n numbers drawn at once.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sceneshift.seeding import derive_seed


class MixingWeights:
    """Draws of Beta(alpha, alpha) for a method's steps, with a state that can be saved.

    A method calls :meth:`draw` in its ``draw_on_host`` and reads :attr:`values` in its step.

    Args:
        alpha: Above 0; or 0, the limit in which nothing is mixed, and every weight is 1.
        shape: Of what is drawn for a step.
        seed: Of the draws.
        device: Where the values are.
    """

    def __init__(self, alpha: float, shape: tuple[int, ...], *, seed: int, device: torch.device) -> None:
        self._alpha = alpha
        self._draws = np.random.default_rng(derive_seed(seed, "mixing"))
        #: Of the shape, float32.
        self.values: Tensor = torch.ones(shape, device=device)

    def draw(self) -> None:
        """Draw the weights of the next step."""
        if self._alpha > 0:
            drawn = self._draws.beta(self._alpha, self._alpha, size=tuple(self.values.shape))
            self.values = torch.as_tensor(drawn, dtype=torch.float32, device=self.values.device)

    def state_dict(self) -> dict[str, Any]:
        """The state of the draws."""
        return dict(self._draws.bit_generator.state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self._draws.bit_generator.state = dict(state)
