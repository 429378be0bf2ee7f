"""A row of the comparison, and rows as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from sides import Shape

_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind of work, timed on both sides with the same allocator; what was not measured is None."""

    work: str
    shape: Shape
    precision: str
    """Of ours; the baseline computes in float32 throughout."""

    allocator: str
    ours_runs_s: Sequence[float]
    """Seconds of each run of `patches` patches, warm-up left out."""

    baseline_runs_s: Sequence[float]
    patches: int
    equal: bool | None = None
    """Whether both sides computed the same; None where it makes no sense or could not be decided."""

    agreement: Mapping[str, Any] = field(default_factory=dict)
    ours_memory: Mapping[str, int] | None = None
    """Bytes: `peak` of the whole process, `growth` over its memory before the first step."""

    baseline_memory: Mapping[str, int] | None = None

    @property
    def label(self) -> str:
        """Work and precision."""
        return f"{self.work} {self.precision}".strip()

    @property
    def name(self) -> str:
        """Work, precision, shape and allocator."""
        return f"{self.label}, {self.shape}, {self.allocator}"

    @property
    def ratio(self) -> float:
        """Speedup over the baseline."""
        return median(self.baseline_runs_s) / median(self.ours_runs_s)

    def as_json(self) -> dict[str, Any]:
        """The row as it is written to a file."""
        ours, baseline = median(self.ours_runs_s), median(self.baseline_runs_s)
        mine, other = self.ours_memory or {}, self.baseline_memory or {}
        return {
            "name": self.name,
            "work": self.work,
            "shape": asdict(self.shape),
            "precision": self.precision,
            "allocator": self.allocator,
            "ours_s": ours,
            "baseline_s": baseline,
            "ratio": self.ratio,
            "equal": self.equal,
            "agreement": dict(self.agreement),
            "ours_patches_per_s": self.patches / ours,
            "baseline_patches_per_s": self.patches / baseline,
            "ours_peak_bytes": mine.get("peak"),
            "baseline_peak_bytes": other.get("peak"),
            "ours_peak_growth_bytes": mine.get("growth"),
            "baseline_peak_growth_bytes": other.get("growth"),
            "ours_runs_s": list(self.ours_runs_s),
            "baseline_runs_s": list(self.baseline_runs_s),
        }


def table(rows: Sequence[Row]) -> str:
    """Rows of one shape and allocator in markdown, and below it what was found about their agreement."""
    lines = [
        f"**{rows[0].shape}; allocator: {rows[0].allocator}**\n",
        "| work | ours, ms | baseline, ms | speedup | equal | patches/s, ours / baseline "
        "| peak MiB, ours / baseline (growth) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rates = row.as_json()
        equal = {True: "yes", False: "NO", None: "–"}[row.equal]
        memory = "–"
        if row.ours_memory and row.baseline_memory:
            memory = " / ".join(
                f"{m['peak'] / _MIB:.0f} ({m['growth'] / _MIB:.0f})" for m in (row.ours_memory, row.baseline_memory)
            )
        lines.append(
            f"| {row.label} | {_spread(row.ours_runs_s)} | {_spread(row.baseline_runs_s)} "
            f"| {row.ratio:.2f} | {equal} | {rates['ours_patches_per_s']:.0f} / {rates['baseline_patches_per_s']:.0f} "
            f"| {memory} |"
        )
    notes = [
        f"- {row.label}: " + "; ".join(f"{name.replace('_', ' ')}: {_words(v)}" for name, v in row.agreement.items())
        for row in rows
        if row.agreement
    ]
    return "\n".join([*lines, "", *notes])


def _spread(runs: Sequence[float]) -> str:
    low, high = 1e3 * min(runs), 1e3 * max(runs)
    return f"{1e3 * median(runs):.4g} ({low:.3g} to {high:.3g})"


def _words(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items())
    if isinstance(value, float):
        return f"{value:.2e}" if value < 1e-3 else f"{value:.5g}"
    return str(value)
