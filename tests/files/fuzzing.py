"""Damages small files of every format, reads them in child processes, and reports how each reading ended.

    python tests/files/fuzzing.py --count 20000 --seed 7
    python tests/files/fuzzing.py --target geotiff --seed 7 --first 118 --count 1    # one mutant again

A mutant may be read as another scene, or be refused with an error of the package. Everything else is a failure:

- another exception (what a user sees as a traceback),
- a process that crashes, or takes more than its seconds of CPU time,
- memory beyond the limit, whether it was refused by the system or was taken,
- an object that was unpickled,
- a stored scene that isn't the one that was written, and passes ``verify``.

What a mutant is follows from seed, target and number alone. Every fifth of a target is the file's beginning, from none
of it on and a byte longer each; the others are cut at random, or have bits flipped near the beginning, near the end or
anywhere. Half of the headers that are left are edited as texts: lines go, come twice or change places, numbers and keys
change, and the encoding does. A child reads many mutants; where it dies, the mutant it was at is blamed, and another
child continues.
"""

import argparse
import json
import os
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

#: What a reading may take next to what the process had before it.
MEMORY_BYTES = 512 * 2**20


#: A process that waits without computing is given up after this, however busy the machine.
WALL_S = 300

#: How libraries report that they got no memory. libtiff does so also for a number of entries it requests none for.
NO_MEMORY = re.compile(
    r"MemoryError|bad_alloc|cannot allocate|(?<!TIFFReadDirectory:)out of memory|memory allocation failed",
    re.IGNORECASE,
)

#: Values that headers have been seen to hold, or could.
ODD_VALUES = (
    *("", "0", "1", "-1", "255", "65536", "2147483648", "99999999999999999999", "1e400", "1.5", "nan", "-nan(ind)"),
    *("None", "{}", "{1, 2}", "{", "}", "Bip", "tile", "ENVI Spectral Library", "TIFF", "Wavenumber", "x" * 20_000),
)

GOOD = ("scene", "error")


@dataclass(frozen=True)
class Outcome:
    """How a mutant's reading ended."""

    target: str
    index: int
    kind: str
    message: str
    peak_mb: float = 0.0


def mutate(whole: bytes, *, target: str, seed: int, index: int) -> bytes:
    """A damaged copy of a file's bytes, never the same bytes."""
    if index % 5 == 0 and index // 5 < len(whole):
        return whole[: index // 5]
    rng = np.random.default_rng([seed, zlib.crc32(target.encode()), index])
    if rng.random() < 0.2:
        return whole[: int(rng.integers(len(whole)))]
    if whole.startswith(b"ENVI") and rng.random() < 0.5 and (edited := edit_text(whole, rng)) != whole:
        return edited
    place = rng.choice(["beginning", "end", "anywhere"], p=[0.45, 0.2, 0.35])
    near = min(len(whole), 1024)
    start, stop = {"beginning": (0, near), "end": (len(whole) - near, len(whole))}.get(place, (0, len(whole)))
    number = int(rng.choice([1, 1, 1, 2, 4, 16]))
    damaged = bytearray(whole)
    # Distinct bits: two flips of one would give it back.
    for bit in rng.choice(8 * (stop - start), size=number, replace=False):
        damaged[start + bit // 8] ^= 1 << (bit % 8)
    return bytes(damaged)


def edit_text(whole: bytes, rng: np.random.Generator) -> bytes:
    """A header with one to three edits that people and programs make; rarely none."""
    lines = whole.decode("cp1252", errors="replace").split("\n")
    for _ in range(int(rng.integers(1, 4))):
        place, other = (int(rng.integers(len(lines))) for _ in range(2))
        odd = str(rng.choice(ODD_VALUES))
        match int(rng.integers(7)):
            case 0:
                del lines[place]
                lines = lines or [""]
            case 1:
                lines.insert(other, lines[place])
            case 2:
                lines[place], lines[other] = lines[other], lines[place]
            case 3:
                lines[place] = re.sub(r"=.*", f"= {odd}", lines[place])
            case 4:
                lines[place] = re.sub(r"-?[0-9.]+", odd, lines[place], count=1)
            case 5:
                lines[place] = lines[place].swapcase()
            case 6:
                at = int(rng.integers(len(lines[place]) + 1))
                lines[place] = lines[place][:at] + str(rng.choice(list("{}=;,\r\t\0 ü"))) + lines[place][at:]
    encoding = str(rng.choice(["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-be"], p=[0.6, 0.1, 0.1, 0.1, 0.1]))
    return "\n".join(lines).encode(encoding, errors="replace")


def run(
    names: list[str], *, seed: int, first: int, count: int, cpu_s: int = 20, keep: Path | None = None
) -> list[Outcome]:
    """Read all mutants of some targets, ``count`` of each from number ``first`` on, in one child after another."""
    outcomes: list[Outcome] = []
    left = [(name, first) for name in names]
    while left:
        jobs = [(name, start, first + count) for name, start in left]
        done, message = _one_child(jobs, seed=seed, cpu_s=cpu_s, keep=keep)
        outcomes += done
        reached = {outcome.target: outcome.index + 1 for outcome in done}
        left = [(name, reached.get(name, start)) for name, start in left]
        left = [(name, start) for name, start in left if start < first + count]
        if left:  # the child ended before all was read: at the next mutant
            name, index = left[0]
            outcomes.append(Outcome(name, index, *message))
            left[0] = (name, index + 1)
            left = [(name, start) for name, start in left if start < first + count]
    return outcomes


def _one_child(
    jobs: list[tuple[str, int, int]], *, seed: int, cpu_s: int, keep: Path | None
) -> tuple[list[Outcome], tuple[str, str]]:
    """What a child message before it ended, and how it ended."""
    order = {"jobs": jobs, "seed": seed, "cpu_s": cpu_s, "keep": keep and str(keep)}
    command = [sys.executable, __file__, "--child", json.dumps(order)]
    # One arena and the system's allocator: else the room they set aside is most of what the limit counts.
    alone = {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    alone |= {"OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    done: list[Outcome] = []
    ready = False
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=os.environ | alone) as child,
    ):
        assert child.stdout is not None
        text, hung = b"", False
        while True:
            if not select.select([child.stdout], [], [], WALL_S)[0]:
                hung = True
                child.kill()
                break
            if not (more := os.read(child.stdout.fileno(), 2**16)):
                break
            *lines, text = (text + more).split(b"\n")
            for line in lines:
                message = json.loads(line)
                ready = True
                if message is not None:
                    done.append(Outcome(**message))
        status = child.wait()
        errors.seek(0)
        printed = errors.read().decode(errors="replace").partition("Extension modules:")[0].strip()
        last = printed[max(0, printed.rfind("Fatal Python error")) :][:800]
    if not ready:
        raise RuntimeError(f"the fuzzer's child could not begin:\n{last}")
    if hung or -status == 24:  # SIGXCPU
        return done, ("hang", f"more than {cpu_s} s of CPU time" if not hung else f"silent for {WALL_S} s")
    return done, ("crash", f"status {status}: {last}")


def child(order: dict) -> None:
    """Read mutants and print an outcome each."""
    import faulthandler
    import logging

    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    unpickled: list[str] = []
    sys.addaudithook(lambda event, given: unpickled.append(str(given)) if event == "pickle.find_class" else None)
    from fuzz_targets import SABOTEURS, TARGETS

    known = TARGETS | SABOTEURS
    with tempfile.TemporaryDirectory() as folder:
        prepared = {}
        for name in dict.fromkeys(name for name, _, _ in order["jobs"]):
            place = Path(folder) / name
            place.mkdir()
            path = known[name].write(place)
            prepared[name] = place, path, path.read_bytes()
            known[name].read(place)  # whole files are read; and what libraries set up once is set up
        print("null", flush=True)
        unpickled.clear()
        memory = _status("VmSize")
        resource.setrlimit(resource.RLIMIT_AS, (memory + MEMORY_BYTES, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for name, start, stop in order["jobs"]:
            place, path, whole = prepared[name]
            for index in range(start, stop):
                damaged = mutate(whole, target=name, seed=order["seed"], index=index)
                path.write_bytes(damaged)
                used = resource.getrusage(resource.RUSAGE_SELF)
                limit = int(used.ru_utime + used.ru_stime) + 1 + order["cpu_s"]
                resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
                outcome = _read_one(name, known[name].read, place, index, unpickled)
                if order["keep"] and outcome.kind not in GOOD:
                    (Path(order["keep"]) / f"{name}-{order['seed']}-{index}{path.suffix}").write_bytes(damaged)
                print(json.dumps(asdict(outcome)), flush=True)
            path.write_bytes(whole)


def _read_one(target: str, read: Callable[[Path], None], place: Path, index: int, unpickled: list[str]) -> Outcome:
    from sceneshift.errors import SceneshiftError

    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    kind, message = "scene", ""
    try:
        read(place)
    except SceneshiftError as error:
        kind, message = "error", str(error)
        if any(NO_MEMORY.search(f"{type(e).__name__}: {e}") for e in _chain(error)):
            kind = "memory"
    except Exception as error:
        kind, message = getattr(error, "failure", "traceback"), f"{type(error).__name__}: {error}"
    peak = _status("VmHWM") - before
    if peak > MEMORY_BYTES:
        kind, message = "memory", f"{peak / 2**20:.0f} MiB taken; {message}"
    if unpickled:
        kind, message = "unpickled", "; ".join(unpickled)
        unpickled.clear()
    return Outcome(target, index, kind, message[:1000], round(peak / 2**20, 1))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def table(outcomes: list[Outcome]) -> list[str]:
    """Counts of each target's outcomes, one line per target."""
    names = list(dict.fromkeys(outcome.target for outcome in outcomes))
    lines = [f"{'':<24}{'scene':>8}{'error':>8}{'other':>8}{'peak MB':>9}"]
    for name in [*names, "all"]:
        own = [outcome for outcome in outcomes if name in ("all", outcome.target)]
        kinds = Counter(outcome.kind for outcome in own)
        other = sum(kinds.values()) - kinds["scene"] - kinds["error"]
        peak = max(outcome.peak_mb for outcome in own)
        lines.append(f"{name:<24}{kinds['scene']:>8}{kinds['error']:>8}{other:>8}{peak:>9.0f}")
    return lines


def main() -> int:
    """Read the command line, damage and read, print what came of it; 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2400, help="mutants, over all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the first mutant's number")
    parser.add_argument("--target", action="append", help="damage only this one; may be given again")
    parser.add_argument("--cpu-s", type=int, default=20, help="CPU time a mutant may take; milliseconds are usual")
    parser.add_argument("--keep", type=Path, help="folder to keep the mutants in that failed")
    parser.add_argument("--json", type=Path, help="file to write all outcomes to")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(json.loads(arguments.child))
        return 0
    from fuzz_targets import TARGETS

    names = arguments.target or list(TARGETS)
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    each = -(-arguments.count // len(names))
    how = {"seed": arguments.seed, "first": arguments.first, "cpu_s": arguments.cpu_s, "keep": arguments.keep}
    outcomes = run(names, count=each, **how)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))
    for outcome in outcomes:
        if outcome.kind not in GOOD:
            print(f"{outcome.kind}: {outcome.target} {outcome.index}: {outcome.message}")
    print("\n".join(table(outcomes)))
    print(f"{len(outcomes)} mutants, seed {arguments.seed}, {time.perf_counter() - began:.0f} s")
    return int(any(outcome.kind not in GOOD for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
