"""Checking whether an MLflow server has a compatible version, and what to do if not."""

import re
import shlex
import urllib.request
from importlib.metadata import version

from sceneshift.errors import StudyError

_OTHER_SCHEMA = re.compile(r"database schema \(found version (\w+), but expected (\w+)\)")


def refuse_other_server(uri: str) -> None:
    """Refuse a server of another major version; one that can't be asked is left to the first real request.

    Args:
        uri: ``http://…`` or ``https://…``.

    Raises:
        StudyError: With both versions.
    """
    ours = version("mlflow")
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/version", timeout=10) as answer:
            theirs = answer.read(100).decode("ascii", "replace").strip()
    except (OSError, ValueError):  # unreachable, behind a login, or not MLflow: the next request reports it
        return
    if re.fullmatch(r"\d+\.\d+\S*", theirs) and theirs.split(".")[0] != ours.split(".")[0]:
        raise StudyError(
            f"the MLflow server at {uri} is version {theirs}, this program supports {ours}. Start a server of that "
            "version, or name another by MLFLOW_TRACKING_URI. Nothing was written."
        )


def schema_in_words(uri: str, error: BaseException) -> str | None:
    """What to do about a database that another version of MLflow made; None for any other error.

    Args:
        uri: The database.
        error: What MLflow raised.
    """
    found = _OTHER_SCHEMA.search(str(error))
    if found is None:
        return None
    theirs, expected = found.groups()
    ours = version("mlflow")
    if theirs in _known_revisions():
        return (
            f"the MLflow database {uri} was made by an older MLflow than {ours} (its schema is {theirs}, expected "
            f"{expected}). Copy it, then run: {shlex.join(['mlflow', 'db', 'upgrade', uri])}"
        )
    return (
        f"the MLflow database {uri} was made by a newer MLflow than {ours} (its schema, {theirs}, is not known here). "
        "Use that version, or another database by MLFLOW_TRACKING_URI. Nothing was written."
    )


def _known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    scripts = ScriptDirectory.from_config(_get_alembic_config(db_url=""))
    return {script.revision for script in scripts.walk_revisions()}
