"""``scenes.py simulate``: from flags to a folder with two stored scenes, their composition, and their catalogue.

Shape letters: H rows, W columns, C bands, R materials.
"""

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sceneshift.catalogue.builtin import EMBEDDED_PAIRS, PAIRS, SCENES
from sceneshift.commands import program
from sceneshift.commands.simulate_arguments import SHIFT_FLAGS, Simulate
from sceneshift.errors import InvalidInputError, first_line, nearest_name
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.report.scene_pictures import draw_scene
from sceneshift.safe_files import expanded
from sceneshift.scenes.scene import Scene
from sceneshift.scenes.unmixing_reference import UnmixingReference
from sceneshift.simulation.library import EndmemberLibrary
from sceneshift.simulation.mixing import Mixing, Variability
from sceneshift.simulation.sensor_shifts import Noise
from sceneshift.simulation.simulate import SimulatedPair, simulate
from sceneshift.simulation.spec import SHIFTS, Ground, Simulation

Part = TypeVar("Part")

_SIDES = ("source", "target")

#: The settings of --set library.… with their defaults, for spectra from a scene or from a file.
_LIBRARY_SETTINGS = {"num_variations": 4, "relative_std": 0.05}


def simulate_to_folder(command: Simulate, scene: Scene | None) -> list[str]:
    """Simulate the pair and write it; the folder appears once it is complete.

    Args:
        command: The command line.
        scene: Where spectra come from; None where they come from ``command.library``.

    Returns:
        A description of the result, as lines.

    Raises:
        InvalidInputError: A setting is wrong, or the folder already exists or can't be written.
        MissingDataError: The library file isn't there.
    """
    out = expanded(command.out)
    if os.path.exists(out):
        raise InvalidInputError(f"--out {command.out} exists; nothing was overwritten. Give another name.")
    if command.name in (*SCENES, *PAIRS, *EMBEDDED_PAIRS):
        raise InvalidInputError(f"--name {command.name}: a published scene or pair is called so. Give another name.")
    recipe = build_recipe(command, scene)
    part = out.with_name(f".{out.name}.part-{os.getpid()}")
    try:
        part.mkdir(parents=True)
        pair = simulate(recipe)
        _write(part, pair, command)
        part.rename(out)
    except OSError as error:
        raise InvalidInputError(
            f"--out {command.out} can't be written ({first_line(error)}). Make room, or give another name."
        ) from error
    except MemoryError as error:
        raise InvalidInputError(
            f"--size {command.size[0]} {command.size[1]}: two cubes of {recipe.library.num_bands} bands don't fit into "
            "memory. Take a smaller size."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _described(pair, command, out)


def build_recipe(command: Simulate, scene: Scene | None) -> Simulation:
    """Build the simulation that the flags describe.

    Args:
        command: The command line.
        scene: Where spectra come from; None where they come from ``command.library``.

    Raises:
        InvalidInputError: A setting is unknown or out of range.
        MissingDataError: The library file isn't there.
    """
    kinds = dict(zip(SHIFT_FLAGS, SHIFTS, strict=True))
    given = command.settings()
    known = ("library", "mixing", "variability", "ground", "noise", *kinds)
    for name in given:
        if name not in known:
            raise InvalidInputError(
                f"--set {name}.…: there is no part {name!r}{nearest_name(name, known)}; expected one of "
                f"{', '.join(known)}."
            )
    library = _library(command, scene, given.get("library", {}))
    strengths = {flag: getattr(command, flag) for flag in kinds}
    for flag, kind in kinds.items():
        if strengths[flag] == 0 and flag in given:
            name = flag.replace("_", "-")
            raise InvalidInputError(f"--set {flag}.… says how, and --{name} is 0. Give the shift a strength.")
        if strengths[flag] and kind.needs_wavelengths and library.wavelengths_nm is None:
            raise InvalidInputError(
                f"--{flag.replace('_', '-')} needs wavelengths, which the scene does not have. Give the centres of its "
                "first and last band, such as --wavelengths-nm 400 2500."
            )
    shifts = tuple(
        _part(kind, flag, given, strength=strengths[flag]) for flag, kind in kinds.items() if strengths[flag]
    )
    return Simulation(
        library=library,
        shape=command.size,
        seed=command.seed,
        shifts=shifts,
        name=command.name,
        mixing=_part(Mixing, "mixing", given, model=command.mixing),
        variability=_part(
            Variability,
            "variability",
            given,
            scaling=command.scaling,
            perturbation=command.perturbation,
            length=command.variability_length,
        ),
        ground=_part(Ground, "ground", given, length=command.area, proportions=command.shares),
        noise=_part(Noise, "noise", given, snr=None if command.snr == 0 else command.snr),
        same_ground=command.same_ground,
    )


def _part(
    kind: type[Part],
    name: str,
    given: Mapping[str, Mapping[str, Any]],
    **own: Any,  # noqa: ANN401 - each part checks its own values
) -> Part:
    settings = given.get(name, {})
    known = [field.name for field in fields(kind) if field.name not in own]  # type: ignore[arg-type]
    _refuse_unknown(name, settings, known)
    return kind(**own, **settings)


def _refuse_unknown(part: str, settings: Mapping[str, Any], known: list[str]) -> None:
    for name in settings:
        if name not in known:
            expected = ", ".join(f"{part}.{field}" for field in known) or f"no setting: {part} has none without a flag"
            raise InvalidInputError(
                f"--set {part}.{name}: there is no such setting{nearest_name(name, known)}; expected {expected}."
            )


def _library(command: Simulate, scene: Scene | None, settings: Mapping[str, Any]) -> EndmemberLibrary:
    _refuse_unknown("library", settings, list(_LIBRARY_SETTINGS) if scene is None else ["num_variations"])
    values = _LIBRARY_SETTINGS | dict(settings)
    if scene is not None:
        if command.wavelengths_nm is not None and scene.wavelengths_nm is not None:
            raise InvalidInputError(f"scene {scene.name!r} has wavelengths; leave --wavelengths-nm out.")
        return EndmemberLibrary.from_scene(
            scene,
            class_names=command.classes,
            wavelengths_nm=None
            if command.wavelengths_nm is None
            else np.linspace(*command.wavelengths_nm, scene.num_bands),
            white=command.white,
            num_variations=values["num_variations"],
        )
    assert command.library is not None
    library = EndmemberLibrary.from_file(command.library, white=command.white)
    if command.classes is not None:
        if unknown := [name for name in command.classes if name not in library.names]:
            raise InvalidInputError(
                f"--classes: {command.library} has no material {unknown[0]!r}"
                f"{nearest_name(unknown[0], library.names)}; it has {', '.join(library.names)}."
            )
        places = [library.names.index(name) for name in command.classes]
        library = replace(library, names=command.classes, spectra=library.spectra[places])
    if command.perturbation == 0:
        return library
    return library.with_random_walks(relative_std=values["relative_std"], num_variations=values["num_variations"])


def _write(folder: Path, pair: SimulatedPair, command: Simulate) -> None:
    for side in _SIDES:
        scene: Scene = getattr(pair, side)
        truth: UnmixingReference = getattr(pair, f"{side}_truth")
        write_scene(scene, folder / f"{side}.arrow")
        np.savez(
            folder / f"{side}_abundances.npz",
            abundances=truth.abundances.astype(np.float32),
            endmembers=truth.endmembers,
            materials=np.array(truth.materials),
        )
        draw_scene(folder / f"{side}.png", scene)
    record = {"command": asdict(command), "applied": pair.applied}
    (folder / "simulation.json").write_text(json.dumps(record, indent=2))
    (folder / "scenes.toml").write_text(_catalogue(command.name))


def _catalogue(name: str) -> str:
    """Both scenes and the pair, for ``--catalogue``; quotes keep a '.' in a name from starting a subtable."""
    scenes = "\n".join(f'[scenes."{name}-{side}"]\nstored = "{side}.arrow"\n' for side in _SIDES)
    pair = "\n".join(f'{side} = "{name}-{side}"' for side in _SIDES)
    return f'# Simulated scenes; simulation.json next to this file says how.\n\n{scenes}\n[pairs."{name}"]\n{pair}\n'


def _described(pair: SimulatedPair, command: Simulate, out: Path) -> list[str]:
    lines = []
    for side in _SIDES:
        scene: Scene = getattr(pair, side)
        (height, width), labelled = scene.shape, int((scene.labels > 0).sum())
        counts = ", ".join(f"{n} {c}" for n, c in zip(scene.class_names, scene.class_counts, strict=True))
        lines.append(
            f"{side}  {height} x {width} pixels, {scene.num_bands} bands, {labelled} labelled; a class: {counts}"
        )
        if lacking := [n for n, c in zip(scene.class_names, scene.class_counts, strict=True) if c == 0]:
            lines.append(f"        NO labelled pixel of {', '.join(lacking)}: take a larger --size or a smaller --area")
    train = [*program.other("train"), "--method", "s2amsnet"]
    return [
        *lines,
        *pair.scene_pair().notes,
        f"wrote {out}: {', '.join(sorted(path.name for path in out.iterdir()))}",
        "Train on it with:",
        f"  {shlex.join([*train, '--pair', command.name, '--catalogue', str(out / 'scenes.toml')])}",
    ]
