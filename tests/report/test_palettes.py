"""PNGs with a palette: drawings keep their colours in fewer bytes, photographs are left alone."""

import io

import numpy as np
import pytest
from PIL import Image

from sceneshift.report.palettes import with_palette


def png_of(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def pixels_of(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_a_drawing_of_few_colours_is_the_same_in_fewer_bytes():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 3))[rng.integers(0, 40, (60, 80))]
    small = with_palette(png_of(pixels))
    assert len(small) < len(png_of(pixels)) / 2
    np.testing.assert_array_equal(pixels_of(small), pixels)


def test_frequent_colours_are_kept_and_rare_ones_take_the_nearest():
    shades = np.arange(300)
    pixels = np.full((100, 100, 3), 255)
    pixels[:50] = (10, 20, 30)
    pixels[50, :, 0] = shades[:100] + 50
    pixels[51, :, 1] = shades[100:200]
    pixels[52, :, 2] = shades[:100] + 100
    found = pixels_of(with_palette(png_of(pixels)))
    np.testing.assert_array_equal(found[:50], pixels[:50])
    np.testing.assert_array_equal(found[53:], pixels[53:])
    assert np.abs(found.astype(int) - pixels).max() <= 60
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 256


def test_a_photograph_is_left_alone():
    png = png_of(np.random.default_rng(0).integers(0, 256, (50, 50, 3)))
    assert with_palette(png) == png


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_both_kinds_of_pngs_are_read(mode):
    file = io.BytesIO()
    Image.new(mode, (4, 3), (1, 2, 3) if mode == "RGB" else (1, 2, 3, 255)).save(file, "PNG")
    assert (pixels_of(with_palette(file.getvalue())) == (1, 2, 3)).all()
