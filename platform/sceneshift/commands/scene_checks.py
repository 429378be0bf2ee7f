"""What is in a file, reported before it is used, by the same readers as for a scene.

Shape letters: H rows, W columns, C bands.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sceneshift.catalogue.builtin import SCENES
from sceneshift.catalogue.entries import SceneEntry
from sceneshift.catalogue.user_entries import OwnScene
from sceneshift.files.arrays import (
    array_shapes,
    list_variables,
    read_array,
    read_description,
    read_label_map,
    read_mask,
)
from sceneshift.files.arrow_scenes import open_stored
from sceneshift.files.inside import split_inside
from sceneshift.files.missing import describe_values, valid_pixels
from sceneshift.safe_files import sha256_of
from sceneshift.scenes.mapped_arrays import SUFFIXES as STORED
from sceneshift.scenes.measured import describe_missing
from sceneshift.scenes.scene import Scene

#: Pictures contain a label map and nothing else.
_PICTURES = (".png",)

#: Maximum number of different integers in a 2-D array that is described as a label map.
_MOST_CLASSES = 100


def check_file(path: Path) -> list[str]:
    """Describe a file's content, one line per finding.

    Raises:
        MissingDataError: There is no such file.
        InvalidInputError: It can't be read.
    """
    if path.suffix.lower() in STORED:
        scene = open_stored(path, verify=True)
        lines = [str(path), f"  stored scene {scene.name!r}, checksum right"]
        lines += _about_cube("cube", scene.cube, scene.wavelengths_nm)
        lines += _about_labels("labels", scene.labels) if isinstance(scene, Scene) else ["  no labels"]
        lines += [f"  {line}" for line in describe_missing(scene)]
        return lines + ([] if scene.unit is None else [f"  unit: {scene.unit}"])
    if path.suffix.lower() in _PICTURES:
        return [str(path), *_about_labels("the picture", read_label_map(path))]
    described = read_description(path)
    wavelengths = None if described.wavelengths_nm is None else np.array(described.wavelengths_nm)
    lines = [str(path), *([] if described.unit is None else [f"  unit: {described.unit}"])]
    if described.stored_as is not None:
        lines.append(f"  values, when it is read as a scene: {described.stored_as}")
    mask = read_mask(path)
    for variable, about in list_variables(path).items():
        shape = about.shape
        if not about.numeric or len(shape) not in (2, 3):
            size = f"shape {shape}" if shape else "one"
            lines.append(f"  {variable}: {size}" + ("" if about.numeric else f" ({about.kind})"))
            continue
        values = read_array(path, variable, ndim=len(shape))
        if values.ndim == 3:
            lines += _about_cube(variable, values, wavelengths)
            lines += [f"    {line}" for line in describe_values(values, described, mask)]
            continue
        valid = valid_pixels(values, described, mask)
        if valid.any() and _looks_like_labels(values[valid]):
            lines += _about_labels(variable, np.where(valid, values, 0).astype(np.int64))
        else:
            lines.append(f"  {variable}: shape {shape}, {values.dtype}, {_range(values)}")
        if missing := int((~valid).sum()):
            stated = "NaN or masked" if described.ignore_value is None else f"{described.ignore_value:g}"
            lines.append(f"    {missing} pixels are missing data ({stated}): unlabelled")
            if described.ignore_value != 0 and (zeros := int((values[valid] == 0).sum())):
                lines.append(f"    {zeros} pixels are 0: unlabelled as well, unless label_values declares 0 as a class")
    return lines + _against_published(split_inside(path)[0])


def stated_unit(entry: SceneEntry | OwnScene) -> str:
    """The unit an entry states, to be appended to its line."""
    if entry.unit is None:
        return ""
    return f", {entry.unit}" + ("" if entry.scale == 1 else f" (numbers / {entry.scale:g})")


def _about_cube(variable: str, cube: NDArray[np.generic], wavelengths: NDArray[np.float64] | None) -> list[str]:
    height, width, bands = cube.shape
    lines = [f"  {variable}: {height} x {width} pixels, {bands} bands, {cube.dtype}, {_range(cube)}"]
    if wavelengths is not None and len(wavelengths) == bands:
        lines.append(f"    {wavelengths.min():.0f} to {wavelengths.max():.0f} nm")
    flat = cube.reshape(-1, bands)
    finite = np.isfinite(flat)
    if not finite.all():
        bad = np.flatnonzero(~finite.all(axis=0))
        lines.append(f"    NaN or infinity in {len(bad)} {'band' if len(bad) == 1 else 'bands'}: {_some(bad)}")
    constant = np.flatnonzero(flat.min(axis=0) == flat.max(axis=0))
    if len(constant):
        are = "band is" if len(constant) == 1 else "bands are"
        lines.append(f"    {len(constant)} {are} constant: {_some(constant)}")
    if min(height, width) < bands and max(height, width) > 4 * bands:
        lines.append("    the last axis is longer than one of the first two: are the axes in a different order?")
    return lines


def _about_labels(variable: str, labels: NDArray[np.int64]) -> list[str]:
    values, counts = np.unique(labels, return_counts=True)
    shares = ", ".join(f"{v}: {c}" for v, c in zip(values, counts, strict=True) if v != 0)
    unlabelled = int(counts[values == 0].sum())
    (height, width), labelled = labels.shape, int((labels > 0).sum())
    return [
        f"  {variable}: label map {height} x {width}, {labelled} labelled, {unlabelled} unlabelled pixels",
        f"    pixels per class  {shares or 'none'}",
    ]


def _against_published(path: Path) -> list[str]:
    lines = []
    digest = sha256_of(path) if any(path.name in entry.sha256 for entry in SCENES.values()) else ""
    for name, entry in SCENES.items():
        if path.name in entry.sha256:
            same = "the file that was counted" if digest == entry.sha256[path.name] else "ANOTHER release"
            lines.append(f"  as file of {name}: {same} (SHA-256 {entry.sha256[path.name]}){stated_unit(entry)}")
        for form in entry.forms:
            if form.labels is not None and form.labels.file == path.name and entry.counts is not None:
                values = read_array(path, form.labels.name)
                known = entry.label_values or tuple(range(1, len(entry.class_names) + 1))
                counts = tuple(int((values == number).sum()) for number in known)
                same = "the published release" if counts == entry.counts else "ANOTHER release"
                lines.append(f"  as labels of {name}: {same} ({entry.figures}: {', '.join(map(str, entry.counts))})")
            if form.cube.file == path.name and not form.bands_by_pixels:
                shape = array_shapes(path).get(form.cube.name)
                if shape is not None:
                    same = "the published shape" if shape == entry.shape else "ANOTHER release"
                    lines.append(f"  as cube of {name}: {same} ({entry.figures}: {entry.shape})")
    return lines


def _looks_like_labels(values: NDArray[np.generic]) -> bool:
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all() or numbers.min() < 0 or (numbers != np.floor(numbers)).any():
        return False
    return len(np.unique(numbers)) <= _MOST_CLASSES


def _range(values: NDArray[np.generic]) -> str:
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return "no finite value" if finite.size == 0 else f"{finite.min():g} to {finite.max():g}"


def _some(indices: NDArray[np.intp]) -> str:
    shown = ", ".join(map(str, indices[:10]))
    return shown + (", …" if len(indices) > 10 else "")
