"""The first lines a user sees: what is about to happen, and which pixels train, validate and test."""

from sceneshift.catalogue.units import describe_units
from sceneshift.engine.prepared_training import PreparedTraining
from sceneshift.execution.executor import Placement
from sceneshift.scenes.measured import describe_missing
from sceneshift.scenes.normalization import constant_bands
from sceneshift.search.pace import Pace
from sceneshift.search.prepared import PreparedSearch
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.shares import describe_shares
from sceneshift.splits.split import Split
from sceneshift.training.data import DataSpec


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
    for pair, source in zip(search.data.pairs, search.data.sources, strict=True):
        lines += describe_pair(pair, source.split, search.data.spec)
    return lines + [f"{'' if i else 'narrowed':<21}{line}" for i, line in enumerate(search.narrowing)]


def announce_pace(pace: Pace) -> str:
    """The number of epochs that was chosen by timing steps."""
    return (
        f"epochs               {pace.profile.epochs} per trial, first stop after {pace.profile.grace_epochs}: "
        f"timed steps say {pace.seconds_per_epoch:.1f} s per epoch of the defaults; --epochs sets another number"
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
    for pair, source in zip(training.data.pairs, training.data.sources, strict=True):
        lines += describe_pair(pair, source.split, training.data.spec)
    return lines


def describe_pair(pair: ScenePair, split: Split, spec: DataSpec | None = None) -> list[str]:
    """Describe which pixels train, validate and test, how separate they are, and which classes aren't scored.

    What is missing of the scenes is included, and the unit of the values if a scene states one.

    Args:
        pair: The pair.
        split: The split of its source.
        spec: What was asked for, which the classes' shares are compared with; None leaves that out.
    """
    is_scene = pair.test_split is not None
    lines = [f"{'scene' if is_scene else 'pair'} {pair.name}".ljust(20) + " "]
    if pair.test_split is not None:
        lines[0] += _counts(pair.test_split, "test")
    if split.kind != "all":
        told = _counts(split, "validation")
        lines = [*lines, f"{' ' * 21}{told}"] if is_scene else [lines[0] + told]
        left_out = [name for k, name in enumerate(pair.class_names) if k not in split.scored_classes]
        if left_out:
            lines.append(f"{' ' * 21}NOT in the validation score, only on one side of the split: {', '.join(left_out)}")
        if spec is not None and split.kind in ("blocks", "fields"):
            shares = describe_shares(
                pair.source,
                split.train,
                spec.source_fraction,
                classes=split.scored_classes if is_scene else None,
                pixels_per_class=spec.pixels_per_class,
            )
            lines.append(f"{' ' * 21}{'of the training side, ' if is_scene else ''}{shares}")
    elif spec is not None and spec.pixels_per_class is not None:
        lines[0] += ("; of these, " if is_scene else "") + (
            f"{len(split.train)} pixels train, at most {spec.pixels_per_class} per class"
        )
    elif not is_scene:
        lines[0] += f"all {len(split.train)} labelled pixels of the source train"
    scenes = (pair.source,) if is_scene else (pair.source, pair.target)
    lines += [f"{' ' * 21}{line}" for scene in scenes for line in describe_missing(scene)]
    if len(constant := constant_bands(pair.source.cube)):
        are = "is" if len(constant) == 1 else "are"
        told = f"{len(constant)} of {pair.source.num_bands} bands {are} constant over the source"
        lines.append(f"{' ' * 21}{told} (the first: {constant[0]}): nothing can be learned from constant bands")
    if (units := describe_units(pair)) is not None:
        lines.append(f"{' ' * 21}unit: {units}")
    return [*lines, *(f"{' ' * 21}{note}" for note in pair.notes)]


def _counts(split: Split, side: str) -> str:
    near = split.separation()
    how = {"random": "at random", "masks": "by masks"}.get(split.kind, f"by {split.kind}, guard {split.guard}")
    how += ", which LEAKS" if split.leaks else ""
    return (
        f"{len(split.train)} training and {len(split.validation)} {side} pixels {how} (patch {near.patch_size}: "
        f"{near.num_inside_training_patch} {side} pixels inside a training patch, "
        f"{near.num_overlapping_patches} with an overlapping patch)"
    )
