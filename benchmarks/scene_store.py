"""Opening a scene of 1 GB from the store, compared with reading the same scene from a MATLAB file.

python benchmarks/scene_store.py               # ten minutes on one core, 2.2 GB of disk, 3 GB of memory
python benchmarks/scene_store.py --rows 100    # a scene of 0.1 GB: a minute

Every open is in its own process, which has imported all it needs before the clock starts. The table gives medians:
seconds until the scene is open, seconds until every number was read once more (a sum), the growth of anonymous memory,
and the growth of the peak of resident memory, which includes the file's own pages. Files are in the system's cache, as
they are when several trials open one scene.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.files.scenes import export_scene, read_scene
from sceneshift.scenes.scene import Scene

WIDTH, BANDS = 1024, 250


def make_scene(rows: int) -> Scene:
    """A scene of random numbers; 1,024,000 bytes per row."""
    rng = np.random.default_rng(0)
    return Scene(
        name="benchmark",
        cube=rng.random((rows, WIDTH, BANDS), dtype=np.float32),
        labels=rng.integers(0, 9, size=(rows, WIDTH)),
        class_names=tuple(f"class {k}" for k in range(1, 9)),
        wavelengths_nm=np.linspace(400, 2500, BANDS),
    )


def status_bytes(field: str) -> int:
    """A number from this process's /proc status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def measure(path: Path, *, verify: bool) -> dict[str, float]:
    """Open once, in this process."""
    import h5py  # noqa: F401 - what is imported on first use is imported before the clock starts
    import pyarrow as pa
    import scipy.io  # noqa: F401

    pa.ipc  # noqa: B018
    anonymous = status_bytes("RssAnon")
    peak = status_bytes("VmHWM")
    start = time.perf_counter()
    scene = open_scene(path, verify=verify) if path.suffix == ".arrow" else read_scene(path)
    opened = time.perf_counter()
    after = status_bytes("RssAnon")
    grown = status_bytes("VmHWM") - peak
    total = sum(float(row.sum()) for row in scene.cube)
    return {
        "open_s": opened - start,
        "read_s": time.perf_counter() - opened,
        "anonymous_mb": (after - anonymous) / 1e6,
        "anonymous_after_reading_mb": (status_bytes("RssAnon") - anonymous) / 1e6,
        "peak_while_opening_mb": grown / 1e6,
        "sum": total,
    }


def repeat(path: Path, repeats: int, *, verify: bool = False) -> dict[str, float]:
    """Medians over opens, each in its own process."""
    command = [sys.executable, __file__, "--open", str(path), *(["--verify"] if verify else [])]
    runs = [json.loads(subprocess.check_output(command, text=True)) for _ in range(repeats)]
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def main() -> int:
    """Write the scene in each format, open each, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=977, help="rows of 1,024,000 bytes; 977 make 1 GB")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=None, help="where to write the files; a temporary folder")
    parser.add_argument("--open", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--verify", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.open is not None:
        print(json.dumps(measure(arguments.open, verify=arguments.verify)))
        return 0
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        stored, matlab = Path(name) / "scene.arrow", Path(name) / "scene.mat"
        scene = make_scene(arguments.rows)
        size = scene.cube.nbytes / 1e9
        start = time.perf_counter()
        write_scene(scene, stored)
        written = time.perf_counter() - start
        export_scene(scene, matlab, "mat")
        del scene
        rows = {
            "store": repeat(stored, arguments.repeats),
            "store, verified": repeat(stored, max(1, arguments.repeats // 4), verify=True),
            "MATLAB v5": repeat(matlab, arguments.repeats),
        }
    print(f"a scene of {size:.2f} GB, medians of {arguments.repeats} opens; written to the store in {written:.1f} s")
    print("| from | open s | anonymous MB | peak resident MB while opening | then read all s | anonymous MB after |")
    print("|---|---|---|---|---|---|")
    for what, row in rows.items():
        print(
            f"| {what} | {row['open_s']:.4f} | {row['anonymous_mb']:.1f} | {row['peak_while_opening_mb']:.1f} | "
            f"{row['read_s']:.2f} | {row['anonymous_after_reading_mb']:.1f} |"
        )
    return 0 if len({row["sum"] for row in rows.values()}) == 1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
