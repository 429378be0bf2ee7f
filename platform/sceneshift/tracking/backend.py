"""Where MLflow stores its records: the server that ``MLFLOW_TRACKING_URI`` names, or a local SQLite file."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sceneshift.addresses import has_secret, proxy_advice, reach_this_machine_directly, split_user, without_secrets
from sceneshift.errors import InvalidInputError, StorageError, StudyError, first_line
from sceneshift.own_folders import ensure_home
from sceneshift.tracking.relocation import is_writable, readable_copy, relocate
from sceneshift.tracking.versions import refuse_other_server, schema_in_words

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: Read by MLflow when it is imported; values set by the user are kept.
MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # An unreachable server must not delay a search by minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # With a server, MLflow would print two lines for every closed run.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

_URI_VARIABLE = "MLFLOW_TRACKING_URI"

#: Address and port of MLflow's pages in links, as ``sceneshift ui`` serves them: reachable only from this machine.
UI_HOST, UI_PORT = "127.0.0.1", 5000

#: Key of the table of trials that :meth:`sceneshift.tracking.search_run.SearchRun.arrange_trials` lays out, in links.
TRIALS_VIEW = "trials"

#: Selects "Model training"; otherwise MLflow opens a view without a run's description.
_PAGES = "workflowType=machine_learning"


def apply_mlflow_settings() -> None:
    """Put :data:`MLFLOW_SETTINGS` into the environment; to be called before mlflow is imported.

    Raises:
        ResourceError: No folder for temporary files can be written.
    """
    ensure_home()
    reach_this_machine_directly()
    for name, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(name, value)


def run_page(experiment_id: str, run_id: str) -> str:
    """A run's page, below the UI's address."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{_PAGES}"


def trials_page(experiment_id: str) -> str:
    """The table of a study's trials, best first, below the UI's address."""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={TRIALS_VIEW}&{_PAGES}"


def artifact_page(experiment_id: str, run_id: str, path: str) -> str:
    """The page that shows one of a run's files, below the UI's address."""
    return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/{path}?{_PAGES}"


def artifact_content(run_id: str, path: str) -> str:
    """A run's file itself, below the UI's address."""
    return f"get-artifact?path={quote(path)}&run_uuid={run_id}"


def model_page(name: str, version: str) -> str:
    """A version in the model registry, below the UI's address."""
    return f"#/models/{quote(name)}/versions/{version}"


@dataclass(frozen=True, kw_only=True)
class TrackingBackend:
    """Where MLflow stores its records.

    Args:
        uri: The tracking URI. That of a database may have its password in it; :attr:`shown` has none.
        artifact_root: Directory for artifacts of new experiments, or None to leave it to the server.
    """

    uri: str = field(repr=False)
    artifact_root: Path | None

    @classmethod
    def resolve(cls, directory: Path) -> "TrackingBackend":
        """The backend ``MLFLOW_TRACKING_URI`` names, or ``mlflow.db`` in a directory.

        A name and a password in a server's address go to the variables that MLflow has for them: it would keep the
        address in what it writes.

        Raises:
            InvalidInputError: The variable names a plain directory, which MLflow 3 no longer writes to, or has a name
                without a password.
        """
        uri = os.environ.get(_URI_VARIABLE, "")
        if uri.startswith(("http://", "https://")):
            uri = os.environ[_URI_VARIABLE] = _with_user_apart(uri)
        if not uri:
            return cls(uri=f"sqlite:///{directory / 'mlflow.db'}", artifact_root=directory / "mlartifacts")
        if "://" not in uri or uri.startswith("file:"):
            raise InvalidInputError(
                f"MLFLOW_TRACKING_URI={uri!r} names a directory; MLflow 3 keeps records in a database. "
                "Use sqlite:////absolute/path/mlflow.db or the address of a server (http://…)."
            )
        if uri.startswith("sqlite:///"):
            path = Path(uri.removeprefix("sqlite:///")).resolve()
            return cls(uri=f"sqlite:///{path}", artifact_root=path.parent / "mlartifacts")
        return cls(uri=uri, artifact_root=None)

    @property
    def shown(self) -> str:
        """The tracking URI without a password: what is printed and kept."""
        return without_secrets(self.uri)

    @property
    def database(self) -> Path | None:
        """The SQLite file; None for anything else."""
        return Path(self.uri.removeprefix("sqlite:///")) if self.artifact_root is not None else None

    def connect(self, *, reads_only: bool = False) -> "MlflowClient":
        """Open the backend; a new SQLite file is created here, by one process, before anyone else touches it.

        The files of a SQLite file that was moved or copied are those next to it, wherever it was made. If it can't be
        written, a reader gets a copy of it, which is removed when the process ends.

        Args:
            reads_only: Nothing will be written.

        Raises:
            StudyError: It can't be reached, or another version of MLflow made it or serves it.
            StorageError: It is to be written, and can't be.
        """
        apply_mlflow_settings()
        import logging

        # MLflow logs the creation of tables line by line, and the traceback of every error that it also raises.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        import mlflow
        from mlflow.tracking._tracking_service import utils

        # By run: it would write to the folder that a copy was made from, if this process had that open before.
        utils._artifact_repos_cache.clear()
        uri = self.uri
        try:
            if self.database is None:
                refuse_other_server(self.uri)
            elif self.database.exists() and not is_writable(self.database):
                if not reads_only:
                    raise StorageError(
                        f"the MLflow records {self.database} can't be written; copy the whole folder to where they can "
                        "be, and give that by --storage-path."
                    )
                uri = f"sqlite:///{readable_copy(self.database)}"
            else:
                self.database.parent.mkdir(parents=True, exist_ok=True)
            given = os.environ.get(_URI_VARIABLE)
            mlflow.set_tracking_uri(uri)
            if given is None:  # MLflow sets it: the next search of this process would take it for the user's choice
                os.environ.pop(_URI_VARIABLE, None)
            client = mlflow.MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
            if self.artifact_root is not None:
                relocate(Path(uri.removeprefix("sqlite:///")), self.artifact_root)
        except StudyError:
            raise
        except Exception as error:  # a database driver, a server, a path: each raises its own errors
            if "error code 401" in str(error):
                raise StudyError(
                    f"MLflow at {self.shown} requires a name and a password: set MLFLOW_TRACKING_USERNAME and "
                    "MLFLOW_TRACKING_PASSWORD."
                ) from error
            if explanation := schema_in_words(self.shown, error):
                raise StudyError(explanation) from error
            raise StudyError(
                f"no MLflow at {self.shown} ({first_line(error)}). Start it, correct MLFLOW_TRACKING_URI, "
                f"or unset that variable to write to a file of the study's own.{proxy_advice(self.uri)}"
            ) from error
        return client

    def open_experiment(self, client: "MlflowClient", name: str) -> str:
        """The id of an experiment, which is created if it doesn't exist.

        Raises:
            StudyError: It was deleted.
        """
        existing = client.get_experiment_by_name(name)
        if existing is not None:
            if existing.lifecycle_stage == "deleted":
                raise StudyError(f"the MLflow experiment {name!r} was deleted; restore it or choose another name.")
            return str(existing.experiment_id)
        location = None if self.artifact_root is None else str(self.artifact_root / name)
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return str(client.create_experiment(name, artifact_location=location, tags=tags))

    def study_link(self, experiment_id: str, run_id: str) -> str:
        """A link straight to a study's run."""
        return f"{self._ui()}/{run_page(experiment_id, run_id)}"

    def trials_link(self, experiment_id: str) -> str:
        """A link to the table of a study's trials."""
        return f"{self._ui()}/{trials_page(experiment_id)}"

    @property
    def is_server(self) -> bool:
        """Whether it is a server, whose address is that of its pages."""
        return self.uri.startswith(("http://", "https://"))

    def _ui(self) -> str:
        return self.shown.rstrip("/") if self.is_server else f"http://{UI_HOST}:{UI_PORT}"


def _with_user_apart(uri: str) -> str:
    """A server's address without name and password, which are set in the environment, where MLflow looks for them."""
    bare, name, password = split_user(uri)
    if has_secret(bare) or (name and not (password or os.environ.get("MLFLOW_TRACKING_PASSWORD"))):
        raise InvalidInputError(
            f"MLFLOW_TRACKING_URI={without_secrets(uri)}: a name or password that can't be read. Leave both out of the "
            "address, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        )
    if name:
        os.environ.setdefault("MLFLOW_TRACKING_USERNAME", name)
    if password:
        os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", password)
    return bare
