"""The input of a classifier's final linear layer: its features.

Shape letters: B batch, F features, K classes.
"""

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn


def final_layer(classifier: nn.Module) -> nn.Linear | None:
    """The linear layer that makes a classifier's logits; None where there is none, as in spectral floors.

    By convention it is the linear layer that a classifier registers last. ``tests/methods/test_contract.py`` checks
    this for every method: the layer, applied to the features, must give the logits.
    """
    layers = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    return layers[-1] if layers else None


@contextlib.contextmanager
def features_seen(layer: nn.Linear | None) -> Iterator[list[Tensor]]:
    """A context in which every input (B, F) of a layer is appended to the list it yields; without a layer, none is.

    A compiled module doesn't call the hook.
    """
    seen: list[Tensor] = []
    if layer is None:
        yield seen
        return
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    try:
        yield seen
    finally:
        handle.remove()
