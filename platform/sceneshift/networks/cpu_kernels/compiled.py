"""How kernels are compiled, and bfloat16 in them.

LLVM vectorizes a loop only if it can prove that its arrays don't overlap and sees no condition around a load. This is
why some kernels look roundabout.
"""

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from sceneshift.errors import ResourceError
from sceneshift.own_folders import is_usable, private_folder

_LOG = logging.getLogger(__name__)

_Kernel = TypeVar("_Kernel", bound=Callable[..., None])


def compiled(kernel: _Kernel) -> _Kernel:
    """Compile a kernel at its first call, and keep the result on disk.

    Contractions and reorderings are allowed, assumptions about NaN and infinity are not. Without Numba's reference
    counts (_nrt) a view of a row costs nothing, and nothing can be allocated: callers pass the buffers that kernels
    work in. Numba's cache only notices changes of the kernel's own file: after a change of this file, run `make clean`.
    """
    options = {"nogil": True, "cache": _has_cache(), "error_model": "numpy", "boundscheck": False, "_nrt": False}
    made: _Kernel = njit(fastmath={"contract", "reassoc", "nsz", "arcp"}, **options)(kernel)
    return made


@functools.cache
def _has_cache() -> bool:
    """Whether there is a folder for compiled kernels; Numba is given it if it isn't the one next to the code.

    Numba raises an error where neither the code's folder nor the home directory can be written, and does not notice
    a full disk. Without a folder, every process compiles again.
    """
    given = numba.config.CACHE_DIR
    if is_usable(Path(given) if given else Path(__file__).parent / "__pycache__"):
        return True
    in_home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "numba"
    try:
        folder = in_home if in_home.is_absolute() and is_usable(in_home) else private_folder() / "numba"
    except ResourceError:
        folder = None
    if folder is None or not is_usable(folder):
        _LOG.warning(
            "NOTE: no folder can be written to keep compiled code in, so every process compiles again, which takes "
            "minutes. Set NUMBA_CACHE_DIR to one that can be."
        )
        return False
    # In the environment, for the processes this one starts; Numba itself read it when it was imported.
    os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = str(folder)
    return True


@intrinsic  # type: ignore[untyped-decorator]
def widen(context: Any, value: Any) -> Any:  # noqa: ANN401
    """A stored number as the kernels compute with it: bfloat16 bits become float32, floats stay."""
    if value != types.uint16:
        return value(value), lambda context, builder, signature, arguments: arguments[0]

    def shift_up(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        bits = builder.shl(builder.zext(arguments[0], ir.IntType(32)), ir.Constant(ir.IntType(32), 16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(value), shift_up


@intrinsic  # type: ignore[untyped-decorator]
def narrow(context: Any, value: Any, like: Any) -> Any:  # noqa: ANN401
    """A computed number in the storage type of `like`: float32 is rounded to bfloat16 bits (to nearest, even)."""
    if like != types.uint16:
        return like(value, like), lambda context, builder, signature, arguments: context.cast(
            builder, arguments[0], signature.args[0], signature.return_type
        )

    def round_down(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        i32 = ir.IntType(32)
        bits = builder.bitcast(arguments[0], i32)
        last = builder.and_(builder.lshr(bits, ir.Constant(i32, 16)), ir.Constant(i32, 1))
        rounded = builder.add(bits, builder.add(last, ir.Constant(i32, 0x7FFF)))
        is_nan = builder.fcmp_unordered("uno", arguments[0], arguments[0])
        kept = builder.select(is_nan, ir.Constant(i32, 0x7FC00000), rounded)
        return builder.trunc(builder.lshr(kept, ir.Constant(i32, 16)), ir.IntType(16))

    return types.uint16(value, like), round_down
