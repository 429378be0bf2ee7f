"""A comparison's folder: complete, the same bytes again, self-contained, and with everything said in captions."""

import html
import re
import shutil
import subprocess

import numpy as np
import pytest

from sceneshift.comparison.class_maps import PairMaps
from sceneshift.comparison.outputs import write_outputs
from sceneshift.comparison.score_grid import make_grids
from sceneshift.comparison.verdict import verdict_sentence
from sceneshift.errors import StorageError, StudyError

ACCURACIES = {"svm": 0.5, "cross_entropy": 0.6, "a & b_c, 100 % <d>": 0.61, "far": 0.9}
FAILED = [("far", "sw-se", 2)]
SETTINGS = [
    ("tune-once", "40 epochs", "source-blocks"),
    ("tune-once", "40 epochs", "oracle"),
    ("tune-anew", "40 epochs", "source-blocks"),
]


@pytest.fixture(scope="module")
def results(simulated):
    return simulated(ACCURACIES, floors=("svm",), failed=FAILED, settings=SETTINGS)


@pytest.fixture(scope="module")
def maps():
    truth = np.tile(np.array([[1, 2], [3, 0]]), (4, 4))
    return [PairMaps(pair="sw-se", note="seed 0", truth=truth, predicted={"far": truth}, class_names=("a", "b", "c"))]


@pytest.fixture(scope="module")
def written(results, maps, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    return folder, write_outputs(results, folder, maps=maps)


def test_the_files_are_listed_and_the_page_comes_last(written):
    folder, paths = written
    assert paths[-1] == folder / "index.html"
    assert len(set(paths)) == len(paths)
    assert {path for path in folder.rglob("*") if path.is_file()} == set(paths)
    names = {path.relative_to(folder).as_posix() for path in paths}
    slug = "tune-once-40-epochs-source-blocks"
    assert {
        "comparison.md",
        "tables/scores.csv",
        "tables/differences.csv",
        "tables/failed.tex",
        f"tables/accuracy_aa_{slug}.tex",
        f"tables/per_class_sw-se_{slug}.csv",
        "tables/accuracy_aa_tune-once-40-epochs-oracle.md",
        "tables/against_erm_tune-anew-40-epochs-source-blocks.csv",
        f"pictures/against_floor_{slug}.png",
        f"pictures/seconds_{slug}.png",
        "pictures/maps_sw-se.png",
    } <= names
    # Pictures of the first strategy alone.
    assert not any("oracle" in name for name in names if name.startswith("pictures/"))


def test_the_same_results_give_the_same_bytes(simulated, maps, tmp_path):
    results = simulated({"svm": 0.5, "cross_entropy": 0.6}, floors=("svm",), failed=[("cross_entropy", "sw-se", 0)])
    paths, again = (write_outputs(results, tmp_path / name, maps=maps) for name in ("one", "other"))
    assert [path.relative_to(tmp_path / "other") for path in again] == [
        path.relative_to(tmp_path / "one") for path in paths
    ]
    for one, other in zip(paths, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one


def test_the_page_begins_with_the_verdict_and_asks_for_nothing_from_outside(written, results):
    text = (written[0] / "index.html").read_text(encoding="utf-8")
    bare = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert "http" not in bare
    assert "<script" not in bare
    (lead,) = re.findall(r'<p class="lead">(.*?)</p>', bare)
    assert html.unescape(lead).startswith(verdict_sentence(make_grids(results)[0]))
    assert bare.count("<details>") > 5
    assert "a &amp; b_c, 100 % &lt;d&gt;" in bare
    assert bare.count('prefers-color-scheme: dark)" srcset') >= 5


def test_captions_say_how_figures_came_to_be(written):
    text = (written[0] / "tables" / "accuracy_aa_tune-once-40-epochs-source-blocks.md").read_text(encoding="utf-8")
    caption = text.splitlines()[-1]
    for part in (
        "pairs: west-east, sw-se, samson-jasper_ridge",
        "split: blocks",
        "strategy: source-blocks",
        "budget: 40 epochs",
        "protocol: tune-once",
        "profile: laptop",
        "commit: c0ffee",
        "source-blocks 1",
        "far on sw-se, seed 2",
        "5 seeds",
        "No p-value over pairs: 2 groups",
    ):
        assert part in caption, part


def test_latex_can_be_compiled(written, tmp_path):
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("needs pdflatex")
    if subprocess.run(["kpsewhich", "booktabs.sty", "graphicx.sty"], capture_output=True).stdout.count(b"\n") < 2:
        pytest.skip("needs the LaTeX packages booktabs and graphicx")
    tables = sorted((written[0] / "tables").glob("*.tex"))
    inputs = "\n".join(f"\\input{{{path.as_posix()}}}\\clearpage" for path in tables)
    document = (
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\n" + inputs + "\n\\end{document}\n"
    )
    (tmp_path / "all.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        [compiler, "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
    assert len(tables) > 10


def test_what_can_t_be_compared_or_written_is_an_error(results, simulated, tmp_path):
    with pytest.raises(StudyError):
        write_outputs(results, tmp_path / "a", erm="nobody")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_outputs(simulated({"a": 0.5}, seeds=(0,)), tmp_path / "file")


@pytest.mark.parametrize("changes", [{"seeds": (0,)}, {"failed": [("a", "west-east", s) for s in range(5)]}])
def test_the_least_that_can_be_shown_is_shown(simulated, tmp_path, changes):
    results = simulated({"a": 0.5}, pairs={"west-east": "indian_pines"}, **changes)
    assert write_outputs(results, tmp_path)[-1].exists()
