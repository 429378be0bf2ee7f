"""The facts a closing records for the report: splits, separation, machine, predicted classes per field for each map.

The report never reads target labels: the numbers of pixels per predicted class and field are all it knows of them.
"""

import json
import os
import platform as python_platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sceneshift.cores import allowed_cores
from sceneshift.execution.executor import Placement
from sceneshift.report.separation import validation_side
from sceneshift.report.study_record import EVIDENCE
from sceneshift.report.uncertainty import FieldCounts
from sceneshift.safe_files import replacing
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.search.prepared import PreparedSearch
from sceneshift.search.trial_record import TrialRecord
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import Split


def write_report_facts(
    folder: Path,
    search: PreparedSearch,
    placement: Placement,
    *,
    winner: TrialRecord,
    counts: Mapping[str, Mapping[str, FieldCounts]],
    command: str,
) -> None:
    """Write ``evidence.json``.

    Args:
        folder: The folder of the search's report.
        search: The search.
        placement: The resources of the trials.
        winner: The trial that was chosen.
        counts: By pair and role, the predicted classes per field of the target.
        command: The command line of the search.
    """
    patch_size = int(winner.config["patch_size"])
    facts = {
        "command": command,
        "profile": asdict(search.profile),
        "search space": Path(search.spec.space.path).name,
        "narrowing": list(search.narrowing),
        "plan": {
            "trials at once": placement.at_once,
            "CPUs per trial": placement.cpus,
            "GPUs per trial": placement.gpus,
            "trained in": search.trained_in(placement),
            "precision": search.spec.precision,
        },
        "machine": describe_machine(with_gpu=placement.gpus > 0),
        "pairs": {
            pair.name: _pair(pair, search.data.sources_of(pair.name), patch_size, counts[pair.name])
            for pair in search.data.pairs
        },
    }
    with replacing(folder / EVIDENCE) as temporary:
        temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def describe_machine(*, with_gpu: bool) -> dict[str, str]:
    """Describe the machine this runs on.

    Args:
        with_gpu: Include the GPU.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    machine = {
        "processor": _processor(),
        "cores": str(allowed_cores()),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{python_platform.system()} {python_platform.machine()}",
    }
    if with_gpu and torch.cuda.is_available():
        machine["GPU"] = torch.cuda.get_device_name()
    return machine


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return python_platform.processor() or "unknown"


def _pair(
    pair: ScenePair, sources: Sequence[SourceDomain], patch_size: int, counts: Mapping[str, FieldCounts]
) -> dict[str, Any]:
    scored = {k for source in sources for k in source.split.scored_classes}
    return {
        "classes": list(pair.class_names),
        "bands": pair.target.num_bands,
        "sources": [_scene(source) for source in pair.sources],
        "target": _scene(pair.target),
        "notes": list(pair.notes),
        "scored classes": sorted(scored),
        "training pixels": _per_class(sources, lambda split: split.train),
        "validation pixels": _per_class(sources, lambda split: split.validation),
        "splits": {
            **{validation_side(source.part): _split(source.split, patch_size) for source in sources},
            **({} if pair.test_split is None else {"test": _split(pair.test_split, patch_size)}),
        },
        "fields": {
            role: {"classes": found.classes.tolist(), "predicted": found.predicted.tolist()}
            for role, found in counts.items()
        },
    }


def _scene(scene: UnlabelledScene) -> dict[str, Any]:
    return {"scene": scene.name, "shape": scene.shape, "flight": scene.footprint.parent, "unit": scene.unit}


def _per_class(sources: Sequence[SourceDomain], pixels_of: Callable[[Split], NDArray[np.int64]]) -> list[int]:
    """Pixels of each class in all sources together."""
    labels = np.concatenate([source.labels_of(pixels_of(source.split)) for source in sources])
    return [int(n) for n in np.bincount(labels, minlength=sources[0].scene.num_classes)]


def _split(split: Split, patch_size: int) -> dict[str, Any]:
    return {
        "kind": split.kind,
        "guard": split.guard,
        "leaks": split.leaks,
        "seed": split.seed,
        "training pixels": len(split.train),
        "held-out pixels": len(split.validation),
        "separation": [asdict(split.separation(size)) for size in sorted({patch_size, split.patch_size})],
    }
