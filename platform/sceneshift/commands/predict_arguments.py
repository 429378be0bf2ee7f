"""The command line of the prediction script. Imports nothing heavy, so that ``--help`` answers immediately."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from sceneshift.commands.command_line import read_arguments
from sceneshift.commands.examples import EXAMPLES
from sceneshift.commands.flags import check_scale, check_wavelengths
from sceneshift.errors import InvalidInputError

#: The value of ``--labels`` for the scene's own labels.
OWN_LABELS = "own"

MapFormat = Literal["png", "geotiff", "envi", "npy"]


@dataclass(frozen=True, kw_only=True)
class PredictArgs:
    """Map a scene with a registered model: class map, and on request probabilities, confidence and scores.

    MLFLOW_TRACKING_URI is honoured; without it the SQLite file under --storage-path is read.
    """

    #: What ``--help`` shows together.
    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "": ("model", "scene", "out", "format", "labels", "probabilities", "confidence", "overwrite"),
        "data": (
            *("data_dir", "catalogue", "scale", "accept_values", "class_names", "label_values", "unlabelled_values"),
            *("cut_to_overlap", "wavelengths_nm", "cube_variable"),
        ),
        "resources": ("device", "threads", "tile_mib"),
        "storage": ("storage_path",),
    }

    model: str
    """The model: models:/NAME@champion, models:/NAME/3, or a folder it was downloaded to."""

    scene: str
    """A scene's file (.arrow, .mat, .npy, .npz, .hdr, .tif), or the name of a known scene."""

    out: str
    """Folder for the maps; it is created if it does not exist."""

    format: tuple[MapFormat, ...] = ("png",)
    """One or more formats of the class map: png (indexed, and a picture with a legend), geotiff and
    envi (class names, colours and georeference in them), npy."""

    labels: str | None = None
    """Label map to score the class map with (.tif, .png, .npy, .mat, .hdr); "own": the scene's own labels."""

    class_names: tuple[str, ...] | None = None
    """Class names of the numbers 1, 2, … in --labels. Default: those in its file, else the model's classes."""

    cut_to_overlap: bool = False
    """If --labels is georeferenced and whole pixels apart from the scene, score the pixels that both cover."""

    label_values: tuple[int, ...] | None = None
    """The numbers of --class-names in --labels, if they are not 1, 2, …"""

    unlabelled_values: tuple[int, ...] | None = None
    """Numbers in --labels that mean unlabelled, in addition to 0."""

    wavelengths_nm: tuple[float, ...] | None = None
    """Band centres of the scene's file in nanometres, one per band. Default: those in the file."""

    probabilities: bool = False
    """Write the probability of every class as well, as geotiff or envi if asked for, else as npy."""

    confidence: bool = False
    """Write the probability of the class assigned to each pixel."""

    tile_mib: int | None = None
    """Memory per tile, in MiB; by default 512, on a GPU an eighth of its memory, at most 8192. The map
    doesn't depend on it."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: on a GPU if there is one."""

    threads: int | None = None
    """CPU threads. Default: torch's choice."""

    accept_values: bool = False
    """Map the scene even if its values seem to have another unit than the source's or to be normalized already."""

    scale: float = 1.0
    """What the numbers of the scene's file are divided by to be in the unit the model was trained on."""

    cube_variable: str | None = None
    """The cube's name in the scene's file."""

    data_dir: str | None = None
    """Folder with the scenes' files, directly or in subfolders named after them. Default: SCENESHIFT_DATA."""

    catalogue: str | None = None
    """TOML file of your own scenes and pairs. Default: SCENESHIFT_CATALOGUE, else scenes.toml in the data folder."""

    storage_path: str = "results"
    """Directory with the MLflow records of studies and trainings."""

    overwrite: bool = False
    """Replace the files that an earlier prediction wrote to --out."""

    def __post_init__(self) -> None:
        """Reject arguments that could not be run.

        Raises:
            InvalidInputError: Naming the flag.
        """
        if not self.format or len(set(self.format)) != len(self.format):
            raise InvalidInputError(f"--format {' '.join(self.format)}: expected at least one format, each once.")
        if self.class_names is not None and self.labels is None:
            raise InvalidInputError("--class-names says what the numbers of --labels mean; give --labels as well.")
        if self.class_names is not None and self.labels == OWN_LABELS:
            raise InvalidInputError("--labels own has its own class names; leave out --class-names.")
        if self.cut_to_overlap and self.labels in (None, OWN_LABELS):
            raise InvalidInputError("--cut-to-overlap cuts the file of --labels to the scene; give one.")
        check_scale(self.scale)
        for name in ("label_values", "unlabelled_values"):
            if getattr(self, name) is not None and self.labels in (None, OWN_LABELS):
                raise InvalidInputError(
                    f"--{name.replace('_', '-')} says what numbers in the file of --labels mean; give one."
                )
        if self.label_values is not None and len(self.label_values) != len(self.class_names or ()):
            raise InvalidInputError(
                f"--label-values: {len(self.label_values)} numbers for {len(self.class_names or ())} names; expected "
                "--class-names with one for each."
            )
        check_wavelengths(self.wavelengths_nm)
        if self.tile_mib is not None and self.tile_mib < 1:
            raise InvalidInputError(f"--tile-mib {self.tile_mib}: expected at least 1.")
        if self.threads is not None and self.threads < 1:
            raise InvalidInputError(f"--threads {self.threads}: expected at least 1.")
        if "://" in self.storage_path:
            raise InvalidInputError(f"--storage-path {self.storage_path}: expected a local directory.")


def read_predict_command_line() -> PredictArgs:
    """Read the prediction script's command line; prints help or errors and exits if necessary."""
    return read_arguments(PredictArgs, EXAMPLES["predict"].description())
