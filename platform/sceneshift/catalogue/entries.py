"""What can be known of a published scene or pair: the types of :mod:`sceneshift.catalogue.builtin`.

Shape letters: H rows, W columns, C bands, K classes, R materials.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class FileVariable:
    """A variable in a file: its name is tried first, then the only array of fitting dimension is taken."""

    file: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Files:
    """One form in which a scene's files are distributed.

    Args:
        cube: (H, W, C), or (C, H * W) with the pixels column by column (``bands_by_pixels``).
        labels: (H, W) class numbers; None if the scene has no label map.
        bands_by_pixels: How the cube is stored in its file.
        train_mask: (H, W) class numbers of the training pixels the scene was published with.
        test_mask: (H, W) class numbers of its test pixels.
        abundances: (H, W, R), or (R, H * W) with the pixels column by column.
        endmembers: (C, R) or (R, C).
    """

    cube: FileVariable
    labels: FileVariable | None = None
    bands_by_pixels: bool = False
    train_mask: FileVariable | None = None
    test_mask: FileVariable | None = None
    abundances: FileVariable | None = None
    endmembers: FileVariable | None = None

    def needed(self, *, with_masks: bool = False) -> tuple[str, ...]:
        """The files a scene can't be loaded without; and the masks it was published with, if requested."""
        masks = (self.train_mask, self.test_mask) if with_masks else ()
        variables = (self.cube, self.labels, self.abundances, self.endmembers, *masks)
        return tuple(dict.fromkeys(variable.file for variable in variables if variable is not None))


@dataclass(frozen=True, kw_only=True)
class SceneEntry:
    """A published scene.

    Args:
        class_names: The K classes in the order of their ids 1..K.
        shape: (H, W, C).
        counts: (K,) labelled pixels per class; None where none are known.
        figures: Where shape and counts come from.
        offered: Where those who made or passed on the files offer them, or whom to ask.
        forms: The files, in the forms in which they are distributed; the first that is there is read. None for a scene
            that a package carries.
        label_values: The numbers the classes have in the label map, where those are not 1..K.
        wavelengths_nm: (C,) band centres, or None where they are unknown.
        scale: What the file's numbers are divided by when the scene is loaded.
        unit: Their unit after the division; None if it is unknown, and then the scale is 1.
        sha256: SHA-256 of the files the figures were counted from, by file name, as 64 hexadecimal digits.

    Raises:
        InvalidInputError: There is a scale without a unit.
    """

    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    counts: tuple[int, ...] | None
    figures: str
    offered: str
    forms: tuple[Files, ...] = ()
    label_values: tuple[int, ...] | None = None
    wavelengths_nm: tuple[float, ...] | None = None
    scale: float = 1.0
    unit: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scale != 1 and self.unit is None:
            raise InvalidInputError(f"got scale = {self.scale:g} without a unit; state what the divided numbers are.")

    @property
    def has_own_masks(self) -> bool:
        """Whether the scene was published as training and test pixels."""
        return any(form.train_mask is not None for form in self.forms)

    @property
    def has_reference(self) -> bool:
        """Whether the scene comes with reference abundances and endmembers."""
        return any(form.abundances is not None for form in self.forms)


@dataclass(frozen=True, kw_only=True)
class PairEntry:
    """An embedded pair: two regions of Indian Pines and the classes they share."""

    source_region: str
    target_region: str
    class_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FilePairEntry:
    """A pair of two scenes that are read from files.

    Args:
        source: Name of the source scene.
        target: Name of the target scene.
        class_matches: (class of the target, class of the source) for those that are the same; None goes by name.
    """

    source: str
    target: str
    class_matches: tuple[tuple[str, str], ...] | None = None

    @property
    def scenes(self) -> tuple[str, str]:
        """Source and target."""
        return self.source, self.target
