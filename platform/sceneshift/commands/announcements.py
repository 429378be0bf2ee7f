"""The first lines a user sees: what is about to happen, and which pixels train, validate and test."""

from collections.abc import Sequence

from sceneshift.catalogue.units import describe_units
from sceneshift.commands.durations import duration_text
from sceneshift.engine.prepared_training import PreparedTraining
from sceneshift.execution.executor import Placement
from sceneshift.scenes.measured import describe_missing
from sceneshift.scenes.normalization import constant_bands
from sceneshift.scenes.scene import Scene
from sceneshift.search.pace import Pace
from sceneshift.search.prepared import PreparedSearch
from sceneshift.splits.pair import ScenePair, short_name
from sceneshift.splits.shares import describe_shares
from sceneshift.splits.split import Split
from sceneshift.training.data import DataSpec, LoadedData


def announce_search(search: PreparedSearch) -> list[str]:
    """The lines that describe what a search is about to do."""
    profile = search.profile
    per_class = profile.pixels_per_class
    lines = [
        f"study                {search.spec.name}",
        f"kept in              {search.directory}",
        f"profile              {profile.name}: {profile.description}",
        f"                     {profile.num_samples} trials of at most {profile.epochs} epochs"
        + (f" (as many as fit, at least {profile.least_epochs})" if search.chooses_epochs else "")
        + ", "
        + ("all training pixels" if per_class is None else f"at most {per_class} training pixels per class")
        + f", patch <= {search.data.spec.patch_size}"
        + ("" if profile.time_budget_s is None else f", search ends after {profile.time_budget_s:g} s"),
        *search.data.recipes[0].catalogue.announcement(),
    ]
    for pair in search.data.pairs:
        lines += describe_pair(pair, splits_of(search.data, pair), search.data.spec)
    return lines + [f"{'' if i else 'narrowed':<21}{line}" for i, line in enumerate(search.narrowing)]


def announce_pace(pace: Pace) -> str:
    """The number of epochs that was chosen by timing steps."""
    return (
        f"epochs               {pace.profile.epochs} per trial, first stop after {pace.profile.grace_epochs}: "
        f"timed steps say {pace.seconds_per_epoch:.1f} s per epoch of the defaults; --epochs sets another number"
    )


def announce_duration(seconds: float) -> str:
    """What a search without a time budget is expected to take, and how to make it shorter."""
    return (
        f"expected             about {duration_text(seconds)} on this machine, by timed steps, if most trials are "
        "stopped early; --profile laptop takes minutes, --time-budget-s ends a search, a GPU is faster"
    )


def announce_trials(search: PreparedSearch, placement: Placement) -> str:
    """Where trials run, how many at once, and with which resources."""
    of_workers = f" of {placement.workers} workers" if placement.workers > 1 else ""
    return (
        f"search               {placement.at_once} trials at once{of_workers}, {placement.cpus:g} CPU"
        + (f" and {placement.gpus:g} GPU" if placement.gpus else "")
        + f" each, training in {search.trained_in(placement)} and in {search.spec.precision}"
    )


def announce_training(training: PreparedTraining) -> list[str]:
    """The lines that describe what a training is about to do."""
    spec, options = training.spec, training.options
    workers = f", {options.workers} workers" if options.workers > 1 else ""
    where = {None: "", "ray": " in Ray", "ray-train": " in Ray Train"}[options.in_ray]
    config = ", ".join(f"{name} {value}" for name, value in spec.as_dict()["config"].items())
    lines = [
        f"run                  {training.name}",
        f"kept in              {training.directory}",
        f"method               {spec.method}, {spec.epochs} epochs, seed {spec.seed}, {spec.precision}, "
        f"{options.torch_device.type}{workers}{where}",
        f"                     {config}",
        *training.data.recipes[0].catalogue.announcement(),
    ]
    for pair in training.data.pairs:
        lines += describe_pair(pair, splits_of(training.data, pair), training.data.spec)
    return lines


def splits_of(data: LoadedData, pair: ScenePair) -> list[Split]:
    """The split of each of a pair's sources."""
    return [source.split for source in data.sources_of(pair.name)]


def describe_pair(pair: ScenePair, splits: Sequence[Split], spec: DataSpec | None = None) -> list[str]:
    """Describe which pixels train, validate and test, how separate they are, and which classes aren't scored.

    What is missing of the scenes is included, and the unit of the values if a scene states one.

    Args:
        pair: The pair.
        splits: The split of each of its sources.
        spec: What was asked for, which the classes' shares are compared with; None leaves that out.
    """
    is_scene = pair.test_split is not None
    lines = [f"{'scene' if is_scene else 'pair'} {pair.name}".ljust(20) + " "]
    if pair.test_split is not None:
        lines[0] += _counts(pair.test_split, "test")
    for source, split in zip(pair.sources, splits, strict=True):
        about = _about_source(pair, source, split, spec)
        if is_scene and split.kind == "all":
            lines[0] += about[0]
        elif is_scene:
            lines += [f"{' ' * 21}{line}" for line in about]
        elif len(splits) == 1:
            lines = [lines[0] + about[0], *(f"{' ' * 21}{line}" for line in about[1:])]
        else:
            lines += [f"{' ' * 21}{short_name(source)}: {about[0]}", *(f"{' ' * 21}{line}" for line in about[1:])]
    if len(splits) > 1:
        lines[0] += f"{len(splits)} sources, normalized together"
    scenes = pair.sources if is_scene else (*pair.sources, pair.target)
    lines += [f"{' ' * 21}{line}" for scene in scenes for line in describe_missing(scene)]
    if len(constant := constant_bands(*(source.cube for source in pair.sources))):
        are, over = "is" if len(constant) == 1 else "are", "source" if len(splits) == 1 else "sources"
        constant_note = f"{len(constant)} of {pair.target.num_bands} bands {are} constant over the {over}"
        lines.append(
            f"{' ' * 21}{constant_note} (the first: {constant[0]}): nothing can be learned from constant bands"
        )
    if (units := describe_units(pair)) is not None:
        lines.append(f"{' ' * 21}unit: {units}")
    return [*lines, *(f"{' ' * 21}{note}" for note in pair.notes)]


def _about_source(pair: ScenePair, source: Scene, split: Split, spec: DataSpec | None) -> list[str]:
    """Which pixels of a source train and validate; the first line may be empty."""
    is_scene = pair.test_split is not None
    if split.kind != "all":
        lines = [_counts(split, "validation")]
        left_out = [name for k, name in enumerate(pair.class_names) if k not in split.scored_classes]
        if left_out:
            lines.append(f"NOT in the validation score, only on one side of the split: {', '.join(left_out)}")
        if spec is not None and split.kind in ("blocks", "fields"):
            shares = describe_shares(
                source,
                split.train,
                spec.source_fraction,
                classes=split.scored_classes if is_scene else None,
                pixels_per_class=spec.pixels_per_class,
            )
            lines.append(f"{'of the training side, ' if is_scene else ''}{shares}")
        return lines
    if spec is not None and spec.pixels_per_class is not None:
        few = f"{len(split.train)} pixels train, at most {spec.pixels_per_class} per class"
        return [f"; of these, {few}" if is_scene else few]
    return ["" if is_scene else f"all {len(split.train)} labelled pixels of the source train"]


def _counts(split: Split, side: str) -> str:
    near = split.separation()
    how = {"random": "at random", "masks": "by masks"}.get(split.kind, f"by {split.kind}, guard {split.guard}")
    how += ", which LEAKS" if split.leaks else ""
    return (
        f"{len(split.train)} training and {len(split.validation)} {side} pixels {how} (patch {near.patch_size}: "
        f"{near.num_inside_training_patch} {side} pixels inside a training patch, "
        f"{near.num_overlapping_patches} with an overlapping patch)"
    )
