"""What a result came from: code, versions, machine."""

import hashlib
import platform as python_platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import sceneshift

_PACKAGES = ("torch", "ray", "optuna", "mlflow", "numpy")

#: Tag with the changes of code and data between two runs of a study or training.
CHANGES_TAG = "sceneshift.changes"

#: The specification of a search, a trial or a training, as JSON: all that is needed to run it again.
SPEC_TAG = "sceneshift.spec"

#: Tag with the run that was repeated.
REPEAT_OF_TAG = "sceneshift.repeat_of"


def code_tags() -> dict[str, str]:
    """Commit, whether the working tree differs from it, and the versions that matter."""
    tags = {f"version.{name}": version(name) for name in _PACKAGES}
    tags["code.hash"] = sources_hash()
    tags["version.sceneshift"] = sceneshift.__version__
    tags["version.python"] = python_platform.python_version()
    commit = _git("rev-parse", "HEAD")
    tags["git.commit"] = commit or "unknown"
    if commit:
        tags["git.dirty"] = str(bool(_git("status", "--porcelain"))).lower()
    return tags


def code_origin() -> dict[str, str]:
    """The code that determines results: a hash of the package, and the versions of the packages it computes with."""
    versions = {f"version of {name}": version(name) for name in _PACKAGES}
    return {"code (hash of the package's sources)": sources_hash(), **versions}


def sources_hash() -> str:
    """SHA-256 over the package's Python files by name, as 16 hexadecimal digits; available without git."""
    root = Path(sceneshift.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _git(*arguments: str) -> str | None:
    root = Path(sceneshift.__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
