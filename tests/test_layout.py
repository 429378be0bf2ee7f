"""The house's rules that no linter holds: files, what an import costs, and the one door to target labels."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE_ROOT = ROOT / "platform"
PACKAGE = SOURCE_ROOT / "sceneshift"
FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE_ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_of(room: str) -> list[str]:
    return [module_name(path) for path in sorted((PACKAGE / room).rglob("*.py"))]


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages in sys.modules after importing some modules in a fresh interpreter."""
    script = (
        "import importlib, json, sys\n"
        f"for name in {list(modules)!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout))


def names_in(source: str) -> set[str]:
    """Every identifier, attribute, imported name and text that is exactly one word in a file's code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                found.update(part for alias in aliases for part in alias.name.split("."))
            case ast.Constant(value=str(text)):  # getattr(module, "open_target")
                found.add(text)
    return found


def modules_naming(*names: str) -> set[str]:
    return {module_name(path) for path in FILES if names_in(path.read_text(encoding="utf-8")) & set(names)}


def test_the_source_root_is_no_package() -> None:
    assert PACKAGE.is_dir()
    assert not (SOURCE_ROOT / "__init__.py").exists()


def test_from_the_repository_root_platform_is_still_the_standard_library_s() -> None:
    script = "import sys; assert sys.path[0] == ''; import platform; print(platform.system())"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() != ""


def test_no_file_is_a_drawer_for_everything() -> None:
    assert [p for p in FILES if p.stem.lstrip("_") in {"utils", "util", "misc", "common", "helpers"}] == []


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {module_name(p): len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    assert len(lengths) > 20
    assert {name: length for name, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize(
    "module",
    [
        "sceneshift",
        "sceneshift.commands.tune_arguments",
        "sceneshift.commands.train_arguments",
        "sceneshift.commands.scene_arguments",
        "sceneshift.commands.selection_study_arguments",
        "sceneshift.commands.compare_arguments",
        "sceneshift.commands.compare",
        "sceneshift.commands.train",
        "sceneshift.commands.practices_arguments",
        "sceneshift.commands.predict_arguments",
        "sceneshift.commands.predict",
        "sceneshift.commands.promote_arguments",
    ],
)
def test_a_cheap_import_stays_cheap(module: str) -> None:
    loaded = loaded_by(module)
    assert "sceneshift" in loaded
    assert loaded.isdisjoint({"torch", "ray", "mlflow", "optuna"})


def test_a_network_trains_in_a_bare_python_prompt() -> None:
    loaded = loaded_by(
        *(name for room in ("scenes", "splits", "files", "catalogue", "simulation") for name in modules_of(room)),
        *modules_of("networks"),
        *modules_of("methods"),
        "sceneshift.training.loop",
        "sceneshift.training.evaluation",
        "sceneshift.training.checkpoint",
    )
    assert "torch" in loaded
    assert loaded.isdisjoint({"ray", "mlflow", "optuna"})


#: What closes a study or a training does so after the last epoch; choosing reads labels for the oracle alone.
#: ``promote.py --on target`` compares finished models, and writes on the one that is chosen that target labels chose
#: it. The selection study reads labels after every epoch to judge strategies, and says so in all that it writes. A
#: comparison reads them after its last choice, and counts how often.
MAY_OPEN_THE_DOOR = {
    "sceneshift.closing.scoring",
    "sceneshift.closing.promotion",
    "sceneshift.closing.choosing",
    "sceneshift.studies.target_scores",
    "sceneshift.comparison.joining",
}


def test_only_what_closes_promotes_or_studies_opens_the_door_to_target_labels() -> None:
    assert modules_naming("open_target", "TargetScorer") == {"sceneshift.catalogue.target"} | MAY_OPEN_THE_DOOR


def test_nobody_else_imports_the_module_behind_the_door() -> None:
    importers = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported = {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                imported = {alias.name for alias in node.names}
            else:
                continue
            if "sceneshift.catalogue.target" in imported or getattr(node, "level", 0) > 0:
                importers.add(module_name(path))
    assert importers == MAY_OPEN_THE_DOOR


def test_only_the_door_and_the_scenes_script_load_both_sides_with_labels() -> None:
    assert modules_naming("load_both_labelled") == {
        "sceneshift.catalogue.load",
        "sceneshift.catalogue.target",
    }
    assert modules_naming("load_pair_and_labelled_target") == {
        "sceneshift.catalogue.load",
        "sceneshift.commands.scenes",  # describes scenes; trains and chooses nothing
    }


def test_only_the_catalogue_divides_a_scene_with_the_test_side_s_labels() -> None:
    assert modules_naming("divide_scene", "DividedScene") == {
        "sceneshift.catalogue.load",
        "sceneshift.catalogue.in_scene",
    }


def test_only_the_catalogue_aligns_two_scenes_with_all_their_labels() -> None:
    assert modules_naming("AlignedPair", "align_sources") == {
        "sceneshift.catalogue.load",
        "sceneshift.scenes.alignment",
    }
    assert modules_naming("share_classes") == {"sceneshift.scenes.alignment", "sceneshift.scenes.common_classes"}


def test_whole_scenes_with_all_labels_stay_in_their_room() -> None:
    assert modules_naming("load_scene", "apply_masks") == {
        "sceneshift.catalogue.load",
        "sceneshift.catalogue.in_scene",
        "sceneshift.splits.masks",
        "sceneshift.commands.scenes",
        "sceneshift.studies.simulated_pairs",  # spectra for a simulated pair
    }


def test_only_commands_print_read_the_command_line_and_exit() -> None:
    found = {}
    for path in FILES:
        if path.is_relative_to(PACKAGE / "commands"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="print" | "input" | "exit" | "quit" as name)):
                    found[module_name(path)] = name
                case ast.Attribute(value=ast.Name(id="sys"), attr="argv" | "exit" | "stdout" | "stderr" as name):
                    found[module_name(path)] = name
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "from sceneshift.catalogue.target import open_target as harmless",
        "import sceneshift.catalogue.target as t\nt.open_target('west-east')",
        "import sceneshift.catalogue.target as t\ngetattr(t, 'open_target')('west-east')",
        "open_target = 3",
    ],
)
def test_the_scan_sees_a_reference_in_any_form(code: str) -> None:
    assert "open_target" in names_in(code)


def test_the_scan_leaves_docstrings_alone() -> None:
    assert "open_target" not in names_in('"""See :func:`open_target`."""')
