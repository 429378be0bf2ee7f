"""The command line of the scenes script. Imports nothing heavy, so that ``--help`` answers at once."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import tyro

from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.simulate_arguments import Simulate


@dataclass(frozen=True, kw_only=True)
class List:
    """The scenes and pairs known by name: which are here, which files are missing."""

    data_dir: str | None = None
    """Folder the scenes' files lie in, or in folders of their names there. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What is in files: shapes, ranges, bad bands, NaN, counts per class; against what is published of such files."""

    files: tyro.conf.Positional[tuple[str, ...]]
    """Files: .mat, .npy, .npz, .hdr (ENVI), .tif, .png, .arrow."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """Bring a scene from any file into the store: one memory-mapped, checksummed .arrow file."""

    file: tyro.conf.Positional[str]
    """The file with the cube."""

    out: str
    """The .arrow file to write."""

    labels: str | None = None
    """The file with the label map. Default: the same."""

    name: str | None = None
    """The scene's name. Default: what the file says, else its own name."""

    class_names: tuple[str, ...] | None = None
    """The classes in the order of the numbers 1..K. Default: what the file says."""

    cube_variable: str | None = None
    """The cube's name in its file."""

    labels_variable: str | None = None
    """The label map's name in its file."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a scene in a format other programs read."""

    scene: tyro.conf.Positional[str]
    """A scene's name, or a file."""

    out: str
    """The file to write."""

    format: Literal["npz", "mat", "mat73", "envi", "geotiff"]
    """What to write it as."""

    data_dir: str | None = None
    """Folder the scenes' files lie in. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""


@dataclass(frozen=True, kw_only=True)
class Show:
    """A picture of a scene: false colours, label map, mean spectra per class."""

    scene: tyro.conf.Positional[str]
    """A scene's name, or a file."""

    out: str | None = None
    """The PNG to write. Default: the scene's name, here."""

    data_dir: str | None = None
    """Folder the scenes' files lie in. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """How far apart source and target of a pair are: angles per class, a distance of distributions, a quick SVM.

    The target's labels are read for it. Nothing is trained or chosen by what it prints.
    """

    pair: tyro.conf.Positional[str]
    """A pair's name, as `list` tells it."""

    data_dir: str | None = None
    """Folder the scenes' files lie in. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""

    seed: int = 0
    """Draws the pixels."""


SceneCommand = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Pair, tyro.conf.subcommand("pair")]
    | Annotated[Simulate, tyro.conf.subcommand("simulate")]
)


def read_scene_command(description: str) -> SceneCommand:
    """Read the scenes script's command line; tyro prints help or the error and exits where that is due."""
    command: SceneCommand = read_arguments(cast(Any, SceneCommand), description)  # a union is no class
    return command
