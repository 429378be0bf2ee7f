"""The methods known by name. Imports nothing heavy: a method's module is imported when the method is looked up."""

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sceneshift.errors import InvalidInputError, nearest_name

if TYPE_CHECKING:
    from sceneshift.methods.method import Method

#: Each method's module in this package, and its class there.
_CLASSES = {
    "s2amsnet": ("s2amsnet", "S2AMSnet"),
    "s2vnet": ("s2vnet", "S2VNet"),
    "cross_entropy": ("cross_entropy", "CrossEntropy"),
    "rand_conv": ("rand_conv", "RandConv"),
    "mixup": ("mixup", "Mixup"),
    "mixstyle": ("mixstyle", "MixStyle"),
    "dsu": ("dsu", "DSU"),
    "sagnet": ("sagnet", "SagNet"),
    "l2d": ("l2d", "L2D"),
    "sdenet": ("sdenet", "SDEnet"),
    "deep_coral": ("deep_coral", "DeepCoral"),
    "group_dro": ("group_dro", "GroupDRO"),
    "spectral_cnn": ("spectral_cnn", "SpectralNetwork"),
    "logistic_regression": ("spectral", "LogisticRegression"),
    "rbf_svm": ("spectral", "RbfSvm"),
    "random_forest": ("spectral", "RandomForest"),
}


class _Methods(Mapping[str, "type[Method]"]):
    """Names cost nothing; a class costs what its module imports."""

    def __getitem__(self, name: str) -> "type[Method]":
        module, class_name = _CLASSES[name]
        method: type[Method] = getattr(importlib.import_module(f"sceneshift.methods.{module}"), class_name)
        return method

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


METHODS: Mapping[str, "type[Method]"] = _Methods()


def find_method(name: str) -> "type[Method]":
    """Return the class of a method.

    Raises:
        InvalidInputError: No method has that name.
    """
    if name not in _CLASSES:
        raise InvalidInputError(
            f"no method is called {name!r}{nearest_name(name, METHODS)}. Known: {', '.join(METHODS)}."
        )
    return METHODS[name]
