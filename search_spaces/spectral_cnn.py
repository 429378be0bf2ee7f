"""Search space of the spectral network: a one-dimensional convolutional network on single spectra.

Edit this file, or copy it and pass the copy's path to your own script.

Each parameter is marked as *scientific* (the study is about it), *nuisance* (it must be tuned for a fair comparison) or
*fixed*.
"""

from dataclasses import replace
from typing import Any

from sceneshift.search import discriminator_space
from sceneshift.search.space import Suggests

#: The pairs used if neither --pairs nor --scene is given; those of S2AMSnet's space.
PAIRS = discriminator_space.PAIRS

#: The method's own defaults, by suggested name: the first trial of every search, clipped to the profile.
DEFAULTS: dict[str, Any] = {
    "patch_size": 1,
    "batch_size": 256,
    "lr": 1e-3,
    "kernels": 20,
    "hidden": 100,
    "noise_scale": 0.0,
    "normalization": "minmax-per-band",
    "average_from": 1.0,
}

#: Those of the other methods, without the limits of patches and of the discriminator's width.
PROFILES = tuple(
    replace(profile, limits={name: limit for name, limit in profile.limits.items() if name in ("batch_size", "lr")})
    for profile in discriminator_space.profiles()
)


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.spectral_cnn.SpectralCNNConfig`."""
    return {
        # Fixed: the centre pixel alone is looked at. Where networks share its split, set their largest patch.
        "patch_size": trial.suggest_categorical("patch_size", [1]),
        # Patches per step. Nuisance.
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128, 256, 512]),
        # Adam's learning rate. Nuisance.
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        # Number of kernels. Nuisance.
        "kernels": trial.suggest_categorical("kernels", [10, 20, 40]),
        # Number of hidden units. Nuisance.
        "hidden": trial.suggest_categorical("hidden", [50, 100, 200]),
        # Radiation noise, as a multiple of the data's rms. Nuisance.
        "noise_scale": trial.suggest_float("noise_scale", 0.0, 1.0),
        # How spectra are normalized, fitted on the source alone. Scientific: it decides whether brightness and an
        # offset of the whole spectrum are kept.
        "normalization": trial.suggest_categorical("normalization", discriminator_space.NORMALIZATIONS),
        # Share of the epochs after which weights are averaged; 1 keeps those of the last epoch. Nuisance.
        "average_from": trial.suggest_categorical("average_from", [0.5, 1.0]),
    }
