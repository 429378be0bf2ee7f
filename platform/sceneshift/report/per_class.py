"""A table of scores per class."""

import math
from collections.abc import Sequence

from sceneshift.report.tables import markdown_table
from sceneshift.scores import Scores


def render_per_class(scores: Scores, *, class_names: Sequence[str], num_train: Sequence[int]) -> str:
    """Accuracies as a Markdown table, in per cent; a dash if a class has no pixels or was never predicted.

    Args:
        scores: The confusion matrix.
        class_names: K names.
        num_train: Training pixels of each class.
    """
    predicted = scores.confusion.sum(axis=0)
    true = scores.confusion.sum(axis=1)
    hits = scores.confusion.diagonal()
    columns = ("class", "train", "test", "accuracy", "precision")
    rows = [
        (name, str(num_train[k]), str(true[k]), _per_cent(hits[k], true[k]), _per_cent(hits[k], predicted[k]))
        for k, name in enumerate(class_names)
    ]
    table = markdown_table(columns, rows, right=(False, True, True, True, True))
    summary = f"OA {100 * scores.oa:.2f}, AA {100 * scores.aa:.2f}, kappa {scores.kappa:.4f}"
    return f"{table}\n{summary} over {int(true.sum())} pixels\n"


def _per_cent(part: int, whole: int) -> str:
    share = math.nan if whole == 0 else 100 * part / whole
    return "-" if math.isnan(share) else f"{share:.1f}"
