"""Search space of S2VNet.

Edit this file, or copy it and pass the copy's path to your own script. It is plain Python that only the driver reads; a
hash of its text is tagged on every run. ``space`` may branch (define-by-run). A parameter's random draw depends on its
own name, so adding a parameter does not change the draws of the others.

Each parameter is marked as *scientific* (the study is about it), *nuisance* (it must be tuned for a fair comparison) or
*fixed*.
"""

from typing import Any

from sceneshift.search.profile import Profile
from sceneshift.search.space import Suggests

#: The scene used if neither --scene nor --pairs is given.
SCENE = "indian_pines"

#: The normalizations that are searched: all except "none".
NORMALIZATIONS = (
    "minmax-per-band",
    "l2-per-pixel",
    "standardize-per-band",
    "l2-then-standardize",
    "derivative",
)

#: The paper's values, by suggested name: the first trial of every search, clipped to the profile.
DEFAULTS: dict[str, Any] = {
    "patch_size": 7,
    "batch_size": 64,
    "lr": 1e-3,
    "width": 32,
    "heads": 4,
    "z_dim": 4,
    "lambda_sad": 1.0,
    "lambda_kl": 0.01,
    "lambda_tv_e": 0.01,
    "lambda_tv_a": 0.01,
    "normalization": "minmax-per-band",
    "average_from": 1.0,
}

PROFILES = (
    Profile(
        name="laptop",
        description="two CPU cores, six minutes: small patches, few pixels, few epochs",
        epochs=40,
        num_samples=12,
        time_budget_s=390,
        pixels_per_class=60,
        limits={"patch_size": (5, 7), "batch_size": (32, 64)},
        startup_trials=5,
        grace_epochs=5,
        reduction_factor=3,
    ),
    Profile(
        name="paper",
        description="the published setting: every patch size, all training pixels, 500 epochs",
        epochs=500,
        num_samples=60,
        startup_trials=10,
        grace_epochs=30,
        reduction_factor=3,
    ),
    Profile(
        name="smoke-test",
        description="one minute: every part runs, the figures mean nothing",
        epochs=2,
        num_samples=3,
        time_budget_s=60,
        pixels_per_class=12,
        limits={"patch_size": (5, 7), "batch_size": (32, 32), "width": (16, 16)},
        startup_trials=2,
    ),
)


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.s2vnet.S2VNetConfig`."""
    config: dict[str, Any] = {
        # Side of the patch in pixels: how much of a pixel's surroundings is seen. Scientific.
        "patch_size": trial.suggest_categorical("patch_size", [5, 7, 9, 11]),
        # Patches per step; batch statistics depend on it. Nuisance.
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128, 256]),
        # Adam's learning rate in the first tenth of the training. Nuisance.
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        # Width of the pixel-level classifier. Nuisance.
        "width": trial.suggest_categorical("width", [16, 32, 64]),
        # Heads of its attention, each with its own decay. Nuisance.
        "heads": trial.suggest_categorical("heads", [2, 4]),
        # Latent dimensions of the endmembers' variability: in how many ways a spectrum can vary. Scientific.
        "z_dim": trial.suggest_int("z_dim", 2, 16, log=True),
        # Weight of the spectral angle between pixels and their reconstruction: how much unmixing counts. Scientific.
        "lambda_sad": trial.suggest_float("lambda_sad", 0.1, 10.0, log=True),
        # Weight of the variability's divergence from a standard normal. Scientific.
        "lambda_kl": trial.suggest_float("lambda_kl", 1e-4, 1.0, log=True),
        # Weight of the perturbation's smoothness along bands. Scientific.
        "lambda_tv_e": trial.suggest_float("lambda_tv_e", 1e-4, 1.0, log=True),
        # Weight of the abundance features' smoothness over the patch. Scientific.
        "lambda_tv_a": trial.suggest_float("lambda_tv_a", 1e-4, 1.0, log=True),
        # How spectra are normalized for the network, fitted on the source alone. Scientific: it decides whether
        # brightness and an offset of the whole spectrum are kept.
        "normalization": trial.suggest_categorical("normalization", NORMALIZATIONS),
        # Share of the epochs after which weights are averaged; 1 keeps those of the last epoch. Nuisance.
        "average_from": trial.suggest_categorical("average_from", [0.5, 1.0]),
    }
    return config
