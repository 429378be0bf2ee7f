"""The scenes script: what it finds in files, what it refuses, what it writes."""

import hashlib
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sceneshift.catalogue.builtin import SCENES
from sceneshift.commands.scene_arguments import Check, Export, Import, List, Pair, Show
from sceneshift.commands.scene_checks import check_file
from sceneshift.commands.scenes import find_scene, import_scene, list_scenes, run_command
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.files.scenes import export_labels, export_scene
from sceneshift.scenes.scene import Georeference, Scene

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def houston(tmp_path: Path) -> Path:
    labels = np.zeros((20, 30), dtype=np.uint8)
    labels[:7, 0] = np.arange(1, 8)
    cube = np.random.default_rng(0).random((20, 30, 48))
    cube[..., 3] = 0.5
    cube[2, 2, 7] = np.nan
    scipy.io.savemat(tmp_path / "Houston13.mat", {"ori_data": cube})
    scipy.io.savemat(tmp_path / "Houston13_7gt.mat", {"map": labels})
    return tmp_path


def test_the_list_shows_what_is_here_and_what_is_missing(houston: Path) -> None:
    lines = {line.split()[0]: line for line in list_scenes(str(houston)) if line.startswith("  ")}
    assert lines["indian_pines"].endswith("here")
    assert lines["houston13"].endswith("here")
    assert lines["houston18"].endswith("needs Houston18.mat and Houston18_7gt.mat")
    assert lines["houston13-houston18"].endswith("lacks houston18")
    assert lines["west-east"].endswith("embedded")
    assert lines["berlin"].endswith("needs data_HS_LR.mat and TrainImage.mat and TestImage.mat")


def test_a_cube_is_checked_for_nan_and_constant_bands_and_its_published_shape(houston: Path) -> None:
    text = "\n".join(check_file(houston / "Houston13.mat"))
    assert "ori_data: 20 x 30 pixels, 48 bands, float64" in text
    assert "1 band: 7" in text
    assert "constant: 3" in text
    assert "(210, 954, 48)" in text


def test_labels_are_counted_against_the_published(houston: Path) -> None:
    text = "\n".join(check_file(houston / "Houston13_7gt.mat"))
    assert "label map 20 x 30, 7 labelled, 593 unlabelled pixels" in text
    assert "1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1" in text
    assert "houston13: ANOTHER" in text


def test_units_and_hashes_are_listed(tmp_path: Path) -> None:
    lines = list_scenes(str(tmp_path))
    values = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert "reflectance (numbers / 10000)" in values["jasper_ridge"]
    assert "0–1 by its own extremes" in values["samson"]
    assert "210 x 954 x 48, 7 classes  " in values["houston13"]
    for name in ("samson", "jasper_ridge", "muufl"):
        assert any(line.startswith("  https://github.com/") and line.endswith(name) for line in lines)
        for file, digest in SCENES[name].sha256.items():
            assert digest in values[file]


def test_a_file_is_checked_against_the_hash_of_the_one_that_was_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "Samson.mat"
    scipy.io.savemat(path, {"Y": np.random.default_rng(0).random((4, 9))})
    (line,) = (line for line in check_file(path) if "as file of samson" in line)
    assert "ANOTHER release" in line
    assert SCENES["samson"].sha256["Samson.mat"] in line
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(SCENES, "samson", replace(SCENES["samson"], sha256={"Samson.mat": digest}))
    (line,) = (line for line in check_file(path) if "as file of samson" in line)
    assert "ANOTHER release" not in line


@pytest.mark.parametrize("kind", ["npz", "arrow"])
def test_a_unit_that_a_file_states_is_reported(tiny_scene: Scene, tmp_path: Path, kind: str) -> None:
    for unit in (None, "reflectance"):
        path = tmp_path / f"{unit}.{kind}"
        scene = replace(tiny_scene, unit=unit)
        write_scene(scene, path) if kind == "arrow" else export_scene(scene, path, kind)
        assert ("  unit: reflectance" in check_file(path)) == (unit is not None)


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({"one": "counts", "two": "counts"}, "counts"),
        ({}, "l2-per-pixel and l2-then-standardize"),
    ],
)
def test_a_pair_s_units_are_reported(
    unit_catalogue: Callable[..., str], capsys: pytest.CaptureFixture[str], units: dict[str, str], expected: str
) -> None:
    assert run_command(Pair(pair="one-two", catalogue=unit_catalogue(1e4, **units))) == 0
    about, _, _ = capsys.readouterr().out.partition("| class")
    assert expected in about


def test_a_picture_is_of_the_unit(tiny_scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scene(replace(tiny_scene, unit="reflectance"), tmp_path / "tiny.arrow")
    assert run_command(Show(scene=str(tmp_path / "tiny.arrow"), out=str(tmp_path / "tiny.png"))) == 0
    assert "reflectance" in capsys.readouterr().out


def test_transposed_axes_are_pointed_at(tmp_path: Path) -> None:
    np.save(tmp_path / "bands_first.npy", np.random.default_rng(0).random((6, 300, 50)))
    assert any("order" in line for line in check_file(tmp_path / "bands_first.npy"))


def test_one_bad_file_does_not_keep_others_from_being_reported(
    houston: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status = run_command(Check(files=(str(tmp_path / "none.mat"), str(houston / "Houston13_7gt.mat"))))
    out, err = capsys.readouterr()
    assert status == 2
    assert "none.mat" in err
    assert "label map 20 x 30" in out


def test_a_scene_goes_into_the_store_and_is_not_overwritten(tiny_scene: Scene, tmp_path: Path) -> None:
    export_scene(tiny_scene, tmp_path / "tiny.npz", "npz")
    command = Import(file=str(tmp_path / "tiny.npz"), out=str(tmp_path / "tiny.arrow"), name="mine")
    assert "wrote mine" in import_scene(command)
    stored = open_scene(tmp_path / "tiny.arrow", verify=True)
    np.testing.assert_array_equal(stored.cube, tiny_scene.cube)
    np.testing.assert_array_equal(stored.labels, tiny_scene.labels)
    assert (stored.name, stored.class_names) == ("mine", tiny_scene.class_names)
    before = (tmp_path / "tiny.arrow").read_bytes()
    with pytest.raises(InvalidInputError, match=r"tiny\.arrow"):
        import_scene(command)
    assert (tmp_path / "tiny.arrow").read_bytes() == before


def test_a_stored_scene_is_checked_with_its_checksum(tiny_scene: Scene, tmp_path: Path) -> None:
    export_scene(tiny_scene, tmp_path / "tiny.npz", "npz")
    import_scene(Import(file=str(tmp_path / "tiny.npz"), out=str(tmp_path / "tiny.arrow")))
    text = "\n".join(check_file(tmp_path / "tiny.arrow"))
    assert "checksum right" in text
    assert "768 labelled" in text


def test_the_store_s_name_ends_in_arrow(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"\.arrow"):
        import_scene(Import(file="x.npz", out=str(tmp_path / "x.dat")))


def test_neither_a_name_nor_a_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"indian_pine\.npz"):
        find_scene(str(tmp_path / "indian_pine.npz"), None)
    with pytest.raises(MissingDataError, match="houston13"):
        find_scene("houston13", str(tmp_path))


def test_shown_and_exported(tiny_scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_scene(tiny_scene, tmp_path / "tiny.npz", "npz")
    assert run_command(Show(scene=str(tmp_path / "tiny.npz"), out=str(tmp_path / "tiny.png"))) == 0
    assert (tmp_path / "tiny.png").read_bytes().startswith(b"\x89PNG")
    export = Export(scene=str(tmp_path / "tiny.npz"), out=str(tmp_path / "again.mat"), format="mat")
    assert run_command(export) == 0
    np.testing.assert_array_equal(find_scene(str(tmp_path / "again.mat"), None).cube, tiny_scene.cube)
    assert run_command(List()) == 0
    assert "indian_pines" in capsys.readouterr().out


def test_the_script_answers_a_user(houston: Path) -> None:
    script = [sys.executable, str(ROOT / "experiments" / "scenes.py")]
    shown = subprocess.run([*script, "check", str(houston / "Houston13_7gt.mat")], capture_output=True, text=True)
    assert shown.returncode == 0
    assert "label map 20 x 30" in shown.stdout
    wrong = subprocess.run([*script, "show", "indian_pine"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
    assert "'indian_pine'" in wrong.stderr


def test_a_label_map_of_another_place_is_not_imported_but_cut_on_demand(tiny_scene: Scene, tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    places = [Georeference(transform=(30, 0, x, 0, -30, 2000), crs="EPSG:32633") for x in (1000, 1150)]
    export_scene(replace(tiny_scene, georeference=places[0]), tmp_path / "cube.tif", "geotiff")
    export_labels(tiny_scene.labels, tmp_path / "apart.tif", "geotiff", georeference=places[1])
    command = Import(
        file=str(tmp_path / "cube.tif"),
        labels=str(tmp_path / "apart.tif"),
        class_names=tiny_scene.class_names,
        out=str(tmp_path / "s.arrow"),
    )
    with pytest.raises(InvalidInputError, match=r"\(1000, 2000\).*\(1150, 2000\).*--cut-to-overlap"):
        import_scene(command)
    assert not (tmp_path / "s.arrow").exists()
    assert "40 x 25 pixels" in import_scene(replace(command, cut_to_overlap=True))
    stored = open_scene(tmp_path / "s.arrow")
    np.testing.assert_array_equal(stored.cube, tiny_scene.cube[:, 5:])
    np.testing.assert_array_equal(stored.labels, tiny_scene.labels[:, :25])
    assert stored.georeference == places[1]


def test_numbers_are_imported_in_the_unit_that_flags_declare(tiny_scene: Scene, tmp_path: Path) -> None:
    export_scene(tiny_scene, tmp_path / "tiny.npz", "npz")
    file = str(tmp_path / "tiny.npz")
    import_scene(Import(file=file, out=str(tmp_path / "t.arrow"), scale=10, unit="reflectance"))
    stored = open_scene(tmp_path / "t.arrow")
    np.testing.assert_array_equal(stored.cube, tiny_scene.cube / np.float32(10))
    assert stored.unit == "reflectance"
    with pytest.raises(InvalidInputError, match="--scale 10 without --unit"):
        Import(file=file, out="t.arrow", scale=10)
    with pytest.raises(InvalidInputError, match="--scale -1"):
        Import(file=file, out="t.arrow", scale=-1, unit="reflectance")


def test_a_scale_that_a_file_declares_is_reported(tiny_scene: Scene, tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    export_scene(tiny_scene, tmp_path / "tiny.hdr", "envi")
    with (tmp_path / "tiny.hdr").open("a") as header:
        header.write("reflectance scale factor = 100\n")
    lines = check_file(tmp_path / "tiny.hdr")
    assert any(line.endswith("/ 100 = reflectance") for line in lines)


class TestGuesses:
    """What an import says that it guessed, as flags."""

    @pytest.fixture
    def arrays(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {"img": rng.random((20, 22, 8)), "gt": rng.integers(0, 4, (20, 22))}

    def imported(self, folder: Path, arrays: dict[str, np.ndarray], **flags: object) -> list[str]:
        scipy.io.savemat(folder / "own.mat", arrays)
        out = folder / f"own-{len(list(folder.iterdir()))}.arrow"
        return import_scene(Import(file=str(folder / "own.mat"), out=str(out), **flags)).splitlines()

    def test_arrays_and_names_are_said_in_words_that_can_be_given(
        self, arrays: dict[str, np.ndarray], tmp_path: Path
    ) -> None:
        wrote, *lines = self.imported(tmp_path, arrays)
        (guessed,) = [line.partition("guessed: ")[2] for line in lines if "guessed: " in line]
        words = shlex.split(guessed)
        assert words[:4] == ["--cube-variable", "img", "--labels-variable", "gt"]
        assert words[4:] == ["--class-names", "class 1", "class 2", "class 3"]
        given = {"cube_variable": "img", "labels_variable": "gt", "class_names": tuple(words[5:])}
        again = self.imported(tmp_path, arrays, **given)
        assert again[0].partition(":")[2] == wrote.partition(":")[2]
        assert not [line for line in again if "guessed" in line]

    def test_what_stays_unknown_is_named_with_its_flag(self, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
        unknown = [line for line in self.imported(tmp_path, arrays) if "not known" in line]
        assert [flag for line in unknown for flag in ("--wavelengths-nm", "--unit") if flag in line] == [
            "--wavelengths-nm",
            "--unit",
        ]
        everything = self.imported(
            tmp_path,
            arrays,
            cube_variable="img",
            labels_variable="gt",
            class_names=("a", "b", "c"),
            wavelengths_nm=tuple(np.linspace(400, 900, 8).tolist()),
            unit="reflectance",
        )
        assert len(everything) == 1

    def test_a_scene_known_by_name_is_not_guessed(self, tmp_path: Path) -> None:
        out = str(tmp_path / "known.arrow")
        assert len(import_scene(Import(file="indian_pines", out=out)).splitlines()) == 1


def test_a_pair_ends_in_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(Pair(pair="nw-ne")) == 0
    advice = capsys.readouterr().out.partition("What to make of it:\n")[2].splitlines()
    assert [line.partition(":")[0] for line in advice if not line.startswith("- Classes")] == [
        "- Normalization",
        "- To expect",
        "- Next",
    ]
    assert advice[-1].endswith("--pairs nw-ne")


def test_a_pair_that_can_t_be_trained_on_is_compared_and_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    spectra = rng.uniform(0.1, 0.6, (3, 12))
    for name, classes in (("spring", (1, 2)), ("autumn", (1, 2, 3))):  # no roof in spring
        labels = np.kron(np.resize(classes, (6, 6)), np.ones((6, 6), dtype=int))
        cube = spectra[labels - 1] + rng.normal(0, 0.02, (36, 36, 12))
        np.savez(tmp_path / f"{name}.npz", cube=cube, labels=labels, class_names=["meadow", "tree", "roof"])
    (tmp_path / "scenes.toml").write_text(
        '[scenes]\nspring = { cube = "spring.npz", class_names = ["meadow", "tree", "roof"] }\n'
        'autumn = { cube = "autumn.npz", class_names = ["meadow", "tree", "roof"] }\n'
        '[pairs]\nspring-autumn = { source = "spring", target = "autumn" }\n'
    )
    assert run_command(Pair(pair="spring-autumn", catalogue=str(tmp_path / "scenes.toml"))) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert "roof" in last
    assert "--pairs" not in last
