"""The command line of the scenes script. Imports nothing heavy, so that ``--help`` answers immediately."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import tyro

from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.simulate_arguments import Simulate


@dataclass(frozen=True, kw_only=True)
class List:
    """List the scenes and pairs known by name: which are available, and which files are missing."""

    data_dir: str | None = None
    """Folder with the scenes' files, directly or in subfolders named after them. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Show what is in files: shapes, ranges, bad bands, NaN, counts per class; compared with the published releases."""

    files: tyro.conf.Positional[tuple[str, ...]]
    """Files: .mat, .npy, .npz, .hdr (ENVI), .tif, .png, .arrow."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """Convert a scene from any file to a memory-mapped .arrow file with a checksum."""

    file: tyro.conf.Positional[str]
    """The file with the cube."""

    out: str
    """The .arrow file to write."""

    labels: str | None = None
    """The file with the label map. Default: the same."""

    name: str | None = None
    """The scene's name. Default: the one in the file, else the file's name."""

    class_names: tuple[str, ...] | None = None
    """The class names in the order of the numbers 1..K. Default: those in the file."""

    cube_variable: str | None = None
    """The cube's name in its file."""

    labels_variable: str | None = None
    """The label map's name in its file."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a scene in a format that other programs can read."""

    scene: tyro.conf.Positional[str]
    """A scene's name, or a file."""

    out: str
    """The file to write."""

    format: Literal["npz", "mat", "mat73", "envi", "geotiff"]
    """The format to write."""

    data_dir: str | None = None
    """Folder the scenes' files lie in. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""


@dataclass(frozen=True, kw_only=True)
class Show:
    """Draw a scene: false colours, label map, mean spectra per class."""

    scene: tyro.conf.Positional[str]
    """A scene's name, or a file."""

    out: str | None = None
    """The PNG to write. Default: the scene's name, in the current folder."""

    data_dir: str | None = None
    """Folder the scenes' files lie in. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Show how a pair's scenes are aligned and how far apart they are: angles per class, and a quick SVM.

    This reads the target's labels. No network is trained or chosen with the results.
    """

    pair: tyro.conf.Positional[str]
    """A pair's name, as shown by `list`."""

    data_dir: str | None = None
    """Folder the scenes' files lie in. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""

    seed: int = 0
    """Seed for drawing pixels."""


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
    """Read the scenes script's command line; tyro prints help or errors and exits if necessary."""
    command: SceneCommand = read_arguments(cast(Any, SceneCommand), description)  # a union is not a class
    return command
