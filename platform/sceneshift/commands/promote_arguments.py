"""The command line of the promotion script. Imports nothing heavy, so that ``--help`` answers immediately."""

from dataclasses import dataclass
from typing import Literal

from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.examples import EXAMPLES
from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class PromoteArgs:
    """Compare a version of a registered model with the champion on the same data, and make it champion.

    The old champion gets the alias previous-champion; --rollback restores it. MLFLOW_TRACKING_URI is honoured.
    """

    model: str
    """Registered name, method-source, such as s2amsnet-indian_pines-west."""

    version: str | None = None
    """The version to promote. Default: the candidate, which the newest study registered."""

    on: Literal["validation", "target"] = "validation"
    """Where both are scored: the source's validation pixels of the version's study, or the pair's target. The latter
    READS THE TARGET'S LABELS: a decision based on it selects on them, and the version records this."""

    rollback: bool = False
    """Make the previous champion the champion again, and the champion the previous one. Nothing is scored."""

    data_dir: str | None = None
    """Folder with the scenes' files. Default: where they were when the version was trained."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: its content when the version was trained."""

    storage_path: str = "results"
    """Directory of the studies, with their mlflow.db; not used if MLFLOW_TRACKING_URI names a server."""

    yes: bool = False
    """Don't ask for confirmation. Needed if there is no terminal."""

    def __post_init__(self) -> None:
        """Reject arguments that contradict each other.

        Raises:
            InvalidInputError: Naming the flag.
        """
        if self.rollback and (self.version is not None or self.on != "validation"):
            raise InvalidInputError("--rollback goes back to the previous champion; it takes no --version and no --on.")
        if self.version is not None and not (self.version.isdigit() and int(self.version) > 0):
            raise InvalidInputError(f"--version {self.version}: expected a number, such as 3.")


def read_promote_command_line() -> PromoteArgs:
    """Read the promotion script's command line; tyro prints help or errors and exits if necessary."""
    return read_arguments(PromoteArgs, EXAMPLES["promote"].description())
