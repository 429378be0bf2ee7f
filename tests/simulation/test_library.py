"""Endmember libraries: from labelled scenes, from files, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.simulation.library import EndmemberLibrary

CSV = "wavelength_nm,soil,leaf\n450,0.1,0.05\n550,0.2,0.1\n\n650,0.3,0.04\n"


def test_a_scene_gives_its_classes_means_and_covariances(tiny_scene) -> None:
    library = EndmemberLibrary.from_scene(tiny_scene, num_variations=8)
    assert library.names == ("soil", "tree", "water")
    for place in range(3):
        pixels = tiny_scene.cube[tiny_scene.labels == place + 1]
        np.testing.assert_allclose(library.spectra[place], pixels.mean(axis=0), rtol=1e-5)
        factor = library.variations[place]
        np.testing.assert_allclose(factor.T @ factor, np.cov(pixels.T), atol=1e-7)
    assert (
        np.linalg.norm(library.variations, axis=2)[:, :-1] >= np.linalg.norm(library.variations, axis=2)[:, 1:]
    ).all()
    assert library.wavelengths_nm is None


def test_classes_wavelengths_and_white_can_be_given(tiny_scene) -> None:
    library = EndmemberLibrary.from_scene(
        tiny_scene, class_names=("water", "soil"), wavelengths_nm=range(400, 1200, 100), white=5.0, num_variations=0
    )
    assert (library.names, library.white, library.variations) == (("water", "soil"), 5.0, None)
    assert library.wavelengths_nm.tolist() == list(range(400, 1200, 100))


def test_classes_without_pixels_are_left_out_or_refused(tiny_scene) -> None:
    scene = replace(tiny_scene, labels=np.where(tiny_scene.labels == 2, 0, tiny_scene.labels))
    assert EndmemberLibrary.from_scene(scene).names == ("soil", "water")
    with pytest.raises(InvalidInputError, match=r"tree .*class_names"):
        EndmemberLibrary.from_scene(scene, class_names=("soil", "tree"))


def test_white_is_one_or_the_largest_mean() -> None:
    spectra = np.array([[0.2, 0.4], [0.1, 0.3]], dtype=np.float32)
    assert EndmemberLibrary(names=("a", "b"), spectra=spectra).white == 1.0
    assert EndmemberLibrary(names=("a", "b"), spectra=spectra * 10_000).white == pytest.approx(4000)


def test_a_csv_file(tmp_path) -> None:
    path = tmp_path / "library.csv"
    path.write_text(CSV)
    library = EndmemberLibrary.from_file(path)
    assert library.names == ("soil", "leaf")
    assert library.wavelengths_nm.tolist() == [450, 550, 650]
    np.testing.assert_array_equal(library.spectra, np.array([[0.1, 0.2, 0.3], [0.05, 0.1, 0.04]], dtype=np.float32))
    path.write_text(CSV.replace("_nm", "_um").replace("450", "0.45").replace("550", "0.55").replace("650", "0.65"))
    np.testing.assert_allclose(EndmemberLibrary.from_file(str(path)).wavelengths_nm, [450, 550, 650])


def test_an_npz_file(tmp_path) -> None:
    path = tmp_path / "library.npz"
    np.savez(path, wavelength_nm=[500, 600, 700], soil=[1.0, 2.0, 3.0], leaf=[3, 2, 1])
    library = EndmemberLibrary.from_file(path, white=10)
    assert (library.names, library.white) == (("soil", "leaf"), 10)
    assert library.spectra.tolist() == [[1, 2, 3], [3, 2, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 lines"),
        (
            CSV.replace("wavelength_nm", "lambda"),
            "wavelength_nm",
        ),
        (CSV.replace("leaf", "wavelength"), r"wavelength_nm.*wavelength_nm"),
        (CSV.replace("leaf", "soil"), "distinct"),
        (CSV.replace("0.04", "x"), r"band 3.*'x'"),
        (CSV.replace(",0.04", ""), "band 3 has 2 values; expected 3"),
        (CSV.replace("0.04", "nan"), r"library.csv.*NaN"),
        (CSV.replace("650", "500"), "3 increasing"),
        (CSV.replace("450", "0.45"), r"0.45.*650 nm.*100.*20000"),
        ("wavelength_nm,soil\n450,0.1\n", r"\('soil',\)"),
        ("wavelength_nm\n450\n", r"got \(\)"),
    ],
)
def test_a_wrong_csv_file_says_what_is_wrong(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "library.csv"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=message) as error:
        EndmemberLibrary.from_file(path)
    assert "library.csv" in str(error.value)


def test_a_wrong_npz_file_says_what_is_wrong(tmp_path) -> None:
    path = tmp_path / "library.npz"
    np.savez(path, wavelength_nm=[500, 600, 700], soil=[1.0, 2.0], leaf=[3, 2, 1])
    with pytest.raises(InvalidInputError, match="3 wavelengths"):
        EndmemberLibrary.from_file(path)
    np.savez(path, wavelength_nm=[500, 600], soil=np.ones((2, 2)))
    with pytest.raises(InvalidInputError, match=r"arrays \{'soil': \(2, 2\)\}; expected \(bands,\) each"):
        EndmemberLibrary.from_file(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InvalidInputError, match=r"library.npz"):
        EndmemberLibrary.from_file(path)


def test_where_no_library_is(tmp_path) -> None:
    with pytest.raises(MissingDataError, match=r"absent.csv"):
        EndmemberLibrary.from_file(tmp_path / "absent.csv")
    with pytest.raises(InvalidInputError, match="folder"):
        EndmemberLibrary.from_file(tmp_path)
    (tmp_path / "library.txt").write_text(CSV)
    with pytest.raises(InvalidInputError, match=r"'.txt'"):
        EndmemberLibrary.from_file(tmp_path / "library.txt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("a", "a")}, r"'a'.*'a'"),
        ({"spectra": np.ones((3, 4))}, r"\(3, 4\).*2 x"),
        ({"spectra": np.eye(2, 4) * [[1], [0]]}, " b is zero"),
        ({"variations": np.ones((2, 1, 3))}, r"\(2, 1, 3\).*2 x.*4"),
        ({"wavelengths_nm": [1, 2, 3]}, r"\(3,\).*4 increasing"),
        ({"white": 0}, r"white = 0.*0"),
    ],
)
def test_a_wrong_library_is_refused(changes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        EndmemberLibrary(**{"names": ("a", "b"), "spectra": np.ones((2, 4))} | changes)


def test_random_walks_have_the_wanted_spread_and_are_smooth(library) -> None:
    walks = library.with_random_walks(relative_std=0.2, num_variations=5)
    relative = walks.variations / walks.spectra[:, None]
    np.testing.assert_allclose((relative**2).sum(axis=1).mean(axis=1), 0.2**2, rtol=1e-5)
    first = np.cos(np.pi * np.linspace(0, 1, 40))
    np.testing.assert_allclose(relative[2, 0] / relative[2, 0, 0], first, atol=1e-5)
    with pytest.raises(InvalidInputError, match=r"relative_std = -1.*0"):
        library.with_random_walks(relative_std=-1)
