"""What an import has guessed of a file, in the words of its command line, so that it can be said otherwise."""

import shlex
from collections.abc import Sequence

from sceneshift.commands.scene_arguments import Import
from sceneshift.files.arrays import array_shapes
from sceneshift.files.inside import is_file
from sceneshift.scenes.mapped_arrays import SUFFIXES as STORED
from sceneshift.scenes.scene import Scene, UnlabelledScene

#: Cube and label map by the dimensions of their arrays, and the names that are taken before any other.
_CUBE, _LABELS = (3, "cube"), (2, "labels")


def guesses_of(command: Import, scene: UnlabelledScene, *, class_names: Sequence[str] = ()) -> list[str]:
    """Lines on what was guessed and on what stays unknown; none for a scene that is known by name or stored.

    Args:
        command: The command line.
        scene: What was read.
        class_names: Names that were made up, as neither the file nor the command line has any.
    """
    if not is_file(command.file) or command.file.endswith(tuple(STORED)):
        return []
    words: list[str] = []
    if command.cube_variable is None:
        words += _variable("--cube-variable", command.file, *_CUBE)
    if isinstance(scene, Scene) and command.labels_variable is None:
        words += _variable("--labels-variable", command.labels or command.file, *_LABELS)
    if class_names:
        words += ["--class-names", *class_names]
    lines = [f"guessed: {shlex.join(words)}"] if words else []
    unknown = []
    if scene.wavelengths_nm is None:
        unknown.append("band centres (--wavelengths-nm): such a scene can't be matched to another sensor's bands")
    if scene.unit is None:
        unknown.append("the numbers' unit (--unit, with --scale): two scenes in different units are not recognized")
    lines += [f"not known: {what}" for what in unknown]
    return [*lines, "To say otherwise, import it again with these flags to another --out."] if lines else []


def _variable(flag: str, path: str, num_axes: int, usual: str) -> list[str]:
    """The flag with the array that was taken; nothing for a file of one array."""
    shapes = array_shapes(path)
    names = [name for name, shape in shapes.items() if len(shape) == num_axes]
    if len(shapes) < 2 or not names:
        return []
    return [flag, usual if usual in names else names[0]]
