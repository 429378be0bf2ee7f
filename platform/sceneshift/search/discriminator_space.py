"""What the search spaces of methods share whose classifier is S2AMSnet's discriminator.

A space file in ``search_spaces/`` adds what is its method's own, so that methods are compared on the same backbone,
patches and normalizations within the same limits. Its hash covers this file too.

Each parameter is marked as *scientific* (the study is about it), *nuisance* (it must be tuned for a fair comparison) or
*fixed*.
"""

from collections.abc import Mapping
from typing import Any

from sceneshift.search.profile import Profile
from sceneshift.search.space import Suggests

#: The pairs used if neither --pairs nor --scene is given; those of S2AMSnet's space.
PAIRS = ("west-east", "sw-se")

#: Pairs of two sources, for methods that compare sources.
PAIRS_OF_SEVERAL_SOURCES = ("nw+sw-se",)

#: The normalizations that are searched: all except "none".
NORMALIZATIONS = (
    "l2-per-pixel",
    "minmax-per-band",
    "standardize-per-band",
    "l2-then-standardize",
    "derivative",
)

#: The defaults of :class:`sceneshift.methods.method.DiscriminatorConfig`, by suggested name.
DEFAULTS: Mapping[str, Any] = {
    "patch_size": 13,
    "batch_size": 256,
    "lr": 1e-3,
    "width": 128,
    "flips": True,
    "noise_scale": 0.28,
    "normalization": "l2-per-pixel",
    "average_from": 1.0,
}


def profiles(limits: Mapping[str, Mapping[str, tuple[float, float]]] | None = None) -> tuple[Profile, ...]:
    """The profiles laptop, paper and smoke-test.

    Args:
        limits: By profile, the lowest and highest value of a method's own parameters; those of the discriminator are
            limited in the same way for all methods.
    """
    limits = limits or {}
    return (
        Profile(
            name="laptop",
            description="two CPU cores, six minutes: small patches, a narrow width, few pixels",
            epochs=40,
            num_samples=12,
            time_budget_s=330,
            pixels_per_class=60,
            limits={
                "patch_size": (5, 7),
                "batch_size": (32, 64),
                "lr": (3e-4, 5e-3),
                "width": (32, 32),
                **limits.get("laptop", {}),
            },
            startup_trials=5,
            grace_epochs=6,
            reduction_factor=3,
        ),
        Profile(
            name="paper",
            description="every patch size and width, all source pixels, 400 epochs",
            epochs=400,
            num_samples=60,
            limits={"batch_size": (64, 512), "width": (64, 256), **limits.get("paper", {})},
            startup_trials=10,
            grace_epochs=25,
            reduction_factor=3,
        ),
        Profile(
            name="smoke-test",
            description="one minute: every part runs, the figures mean nothing",
            epochs=2,
            num_samples=3,
            time_budget_s=60,
            pixels_per_class=12,
            limits={
                "patch_size": (5, 7),
                "batch_size": (16, 32),
                "width": (32, 32),
                **limits.get("smoke-test", {}),
            },
            startup_trials=2,
        ),
    )


def suggest(trial: Suggests) -> dict[str, Any]:
    """Suggest the settings of :class:`sceneshift.methods.method.DiscriminatorConfig`."""
    return {
        # Side of the patch in pixels: how much of a pixel's surroundings is seen. Scientific.
        "patch_size": trial.suggest_categorical("patch_size", [5, 7, 9, 11, 13, 15]),
        # Patches per step; batch statistics depend on it. Nuisance.
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128, 256, 512]),
        # Adam's learning rate. Nuisance.
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        # d, the discriminator's width: capacity, and most of the cost. Nuisance.
        "width": trial.suggest_categorical("width", [32, 64, 128, 256]),
        # Flips of training patches. Nuisance.
        "flips": trial.suggest_categorical("flips", [False, True]),
        # Radiation noise, as a multiple of the data's rms. Nuisance.
        "noise_scale": trial.suggest_float("noise_scale", 0.0, 1.0),
        # How spectra are normalized for the network, fitted on the source alone. Scientific: it decides whether
        # brightness and an offset of the whole spectrum are kept.
        "normalization": trial.suggest_categorical("normalization", NORMALIZATIONS),
        # Share of the epochs after which weights are averaged; 1 keeps those of the last epoch. Nuisance.
        "average_from": trial.suggest_categorical("average_from", [0.5, 1.0]),
    }
