"""The search that chaos is done to: S2AMSnet, small, with real epochs and real stops by ASHA."""

from typing import Any

from sceneshift.search.profile import Profile
from sceneshift.search.space import Suggests

PAIRS = ("sw-se",)

DEFAULTS: dict[str, Any] = {
    "patch_size": 5,
    "lr": 1e-3,
    "noise_dim": 2,
    "beta_alpha": 0.6,
    "temperature": 0.07,
    "flips": True,
}

PROFILES = (
    Profile(
        name="chaos",
        description="half a minute of search where nothing happens to it",
        epochs=9,
        num_samples=6,
        pixels_per_class=12,
        startup_trials=2,
        grace_epochs=3,
        reduction_factor=3,
    ),
)


def space(trial: Suggests) -> dict[str, Any]:
    """Suggest a small configuration."""
    return {
        "patch_size": trial.suggest_categorical("patch_size", [5]),
        "batch_size": 32,
        "width": 32,
        "generator_channels": 8,
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "noise_dim": trial.suggest_int("noise_dim", 1, 8),
        "beta_alpha": trial.suggest_float("beta_alpha", 0.2, 2.0),
        "temperature": trial.suggest_float("temperature", 0.03, 0.5, log=True),
        "flips": trial.suggest_categorical("flips", [False, True]),
    }
