"""The results of a search, as values and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceneshift.errors import StudyError
from sceneshift.search.trial_record import TrialRecord
from sceneshift.selection.candidates import Choice
from sceneshift.tracking.models import LoggedModel

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The result of a search.

    Args:
        name: Its name.
        directory: Its local directory.
        records: Its trials.
        num_samples: The number of requested trials.
        choice: The chosen trial and epoch; None if the search was interrupted.
        summary: What closing wrote: scores, verdicts, configurations; None if it was interrupted.
        models: The registered models, one per pair; empty if it was interrupted or had been closed before.
        tracking_uri: Where MLflow stores its runs.
        experiment_id: Its experiment there; empty if the search had been closed before.
        run_id: Its run there.
    """

    name: str
    directory: Path
    records: Sequence[TrialRecord]
    num_samples: int
    choice: Choice | None
    summary: Mapping[str, Any] | None
    models: Sequence[LoggedModel] = ()
    tracking_uri: str = field(repr=False)
    experiment_id: str = ""
    run_id: str = ""

    @property
    def is_closed(self) -> bool:
        """Whether there are enough trials, and winner and defaults were scored on the targets."""
        return self.summary is not None

    @property
    def trials(self) -> "pd.DataFrame":
        """One row per trial: number, state, last epoch, score, seconds, and what was suggested (``params.…``)."""
        import pandas as pd

        rows = [
            {
                "number": record.number,
                "state": record.state,
                "ended": None if record.ended is None else record.ended.value,
                "epochs": record.last_epoch,
                "score": record.value,
                "seconds": record.seconds,
                **{f"params.{name}": value for name, value in record.params.items()},
            }
            for record in self.records
        ]
        return pd.DataFrame(rows).set_index("number")

    @property
    def scores(self) -> "pd.DataFrame":
        """One row per pair and role: networks, floors and the majority class on validation and target, 0 to 1.

        Raises:
            StudyError: The search was interrupted.
        """
        import pandas as pd

        if self.summary is None:
            raise StudyError(f"study {self.name!r} is not closed; resume it to have scores.")
        return pd.json_normalize([dict(row) for row in self.summary["scores"]]).set_index(["pair", "role"])
