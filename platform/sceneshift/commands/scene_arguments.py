"""The command line of the scenes script. Imports nothing heavy, so that ``--help`` answers immediately."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import tyro

from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.examples import EXAMPLES
from sceneshift.commands.flags import FileFlags, check_scale, check_wavelengths
from sceneshift.commands.simulate_arguments import Simulate
from sceneshift.errors import InvalidInputError


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
    """Files: .mat, .npy, .npz, .hdr (ENVI), .tif, .png, .arrow; FILE:NAME shows a part of a .mat or .npz file."""

    def __post_init__(self) -> None:
        """Reject a command line without files.

        Raises:
            InvalidInputError: There is none.
        """
        if not self.files:
            raise InvalidInputError("no file is given; expected one or more, such as scenes check cube.mat.")


@dataclass(frozen=True, kw_only=True)
class Import(FileFlags):
    """Convert a scene from any file to a memory-mapped .arrow file with a checksum."""

    file: tyro.conf.Positional[str]
    """The file with the cube (FILE:NAME: the cube alone), or a scene's name."""

    out: str
    """The .arrow file to write."""

    name: str | None = None
    """The scene's name. Default: the one in the file, else the file's name."""

    data_dir: str | None = None
    """Folder the scenes' files are in. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""

    cut_to_overlap: bool = False
    """If cube and label map are georeferenced and some whole pixels apart, keep the pixels that both cover."""

    scale: float = 1.0
    """What the file's numbers are divided by to be in --unit."""

    unit: str | None = None
    """Unit of the numbers after the division, such as reflectance. Default: the one in the file."""

    def __post_init__(self) -> None:
        """Reject a scale or band centres that could not be used.

        Raises:
            InvalidInputError: Naming the flag.
        """
        check_wavelengths(self.wavelengths_nm)
        check_scale(self.scale)
        if self.scale != 1 and self.unit is None:
            raise InvalidInputError(
                f"--scale {self.scale:g} without --unit; say what the divided numbers are, such as --unit reflectance."
            )

    def described(self) -> dict[str, Any]:
        """What is given, by the keys of a scene in a TOML catalogue."""
        own: dict[str, Any] = {"unit": self.unit} if self.unit is not None else {}
        if self.scale != 1:
            own["scale"] = self.scale
        if self.cut_to_overlap:
            own["cut_to_overlap"] = True
        return {**super().described(), **own}


@dataclass(frozen=True, kw_only=True)
class Export(FileFlags):
    """Write a scene in a format that other programs can read."""

    scene: tyro.conf.Positional[str]
    """A scene's name, or a file."""

    out: str
    """The file to write."""

    format: Literal["npz", "mat", "mat73", "envi", "geotiff"]
    """The format to write."""

    data_dir: str | None = None
    """Folder the scenes' files are in. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""

    def __post_init__(self) -> None:
        """Reject band centres that are not nanometres."""
        check_wavelengths(self.wavelengths_nm)


@dataclass(frozen=True, kw_only=True)
class Show(FileFlags):
    """Draw a scene: false colours, label map, mean spectra per class."""

    scene: tyro.conf.Positional[str]
    """A scene's name, or a file."""

    out: str | None = None
    """The PNG to write. Default: the scene's name, in the current folder."""

    data_dir: str | None = None
    """Folder the scenes' files are in. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""

    def __post_init__(self) -> None:
        """Reject band centres that are not nanometres."""
        check_wavelengths(self.wavelengths_nm)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Show how a pair's scenes are aligned and how far apart they are: angles per class, and a quick SVM.

    This reads the target's labels. No network is trained or chosen with the results.
    """

    pair: tyro.conf.Positional[str]
    """A pair's name, as shown by `list`."""

    data_dir: str | None = None
    """Folder the scenes' files are in. Default: SCENESHIFT_DATA."""

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


def read_scene_command() -> SceneCommand:
    """Read the scenes script's command line; tyro prints help or errors and exits if necessary."""
    command: SceneCommand = read_arguments(
        cast(Any, SceneCommand), EXAMPLES["scenes"].description()
    )  # a union is not a class
    return command
