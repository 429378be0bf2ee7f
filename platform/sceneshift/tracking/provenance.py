"""What a result came from: code, versions, machine."""

import platform as python_platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import sceneshift

_PACKAGES = ("torch", "ray", "optuna", "mlflow", "numpy")


def code_tags() -> dict[str, str]:
    """Commit, whether the working tree differs from it, and the versions that matter."""
    tags = {f"version.{name}": version(name) for name in _PACKAGES}
    tags["version.sceneshift"] = sceneshift.__version__
    tags["version.python"] = python_platform.python_version()
    commit = _git("rev-parse", "HEAD")
    tags["git.commit"] = commit or "unknown"
    if commit:
        tags["git.dirty"] = str(bool(_git("status", "--porcelain"))).lower()
    return tags


def _git(*arguments: str) -> str | None:
    root = Path(sceneshift.__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
