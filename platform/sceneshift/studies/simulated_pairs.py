"""Simulated pairs of a study, described in TOML files and stored as scenes that trainings find by name.

A file has ``name``, ``seed`` and ``shape``, a table ``[library]`` (a scene, some of its classes, the centres of its
first and last band), and tables with the parameters of the classes in :mod:`sceneshift.simulation`: ``[ground]``,
``[mixing]``, ``[variability]``, ``[noise]`` and one ``[shifts.NAME]`` per shift.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sceneshift.catalogue.load import load_scene
from sceneshift.errors import InvalidInputError, MissingDataError, first_line, nearest_name
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.safe_files import replacing
from sceneshift.simulation.library import EndmemberLibrary
from sceneshift.simulation.mixing import Mixing, Variability
from sceneshift.simulation.sensor_shifts import Noise
from sceneshift.simulation.simulate import simulate
from sceneshift.simulation.spec import SHIFTS, Ground, Simulation

Part = TypeVar("Part")

_PARTS = ("ground", "mixing", "variability", "noise")
_TOP = ("name", "seed", "shape", "library", *_PARTS, "shifts")
_LIBRARY = ("scene", "class_names", "first_last_nm", "num_variations")


@dataclass(frozen=True, kw_only=True)
class SimulatedPairFile:
    """A simulated pair's description.

    Args:
        path: The file.
        name: The pair's name.
        content: Its tables.
        source_hash: SHA-256 of the file's values, 16 hexadecimal digits; comments don't count.
    """

    path: str
    name: str
    content: Mapping[str, Any]
    source_hash: str

    @classmethod
    def read(cls, path: str | Path) -> "SimulatedPairFile":
        """Read and check a file; the scene of its library is read by :meth:`simulation`.

        Raises:
            MissingDataError: There is no such file.
            InvalidInputError: It is not TOML, lacks a key or has an unknown one.
        """
        location = Path(path)
        try:
            content = tomllib.loads(location.read_text(encoding="utf-8"))
        except OSError as error:
            raise MissingDataError(f"no description of a simulated pair at {path} ({first_line(error)}).") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"{path}: no TOML ({first_line(error)}).") from error
        _refuse_unknown(str(path), content, _TOP)
        for key in ("name", "seed", "shape", "library"):
            if key not in content:
                raise InvalidInputError(f"{path}: {key} is missing; expected {', '.join(_TOP)}.")
        for key in ("library", *_PARTS, "shifts"):
            if not isinstance(content.get(key, {}), dict):
                raise InvalidInputError(f"{path}, {key}: got {content[key]!r}; expected a table [{key}].")
        _refuse_unknown(f"{path}, [library]", content["library"], _LIBRARY)
        text = json.dumps(content, sort_keys=True)
        return cls(
            path=str(path),
            name=str(content["name"]),
            content=content,
            source_hash=hashlib.sha256(text.encode()).hexdigest()[:16],
        )

    def simulation(self, data_dir: str | None = None) -> Simulation:
        """Build the simulation.

        Args:
            data_dir: The folder of the library's scene; by default what SCENESHIFT_DATA says.

        Raises:
            InvalidInputError: A value is wrong.
            MissingDataError: The library's scene isn't there.
        """
        kinds = {kind.name.replace(" ", "_"): kind for kind in SHIFTS}
        shifts = self.content.get("shifts", {})
        _refuse_unknown(f"{self.path}, [shifts]", shifts, tuple(kinds))
        library = self.content["library"]
        scene = load_scene(library["scene"], data_dir)
        wavelengths = library.get("first_last_nm")
        classes = library.get("class_names")
        try:
            return Simulation(
                library=EndmemberLibrary.from_scene(
                    scene,
                    class_names=None if classes is None else tuple(classes),
                    wavelengths_nm=None
                    if wavelengths is None
                    else np.linspace(wavelengths[0], wavelengths[1], scene.num_bands),
                    num_variations=library.get("num_variations", 4),
                ),
                shape=tuple(self.content["shape"]),
                seed=self.content["seed"],
                name=self.name,
                shifts=tuple(self._part(kinds[name], "shifts", name, values) for name, values in shifts.items()),
                ground=self._part(Ground, "ground", None, self.content.get("ground", {})),
                mixing=self._part(Mixing, "mixing", None, self.content.get("mixing", {})),
                variability=self._part(Variability, "variability", None, self.content.get("variability", {})),
                noise=self._part(Noise, "noise", None, self.content.get("noise", {})),
            )
        except InvalidInputError as error:
            raise InvalidInputError(f"{self.path}: {error}") from error

    def _part(self, kind: type[Part], table: str, name: str | None, values: Mapping[str, Any]) -> Part:
        where = f"{self.path}, [{table}]" if name is None else f"{self.path}, [{table}.{name}]"
        _refuse_unknown(where, values, [field.name for field in fields(kind)])  # type: ignore[arg-type]
        plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return kind(**plain)


def store_simulated_pairs(files: Sequence[SimulatedPairFile], folder: Path, data_dir: str | None = None) -> Path:
    """Simulate pairs and store their scenes; a pair that was stored before from the same description is left alone.

    Args:
        files: The descriptions, of different names.
        folder: Where to; each pair gets a folder of its name.
        data_dir: The folder of the libraries' scenes.

    Returns:
        A TOML catalogue of all pairs.

    Raises:
        InvalidInputError: A description is wrong, or a file can't be written.
        MissingDataError: A library's scene isn't there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for file in files:
        own = folder / f"{file.name}-{file.source_hash}"
        if not (own / "target.arrow").exists():
            pair = simulate(file.simulation(data_dir))
            own.mkdir(exist_ok=True)
            write_scene(pair.source, own / "source.arrow")
            write_scene(pair.target, own / "target.arrow")
        for side in ("source", "target"):
            lines += [f'[scenes."{file.name}-{side}"]', f'stored = "{own.name}/{side}.arrow"', ""]
        lines += [
            f'[pairs."{file.name}"]',
            f'source = "{file.name}-source"',
            f'target = "{file.name}-target"',
            "",
        ]
    catalogue = folder / "scenes.toml"
    with replacing(catalogue) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    return catalogue


def _refuse_unknown(where: str, values: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in values:
        if key not in known:
            raise InvalidInputError(
                f"{where}: {key!r} is not known{nearest_name(key, known)}; expected one of {', '.join(known)}."
            )
