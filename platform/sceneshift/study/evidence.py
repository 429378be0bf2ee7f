"""What a closing notes down for the study's report: splits, separation, machine, what each map says of every field.

The report never opens the door to target labels: pixels by predicted class, field by field, are all it is left of them.
"""

import json
import os
import platform as python_platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sceneshift.report.study_record import EVIDENCE
from sceneshift.report.uncertainty import FieldCounts
from sceneshift.safe_files import replacing
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.search.trial_store import TrialRecord
from sceneshift.search.tuner import SearchPlan
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import Split
from sceneshift.study.prepared_study import PreparedStudy


def write_evidence(
    folder: Path,
    study: PreparedStudy,
    plan: SearchPlan,
    *,
    winner: TrialRecord,
    counts: Mapping[str, Mapping[str, FieldCounts]],
) -> None:
    """Write ``evidence.json``.

    Args:
        folder: The study's report.
        study: The study.
        plan: Its search.
        winner: The trial that was chosen.
        counts: By pair and role, what the role's map says of the target's fields.
    """
    patch_size = int(winner.config["patch_size"])
    evidence = {
        "command": shlex.join(sys.argv),
        "profile": asdict(study.profile),
        "search space": Path(study.space.path).name,
        "narrowing": list(study.narrowing),
        "plan": {
            "trials at once": plan.max_concurrent_trials,
            "CPUs per trial": plan.cpus_per_trial,
            "GPUs per trial": plan.gpus_per_trial,
            "trained in": "Ray Train" if plan.in_ray_train else "the trial's actor",
            "precision": plan.precision,
        },
        "machine": describe_machine(with_gpu=plan.gpus_per_trial > 0),
        "pairs": {
            pair.name: _pair(pair, source, patch_size, counts[pair.name])
            for pair, source in zip(study.pairs, study.sources, strict=True)
        },
    }
    with replacing(folder / EVIDENCE) as temporary:
        temporary.write_text(json.dumps(evidence, indent=1), encoding="utf-8")


def describe_machine(*, with_gpu: bool) -> dict[str, str]:
    """The machine this runs on, in words.

    Args:
        with_gpu: Name the GPU too.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    told = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{python_platform.system()} {python_platform.machine()}",
    }
    if with_gpu and torch.cuda.is_available():
        told["GPU"] = torch.cuda.get_device_name()
    return told


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return python_platform.processor() or "unknown"


def _pair(pair: ScenePair, source: SourceDomain, patch_size: int, counts: Mapping[str, FieldCounts]) -> dict[str, Any]:
    split = source.split
    return {
        "classes": list(pair.class_names),
        "bands": pair.source.num_bands,
        "source": _scene(pair.source),
        "target": _scene(pair.target),
        "notes": list(pair.notes),
        "scored classes": list(split.scored_classes),
        "training pixels": _per_class(source, split.train),
        "validation pixels": _per_class(source, split.validation),
        "splits": {
            "validation": _split(split, patch_size),
            **({} if pair.test_split is None else {"test": _split(pair.test_split, patch_size)}),
        },
        "fields": {
            role: {"classes": found.classes.tolist(), "predicted": found.predicted.tolist()}
            for role, found in counts.items()
        },
    }


def _scene(scene: UnlabelledScene) -> dict[str, Any]:
    return {"scene": scene.name, "shape": scene.shape, "flight": scene.footprint.parent, "unit": scene.unit}


def _per_class(source: SourceDomain, pixels: Any) -> list[int]:  # noqa: ANN401
    labels = source.labels_of(pixels).tolist()
    return [labels.count(k) for k in range(source.scene.num_classes)]


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
