"""Search space of S2AMSnet.

Edit this file, or copy it and pass the copy's path to your own script. It is plain Python that only the driver reads; a
hash of its text is tagged on every run. ``space`` may branch (define-by-run). A parameter's random draw depends on its
own name, so adding a parameter does not change the draws of the others.

Each parameter is marked as *scientific* (the study is about it), *nuisance* (it must be tuned for a fair comparison) or
*fixed*.
"""

from typing import Any

from sceneshift.search.profile import Profile
from sceneshift.search.space import Suggests

#: The pairs used if neither --pairs nor --scene is given: disjoint sources and targets, with enough pixels of every
#: class for a split by blocks.
PAIRS = ("west-east", "sw-se")

#: The normalizations that are searched: all except "none".
NORMALIZATIONS = (
    "l2-per-pixel",
    "minmax-per-band",
    "standardize-per-band",
    "l2-then-standardize",
    "derivative",
)

#: The paper's values, by suggested name: the first trial of every search, clipped to the profile.
DEFAULTS: dict[str, Any] = {
    "patch_size": 13,
    "batch_size": 256,
    "lr": 1e-3,
    "width": 128,
    "generator_channels": 24,
    "noise_dim": 2,
    "init_std": 1.0,
    "renormalize": False,
    "beta_alpha": 0.6,
    "temperature": 0.07,
    "lambda_kl_on": True,
    "lambda_kl": 1.0,
    "lambda_mi_on": True,
    "lambda_mi": 1.0,
    "lambda_src_on": False,
    "lambda_src": 1.0,
    "flips": True,
    "noise_scale": 0.57,  # the paper's n/25 on scenes of 200 bands, such as the embedded ones; at 48 bands 0.28
    "normalization": "l2-per-pixel",
    "average_from": 1.0,
}

#: Settings for short trainings on few pixels. They were chosen by accuracy on the targets of the two pairs above, so
#: figures for those pairs are no evidence for other scenes.
_SHORT: dict[str, Any] = {
    "patch_size": 5,
    "batch_size": 64,
    "lr": 1e-3,
    "init_std": 0.05,
    "lambda_src_on": True,
    "noise_scale": 0.4,
    "normalization": "standardize-per-band",
    "average_from": 0.5,
}

PROFILES = (
    Profile(
        name="laptop",
        description="two CPU cores, eight minutes: small patches, a narrow width, few pixels, as many epochs as fit",
        epochs=16,
        least_epochs=8,
        num_samples=8,
        time_budget_s=330,
        pixels_per_class=100,
        limits={
            "patch_size": (5, 7),
            "batch_size": (32, 64),
            "lr": (3e-4, 5e-3),
            "width": (32, 32),
            "generator_channels": (8, 8),
        },
        startup_trials=5,
        grace_epochs=6,
        reduction_factor=3,
        first_trials=(
            _SHORT,
            {**_SHORT, "noise_scale": 0.1},
            {**_SHORT, "normalization": "minmax-per-band"},
            {**_SHORT, "noise_dim": 8},
            {**_SHORT, "lambda_mi": 3.0},
            {**_SHORT, "noise_scale": 0.6, "lr": 7e-4},
        ),
    ),
    Profile(
        name="paper",
        description="the published setting: every patch size and width, all source pixels, 400 epochs",
        epochs=400,
        num_samples=60,
        limits={"batch_size": (64, 512), "width": (64, 256), "generator_channels": (8, 64)},
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
            "generator_channels": (8, 8),
        },
        startup_trials=2,
    ),
)


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest one configuration of :class:`sceneshift.methods.s2amsnet.S2AMSnetConfig`."""
    config: dict[str, Any] = {
        # Side of the patch in pixels: how much of a pixel's surroundings is seen. Scientific.
        "patch_size": trial.suggest_categorical("patch_size", [5, 7, 9, 11, 13, 15]),
        # Patches per step; batch statistics and the contrast's negatives depend on it. Nuisance.
        "batch_size": trial.suggest_categorical("batch_size", [16, 32, 64, 128, 256, 512]),
        # Adam's learning rate, for discriminator, generators and encoder alike. Nuisance.
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        # d, the discriminator's width: capacity, and most of the cost. Nuisance.
        "width": trial.suggest_categorical("width", [32, 64, 128, 256]),
        # ch, the width of a generator's blocks. Scientific.
        "generator_channels": trial.suggest_categorical("generator_channels", [8, 16, 24, 32, 64]),
        # Length of the noise behind each AdaIN: how many ways a generated domain can differ. Scientific.
        "noise_dim": trial.suggest_int("noise_dim", 1, 16, log=True),
        # Spread of the generators' initial weights: how far an untrained generator moves the data. Scientific.
        "init_std": trial.suggest_float("init_std", 0.02, 1.0, log=True),
        # Whether generated pixels are scaled back to the source pixel's L2 norm. Scientific.
        "renormalize": trial.suggest_categorical("renormalize", [False, True]),
        # Beta(a, a) of the mixing: below 1 mixes are near one end, above 1 near the middle. Scientific.
        "beta_alpha": trial.suggest_float("beta_alpha", 0.2, 2.0),
        # tau of the contrast: a low value considers only the hardest negatives. Nuisance.
        "temperature": trial.suggest_float("temperature", 0.03, 0.5, log=True),
        # Weight of the agreement between domains in the discriminator's step. Scientific.
        "lambda_kl": _zero_or_log(trial, "lambda_kl", 1e-2, 10.0),
        # Weight of the mutual information that preserves the semantics of generated patches. Scientific.
        "lambda_mi": _zero_or_log(trial, "lambda_mi", 1e-2, 10.0),
        # Weight of the plain cross-entropy on source patches; the paper has none. Scientific.
        "lambda_src": _zero_or_log(trial, "lambda_src", 1e-2, 10.0),
        # Flips of training patches. Nuisance.
        "flips": trial.suggest_categorical("flips", [False, True]),
        # Radiation noise, as a multiple of the data's rms. Nuisance.
        "noise_scale": trial.suggest_float("noise_scale", 0.0, 1.0),
        # How spectra are normalized for the networks, fitted on the source alone. Scientific: it decides whether
        # brightness and an offset of the whole spectrum are kept; on the target it matters as much as everything else.
        "normalization": trial.suggest_categorical("normalization", NORMALIZATIONS),
        # Share of the epochs after which weights are averaged; 1 keeps those of the last epoch. Nuisance.
        "average_from": trial.suggest_categorical("average_from", [0.5, 1.0]),
        # Fixed: lambda_ce = lambda_adv = 1. With Adam only the ratios of the weights matter.
        "lambda_ce": 1.0,
        "lambda_adv": 1.0,
    }
    return config


def _zero_or_log(trial: Suggests, name: str, low: float, high: float) -> float:
    # The weight may be zero, which a logarithmic range does not contain.
    if not trial.suggest_categorical(f"{name}_on", [False, True]):
        return 0.0
    return trial.suggest_float(name, low, high, log=True)
