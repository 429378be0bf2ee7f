import numpy as np
import pytest
from matplotlib import image
from matplotlib.axes import Axes

from sceneshift.report.subpixel import draw_abundances, draw_endmembers, draw_reconstruction_error

NAMES = ["soil", "tree", "water"]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pixels_of(path):
    assert path.read_bytes()[:8] == PNG
    return image.imread(path)[..., :3]


def share_that_differs(one, other):
    first, second = pixels_of(one), pixels_of(other)
    assert first.shape == second.shape
    return float((first != second).any(-1).mean())


def abundances(rng, height=12, width=9, num=3):
    shares = rng.random((height, width, num))
    return shares / shares.sum(axis=2, keepdims=True)


def test_abundance_maps_show_the_abundances(tmp_path, rng):
    shares = abundances(rng)
    for name, maps in (("a", shares), ("again", shares), ("b", shares[..., ::-1])):
        draw_abundances(tmp_path / f"{name}.png", maps, names=NAMES, title="t")
    assert share_that_differs(tmp_path / "a.png", tmp_path / "again.png") == 0
    assert share_that_differs(tmp_path / "a.png", tmp_path / "b.png") > 0.05


def test_all_maps_are_on_one_scale_from_0_to_1_next_to_a_reference(tmp_path, monkeypatch):
    scales = []
    real = Axes.imshow

    def remember(self, *args, **kwargs):
        scales.append((kwargs["vmin"], kwargs["vmax"]))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Axes, "imshow", remember)
    maps = np.stack([np.full((4, 5), share) for share in (0.1, 0.2, 0.4)], axis=2)
    draw_abundances(tmp_path / "a.png", maps, names=NAMES, title="t")
    assert scales == [(0, 0.4)] * 3
    scales.clear()
    draw_abundances(tmp_path / "a.png", maps, names=NAMES, title="t", reference=maps)
    assert scales == [(0, 1)] * 6


def test_a_reference_is_below_its_map(tmp_path, rng, monkeypatch):
    drawn = []
    real = Axes.imshow

    def remember(self, values, **kwargs):
        drawn.append((self.get_subplotspec().rowspan.start, self.get_subplotspec().colspan.start, values))
        return real(self, values, **kwargs)

    shares, reference = abundances(rng, num=7), abundances(rng, num=7)
    draw_abundances(tmp_path / "alone.png", shares, names=list("abcdefg"), title="t")
    monkeypatch.setattr(Axes, "imshow", remember)
    draw_abundances(tmp_path / "both.png", shares, names=list("abcdefg"), title="t", reference=reference)
    assert pixels_of(tmp_path / "both.png").shape[0] > 1.5 * pixels_of(tmp_path / "alone.png").shape[0]
    # Seven endmembers go beyond six columns: the last one starts a second row of maps.
    places = {(row, column): values for row, column, values in drawn}
    assert len(places) == len(drawn) == 14
    for index in range(7):
        row, column = divmod(index, 6)
        np.testing.assert_array_equal(places[2 * row, column], shares[..., index])
        np.testing.assert_array_equal(places[2 * row + 1, column], reference[..., index])


def draw(path, endmembers, spread=None, wavelengths=None):
    spread = np.zeros_like(endmembers) if spread is None else spread
    draw_endmembers(path, endmembers, spread, names=NAMES, title="t", unit="u", wavelengths_nm=wavelengths)


def test_endmembers_and_their_spread_are_seen(tmp_path, rng):
    endmembers = rng.random((20, 3))
    draw(tmp_path / "a.png", endmembers)
    draw(tmp_path / "again.png", endmembers)
    draw(tmp_path / "other.png", endmembers[::-1])
    draw(tmp_path / "wide.png", endmembers, np.full((20, 3), 0.3))
    assert share_that_differs(tmp_path / "a.png", tmp_path / "again.png") == 0
    assert share_that_differs(tmp_path / "a.png", tmp_path / "other.png") > 0.005
    assert share_that_differs(tmp_path / "a.png", tmp_path / "wide.png") > 0.05


@pytest.fixture
def lines(monkeypatch):
    """What is plotted: (x, y) of every line."""
    drawn = []
    real = Axes.plot

    def remember(self, x, y, **kwargs):
        drawn.append((np.array(x), np.array(y)))
        return real(self, x, y, **kwargs)

    monkeypatch.setattr(Axes, "plot", remember)
    return drawn


@pytest.mark.parametrize("turned", [False, True])
def test_gaps_between_wavelengths_are_left_open(tmp_path, rng, lines, turned):
    wavelengths = np.r_[400:900:10, 1000:1200:10, 1800:1900:10].astype(float)
    if turned:
        wavelengths = wavelengths[::-1]
    endmembers = rng.random((len(wavelengths), 3))
    draw(tmp_path / "a.png", endmembers, wavelengths=wavelengths)
    pieces = [(x.min(), x.max()) for x, _ in lines]
    runs = [(400, 890), (1000, 1190), (1800, 1890)]
    assert pieces == 3 * (runs[::-1] if turned else runs)
    # Together every band of every endmember, once.
    np.testing.assert_array_equal(np.concatenate([y for _, y in lines]), endmembers.T.ravel())


def test_without_wavelengths_bands_are_counted_in_one_line(tmp_path, rng, lines):
    draw(tmp_path / "a.png", rng.random((20, 3)))
    assert [(x[0], x[-1], len(x)) for x, _ in lines] == [(0, 19, 20)] * 3


def test_evenly_spaced_and_single_bands_have_no_gap(tmp_path, rng, lines):
    draw(tmp_path / "a.png", rng.random((5, 3)), wavelengths=np.linspace(400, 900, 5))
    draw(tmp_path / "b.png", rng.random((1, 3)), wavelengths=np.array([550.0]))
    assert [len(x) for x, _ in lines] == [5, 5, 5, 1, 1, 1]


def test_the_reconstruction_error_is_reported_in_degrees(tmp_path, rng, monkeypatch):
    seen = []
    real = Axes.imshow

    def remember(self, values, **kwargs):
        seen.append((values, kwargs["vmax"]))
        return real(self, values, **kwargs)

    monkeypatch.setattr(Axes, "imshow", remember)
    error = rng.uniform(0, 0.1, (30, 40))
    error[0, 0] = 3.0  # one pixel does not take the whole scale
    draw_reconstruction_error(tmp_path / "a.png", error, title="t")
    draw_reconstruction_error(tmp_path / "b.png", error[::-1], title="t")
    ((degrees, most), _) = seen
    np.testing.assert_allclose(degrees, error * 180 / np.pi)
    assert 0.09 * 180 / np.pi < most < 0.1 * 180 / np.pi
    assert share_that_differs(tmp_path / "a.png", tmp_path / "b.png") > 0.05


def test_a_scene_rebuilt_without_error_can_be_drawn(tmp_path):
    draw_reconstruction_error(tmp_path / "a.png", np.zeros((5, 6)), title="t")
    assert pixels_of(tmp_path / "a.png").std() > 0
