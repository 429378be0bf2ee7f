"""The order and the names in which MLflow shows the trials of a study."""

import math
from collections.abc import Sequence

from sceneshift.search.trial_record import TrialRecord


def trial_name(record: TrialRecord, *, rank: int | None = None) -> str:
    """Name of a trial's run: its number, what is special about it, and how it ended, such as ``trial-0003-stopped-e5``.

    Args:
        record: The trial.
        rank: Its rank in a closed study.
    """
    parts = [f"trial-{record.number:04d}"]
    if rank == 1:
        parts.append("best")
    if record.is_reference:
        parts.append("defaults")
    if record.state in ("pruned", "fail"):
        parts.append(f"{'stopped' if record.state == 'pruned' else 'failed'}-e{record.last_epoch}")
    elif rank is not None and rank > 1:
        parts.append(f"rank{rank}")
    return "-".join(parts)


def ranked(records: Sequence[TrialRecord], *, best: int) -> list[TrialRecord]:
    """Trials in the order in which a closed study shows them.

    The winner comes first, wherever its value stands: another strategy may have chosen it. Then come the other complete
    trials, those that were stopped, by the epoch they reached, and those that failed; each by their objective.

    Args:
        records: All trials.
        best: Number of the winner.
    """

    def key(record: TrialRecord) -> tuple[bool, bool, bool, int, float]:
        value = record.value if record.value is not None and math.isfinite(record.value) else -math.inf
        return record.number != best, not record.is_complete, record.state == "fail", -record.last_epoch, -value

    return sorted(records, key=key)
