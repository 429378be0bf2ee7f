"""README, CONTRIBUTING and docs say what the code does: blocks run or are read; commands, flags and paths exist."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.user_toml import read_catalogue
from sceneshift.commands.compare_arguments import CompareArgs, read_compare_command_line
from sceneshift.commands.doctor import DoctorArgs, read_doctor_command_line
from sceneshift.commands.examples import EXAMPLES
from sceneshift.commands.practices_arguments import read_practices_command
from sceneshift.commands.predict_arguments import PredictArgs, read_predict_command_line
from sceneshift.commands.program import console_command
from sceneshift.commands.promote_arguments import PromoteArgs, read_promote_command_line
from sceneshift.commands.register import read_register_command_line
from sceneshift.commands.report_arguments import ReportArgs, read_report_command_line
from sceneshift.commands.scene_arguments import SceneCommand, read_scene_command
from sceneshift.commands.selection_study_arguments import StudyCommand, read_study_command
from sceneshift.commands.simulate_arguments import Simulate
from sceneshift.commands.train_arguments import TrainArgs, read_train_command_line
from sceneshift.commands.tune_arguments import TuneArgs, TuneCommand, read_command_line, read_tune_command
from sceneshift.commands.ui import UiArgs, read_ui_command_line
from sceneshift.comparison.spec import read_spec
from sceneshift.methods.registry import METHODS
from sceneshift.methods.s2amsnet import S2AMSnet, S2AMSnetConfig
from sceneshift.scenes.normalization import Normalization
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.model_description import ModelDescription
from sceneshift.tracking.models import log_and_register
from sceneshift.tracking.search_run import SearchRun

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

#: Its cells are run one after another; a block of a page that is one of them is not run a second time.
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"

#: What is printed and not typed, by page and section: nothing can be run there.
PRINTED = {
    ("README.md", "What you will see"): "sentences of a whole search, of minutes and of one machine",
    ("docs/search.md", "Searching"): "sentences of a whole search, of minutes and of one machine",
    ("CONTRIBUTING.md", "Where things are"): "a drawing of the folders",
    ("docs/adding_an_executor.md", "2. Test it"): "two lines of a fixture",
    ("docs/mlflow.md", "Champion, candidate, previous champion"): "a screen of promote.py after a whole search",
    ("docs/tutorial.md", "Search"): "lines and the verdict of a whole search",
    ("docs/tutorial.md", "Choose a model"): "a screen of promote after a whole search",
    ("docs/tutorial.md", "Map a scene"): "a screen of predict after a whole search",
    ("docs/s2vnet.md", "Memory"): "lines of a benchmark of a quarter of an hour",
}

#: Programs of others, whose flags are not ours to check; a shell must be able to read the line all the same.
FOREIGN = {"aws", "cat", "curl", "export", "mlflow", "pip", "python3.11", "ray", "source"}

#: Flags of other programs in the text.
FOREIGN_FLAGS = {
    *("--tmux", "--dashboard-host"),  # ray
    *("--artifacts-destination", "--backend-store-uri"),  # mlflow
    *("--dataset", "--flag_test", "--patches"),  # the authors' demo.py
    *("--patch_size", "--source_name", "--target_name", "--training_sample_ratio"),  # the authors' main.py
}

#: How each script reads its command line.
READERS: dict[str, Callable[[], Any]] = {
    "experiments/compare.py": read_compare_command_line,
    "experiments/practices.py": lambda: read_practices_command(""),
    "experiments/predict.py": read_predict_command_line,
    "experiments/promote.py": read_promote_command_line,
    "experiments/report.py": read_report_command_line,
    "experiments/scenes.py": read_scene_command,
    "experiments/selection_study.py": lambda: read_study_command(""),
    "experiments/train.py": read_train_command_line,
    "experiments/tune.py": read_tune_command,
    "experiments/tune_cross_entropy.py": read_command_line,
    "experiments/tune_s2amsnet.py": read_command_line,
    "experiments/tune_s2vnet.py": read_command_line,
}


#: How each console command reads its command line.
CONSOLE_READERS: dict[str, Callable[[], Any]] = {
    "tune": read_tune_command,
    "train": read_train_command_line,
    "scenes": read_scene_command,
    "compare": read_compare_command_line,
    "predict": read_predict_command_line,
    "register": read_register_command_line,
    "promote": read_promote_command_line,
    "report": read_report_command_line,
    "ui": read_ui_command_line,
    "doctor": read_doctor_command_line,
}

#: Scripts that the documentation starts, in addition to those of experiments/ and benchmarks/.
OTHER_SCRIPTS = [ROOT / "tests/chaos/chaos.py", ROOT / "tests/files/fuzzing.py"]

#: How a command begins in a text.
COMMAND = re.compile(r"([A-Z_]+=\S+ )*(python \S+\.py|sceneshift [a-z]|make [a-z]|pytest |ray [a-z]|mlflow [a-z]|pip )")


@dataclass(frozen=True)
class Block:
    page: str
    section: str
    language: str
    text: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    section, language, text, begun = "", None, [], 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            if language is None:
                language, text, begun = line.removeprefix("```").strip(), [], number
            else:
                yield Block(page_name(page), section, language, "\n".join(text) + "\n", begun)
                language = None
        elif language is not None:
            text.append(line)
        elif line.startswith("#"):
            section = line.lstrip("#").strip()
    assert language is None, f"{page}: a block is not closed"


def prose_of(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def code_spans(page: Path) -> list[str]:
    """The text between single backticks, with line breaks as spaces."""
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose_of(page))]


def cells_of_notebook(kind: str) -> list[str]:
    """The texts of the notebook's cells, "code" or "markdown"."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
IN_NOTEBOOK = set(cells_of_notebook("code"))


#: The page whose blocks are of a method that is not there until the page has been followed, and that method.
RECIPE, NEW_METHOD = "docs/adding_a_method.md", "label_smoothing"


def written_in(*languages: str) -> list[Any]:
    """The blocks in some languages; those of :data:`RECIPE` where it has been followed, which a test below does."""
    return [
        pytest.param(block, id=block.place)
        for block in BLOCKS
        if block.language in languages and (block.page != RECIPE or NEW_METHOD in METHODS)
    ]


def test_every_block_says_what_it_is_written_in() -> None:
    assert {block.language for block in BLOCKS} <= {"bash", "bibtex", "python", "text", "toml", "yaml"}
    assert len(BLOCKS) > 20


def test_what_can_t_be_run_is_listed_with_its_reason() -> None:
    assert {(block.page, block.section) for block in BLOCKS if block.language == "text"} == set(PRINTED)


@pytest.mark.parametrize("block", written_in("toml"))
def test_a_catalogue_or_a_comparison_is_one(block: Block, tmp_path: Path) -> None:
    if "methods" in tomllib.loads(block.text):
        (tmp_path / "study.toml").write_text(block.text)
        assert read_spec(tmp_path / "study.toml", spaces=ROOT / "search_spaces").methods
        return
    assert {"scenes", "pairs"} & tomllib.loads(block.text).keys(), f"{block.place}: no catalogue; say how to check it"
    (tmp_path / "scenes.toml").write_text(block.text)
    catalogue = read_catalogue(tmp_path / "scenes.toml")
    assert catalogue.scenes
    assert catalogue.pairs


def test_yaml_can_be_read() -> None:
    for block in BLOCKS:
        if block.language == "yaml":
            assert yaml.safe_load(block.text) is not None, block.place


# Python


def run_python(code: str, folder: Path, *arguments: str) -> str:
    """Run code in a Python of its own; returns what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    script = folder / "block.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A folder whose results/ contain the champion that the README mentions, untrained."""
    source = load_pair("west-east").source
    backend = TrackingBackend(
        uri=f"sqlite:///{tmp_path}/results/mlflow.db", artifact_root=tmp_path / "results" / "mlartifacts"
    )
    backend.connect()
    mirror = SearchRun(backend, study_name="s", metric="val/aa", tags={}, params={})
    config = S2AMSnetConfig(patch_size=5, width=8, generator_channels=4)
    model = log_and_register(
        mirror.client,
        run_id=mirror.run_id,
        alias="champion",
        classifier=S2AMSnet.build_classifier(config, bands=source.num_bands, classes=source.num_classes),
        description=ModelDescription.of(
            method="s2amsnet",
            config=config,
            sources=[source],
            normalization=Normalization.fit(config.normalization, source.cube),
        ),
        tags={},
    )
    mirror.close("FINISHED")
    assert model.uri == "models:/s2amsnet-indian_pines-west@champion"
    return tmp_path


def blocks_on(page: str, language: str) -> list[str]:
    return [block.text for block in BLOCKS if (block.page, block.language) == (page, language)]


def test_the_recipe_of_a_pair_makes_one(tmp_path: Path) -> None:
    (scenes,) = blocks_on("docs/adding_a_pair.md", "python")
    catalogue, comparison = blocks_on("docs/adding_a_pair.md", "toml")
    assert len(catalogue.splitlines()) <= 10
    run_python(scenes, tmp_path)
    (tmp_path / "scenes.toml").write_text(catalogue)
    (tmp_path / "study.toml").write_text(comparison)
    (name,) = read_spec(tmp_path / "study.toml", spaces=ROOT / "search_spaces").pairs
    pair = load_pair(NamedPair(name=name, catalogue=read_catalogue(tmp_path / "scenes.toml")))
    assert pair.source.class_names == ("meadow", "tree", "roof")
    assert (pair.source.class_counts > 0).all()
    assert pair.target.shape == (64, 64)


@pytest.mark.slow
def test_the_recipe_of_a_method_makes_one(tmp_path: Path) -> None:
    unneeded = shutil.ignore_patterns(".*", "__pycache__", "results", "selection_work", "site", "mlruns", "build")
    shutil.copytree(ROOT, tmp_path / "clone", ignore=unneeded)
    method, *_ = files = blocks_on(RECIPE, "python")
    assert len(method.splitlines()) <= 81  # with the file's name
    for text in files:
        first, _, rest = text.partition("\n")
        path = tmp_path / "clone" / first.removeprefix("# ")
        path.write_text(path.read_text() + rest if path.exists() else rest)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path / "clone" / "platform")}
    contract = [line.split() for line in blocks_on(RECIPE, "bash")[0].splitlines()]
    for words in (*contract, ["pytest", "tests/test_documentation.py", "-k", "adding_a_method and not python_runs"]):
        done = subprocess.run(
            [sys.executable, "-m", *words, "-q", "-p", "no:cacheprovider"],
            cwd=tmp_path / "clone",
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def run_apart() -> list[Any]:
    """The blocks that are no cell of the notebook."""
    return [parameter for parameter in written_in("python") if parameter.values[0].text.strip() not in IN_NOTEBOOK]


def test_the_readme_s_search_is_the_notebook_s() -> None:
    searches = [block.page for block in BLOCKS if block.language == "python" and block.text.strip() in IN_NOTEBOOK]
    assert "README.md" in searches


def test_the_notebook_is_kept_without_outputs_and_links_to_pages_that_are_there() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
    linked = re.findall(r"\]\(([^)#:]+)[)#]", "\n".join(cells_of_notebook("markdown")))
    assert len(linked) > 4
    assert [link for link in linked if not (NOTEBOOK.parent / link).exists()] == []


#: Runs a notebook as Jupyter does, and prints what its cells print.
RUN_NOTEBOOK = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=400, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("text", ""), *output.get("data", ()))
"""


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    shown = run_python(RUN_NOTEBOOK, tmp_path, str(NOTEBOOK))
    assert "models:/s2amsnet-indian_pines-sw@smoke-test" in shown
    assert shown.count("image/png") == 2  # the pair and the map
    assert (tmp_path / "results" / "from-python" / "report" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("block", run_apart())
def test_python_runs(block: Block, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if "import mlflow" in block.text:
        checks = "\ngot = model.predict(cube)\nprint(*cube.shape[:2], *got.shape, got.min(), got.max())\n"
        shown = run_python(block.text + checks, request.getfixturevalue("registry")).split()
        height, width, rows, columns, least, most = map(int, shown)
        assert (rows, columns) == (height, width)
        assert 1 <= least <= most <= 5
    elif "sceneshift.engine" in block.text:
        (tmp_path / "search_spaces").symlink_to(ROOT / "search_spaces")
        shown = run_python(block.text, tmp_path)
        assert "models:/" in shown
    else:
        checks = "\nimport sys\nprint(sorted({'ray', 'mlflow', 'optuna'} & sys.modules.keys()))\n"
        assert run_python(block.text + checks, tmp_path).splitlines()[-1] == "[]"


# Shell


def logical_lines(text: str) -> list[str]:
    """Commands, one per line: continuations joined, here-documents left out."""
    text = re.sub(r"<<'?(\w+)'?\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def commands_in(line: str) -> list[list[str]]:
    """The words of each command of a line; comments and settings of the environment are left out."""
    commands: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word in ("&&", ";", "|") or word.endswith(";"):
            commands[-1] += [word.rstrip(";")] if word.endswith(";") and word != ";" else []
            commands.append([])
        elif commands[-1] or not re.fullmatch(r"[A-Z_]+=.*", word, flags=re.DOTALL):
            commands[-1].append(word)
    return [command for command in commands if command]


def check_command(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a command could not be entered as it is."""
    program, *rest = words
    if program in ("python", ".venv/bin/python") and rest[:1] != ["-m"]:
        check_script(rest[0], rest[1:], monkeypatch)
    elif program == "make":
        check_make(rest, monkeypatch)
    elif program == "pytest":
        paths = [word for before, word in zip(words, rest, strict=False) if not word.startswith("-") and before != "-k"]
        assert all((ROOT / path).exists() for path in paths), words

        paths = [word for before, word in zip(["", *rest], rest, strict=False) if before not in ("-k", "-m")]
        assert all((ROOT / word).exists() for word in paths if not word.startswith("-")), words
    elif program == "sceneshift":
        check_console_command(rest, monkeypatch)
    elif program != "python":
        assert program in FOREIGN, f"{program}: is it a program of others? Add it to FOREIGN."
    for word in rest:  # ray exec hands a whole command on
        if " && python " in word:
            check_command(commands_in(word)[-1], monkeypatch)


def check_console_command(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sceneshift", *words])
    if words[0].startswith("--"):
        assert words[0] in ("--help", "--version", "--completion")
        return
    with console_command(words[0]):
        try:
            CONSOLE_READERS[words[0]]()
        except SystemExit as error:
            if error.code not in (None, 0):
                raise AssertionError(f"sceneshift {shlex.join(words)}: its command line can't be read") from error


def check_script(script: str, words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert (ROOT / script).is_file(), f"there is no {script}"
    if script not in READERS:
        assert flags_in(words) <= flags_of_source(ROOT / script), f"{script} {shlex.join(words)}"
        return
    monkeypatch.setattr(sys, "argv", [script, *words])
    try:
        READERS[script]()
    except SystemExit as error:
        if error.code not in (None, 0):
            raise AssertionError(f"{script} {shlex.join(words)}: its command line can't be read") from error


def check_make(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("make") is None:
        pytest.skip("needs make")
    environment = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "STORAGE", "ARGS")}
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"make {shlex.join(words)}: {done.stderr}"
    for line in done.stdout.splitlines():  # what ARGS are handed to
        if line.startswith(".venv/bin/python ") and " -m " not in line:
            check_command(shlex.split(line), monkeypatch)


def flags_in(words: Sequence[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def flags_of_source(path: Path) -> set[str]:
    """The flags of a benchmark or a test's script: of its dataclass ``Args``, or of its argparse."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef(name="Args", body=body):
                fields = [item.target.id for item in body if isinstance(item, ast.AnnAssign)]
                found |= {flag_of(field) for field in fields}
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=[ast.Constant(value=str(flag)), *_]):
                found.add(flag)
    return found


def flag_of(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def flags_of(kind: Any) -> set[str]:
    """The flags of a dataclass of arguments, or of a script's commands."""
    commands = [get_args(command)[0] for command in get_args(kind)] or [kind]
    return {flag_of(name) for command in commands for name in command.__dataclass_fields__}


@pytest.mark.parametrize("block", written_in("bash"))
def test_a_shell_reads_it(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


#: A script that sets up machines of others: a shell can read it, and that is all that can be checked.
ONLY_READ = {"docs/cluster.md": "Before the first time"}


@pytest.mark.parametrize("block", written_in("bash"))
def test_its_commands_exist_with_their_flags(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    if ONLY_READ.get(block.page) == block.section:
        assert "experiments/" not in block.text
        return
    for line in logical_lines(block.text):
        for words in commands_in(line):
            check_command(words, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_in_the_text_exist_with_their_flags(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for span in code_spans(page):
        if COMMAND.match(span):
            for words in commands_in(span.replace("\\|", "|")):
                check_command(words, monkeypatch)


SCRIPTS = [*(ROOT / "experiments").glob("*.py"), *(ROOT / "benchmarks").glob("*.py"), *OTHER_SCRIPTS]


@pytest.mark.parametrize("script", sorted(SCRIPTS), ids=page_name)
def test_the_commands_a_script_begins_with_can_be_given(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    given = [words for line in logical_lines(described) if COMMAND.match(line.strip()) for words in commands_in(line)]
    assert given or "``--help`` has examples" in described or script.parent.name != "experiments"
    for words in given:
        check_command(words, monkeypatch)


@pytest.mark.parametrize(
    ("command", "arguments"), [(name, line) for name, shown in EXAMPLES.items() for line, _ in shown.lines]
)
def test_the_examples_of_help_can_be_given(command: str, arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = ["s2amsnet"] if command == "tune" else []
    check_command(["sceneshift", command, *method, *shlex.split(arguments)], monkeypatch)


def test_the_commands_cluster_yaml_begins_with_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    head = (ROOT / "cluster.yaml").read_text(encoding="utf-8").partition("# ====")[0]
    given = [line for line in logical_lines(re.sub(r"^# ?", "", head, flags=re.MULTILINE)) if line.startswith("  ")]
    assert len(given) > 3
    for line in given:
        for words in commands_in(line):
            check_command(words, monkeypatch)


# Flags, names and paths


def known_flags() -> set[str]:
    kinds = (
        TuneCommand,
        TrainArgs,
        PredictArgs,
        PromoteArgs,
        ReportArgs,
        SceneCommand,
        StudyCommand,
        UiArgs,
        DoctorArgs,
        CompareArgs,
    )
    sources = [*(ROOT / "benchmarks").glob("*.py"), *OTHER_SCRIPTS]
    return {"--help"}.union(*map(flags_of, kinds), *map(flags_of_source, sources))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_flag_in_the_text_is_one(page: Path) -> None:
    named = {flag for span in code_spans(page) for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", span)}
    assert named - known_flags() - FOREIGN_FLAGS == set()


@pytest.mark.parametrize(("page", "kind"), [("docs/search.md", TuneArgs), ("docs/simulation.md", Simulate)])
def test_a_table_of_flags_has_flags_of_its_script(page: str, kind: type) -> None:
    (table,) = re.findall(r"^\| flag \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", (ROOT / page).read_text(encoding="utf-8"), re.M)
    named = set(re.findall(r"`(--[a-z-]+)", "\n".join(row.split("|")[1] for row in table.splitlines())))
    assert len(named) > 10
    assert named <= flags_of(kind)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_and_files_that_are_named_are_there(page: Path) -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", prose_of(page))
    linked = [link for link in linked if not link.startswith("../../actions/")]  # a page of the host, by each README
    assert [link for link in linked if not (page.parent / link).exists()] == []
    named = {span for span in code_spans(page) if re.fullmatch(r"[\w.-]+(/[\w.-]+)+\.(py|jsonl?|md)", span)}
    written_by_a_run = {name for name in named if name.startswith("report/") and not name.endswith(".py")}
    places = (ROOT, ROOT / "platform" / "sceneshift")
    lost = {name for name in named - written_by_a_run if not any((place / name).exists() for place in places)}
    assert lost == set()


def test_a_flag_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (
        ["python", "experiments/train.py", "--method", "s2vnet", "--scene", "indian_pines", "--no-such-flag"],
        ["python", "experiments/no_such_script.py"],
        ["python", "benchmarks/speed.py", "--no-such-flag", "3"],
        ["make", "no-such-target"],
        ["make", "bench", "ARGS=--no-such-flag 3"],
        ["ray", "exec", "cluster.yaml", "cd x && python experiments/tune_s2vnet.py --no-such-flag"],
        ["no-such-program"],
    ):
        with pytest.raises(AssertionError):
            check_command(words, monkeypatch)
