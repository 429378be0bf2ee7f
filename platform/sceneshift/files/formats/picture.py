"""PNG pictures as label maps."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.safe_files import refuse_oversized


def load_picture(path: Path) -> NDArray[Any]:
    """(H, W) numbers of a picture of one page and one channel; a palette's numbers, not its colours.

    Raises:
        InvalidInputError: It has more pages or channels.
    """
    from PIL import Image

    with Image.open(_Content(path)) as picture:
        if (frames := getattr(picture, "n_frames", 1)) != 1 or len(picture.getbands()) != 1:
            raise InvalidInputError(
                f"{path}: {frames} page(s) of {len(picture.getbands())} channel(s) ({picture.mode}); expected one "
                "page with one channel whose values are class numbers, not colours."
            )
        width, height = picture.size
        refuse_oversized(path, "the picture", needed=4 * width * height, held=path.stat().st_size)
        numbers = np.asarray(picture)
        # Pillow stretches grey values of two and four bits to 0..255.
        grey, bits = picture.mode == "L", path.read_bytes()[24:25]
        return numbers // (255 // (2 ** bits[0] - 1)) if grey and bits in (b"\x02", b"\x04") else numbers


class _Content(io.BytesIO):
    """A file's bytes. Who reads more of them than there are gets what there is; of a file, memory for all first."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.read_bytes())
        self._path = path

    def __repr__(self) -> str:
        return repr(str(self._path))  # appears in Pillow's messages
