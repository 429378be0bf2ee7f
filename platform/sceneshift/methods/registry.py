"""The methods known by name."""

from sceneshift.errors import InvalidInputError, nearest_name
from sceneshift.methods.cross_entropy import CrossEntropy
from sceneshift.methods.method import Method
from sceneshift.methods.s2amsnet import S2AMSnet
from sceneshift.methods.s2vnet import S2VNet

METHODS: dict[str, type[Method]] = {method.name: method for method in (S2AMSnet, S2VNet, CrossEntropy)}


def find_method(name: str) -> type[Method]:
    """Return the class of a method.

    Raises:
        InvalidInputError: No method has that name.
    """
    if name not in METHODS:
        raise InvalidInputError(
            f"no method is called {name!r}{nearest_name(name, METHODS)}. Known: {', '.join(METHODS)}."
        )
    return METHODS[name]
