"""The image that belongs to a slide's positions is told from others by Space Ranger's small copy of it."""

import numpy as np
import pytest
from PIL import Image

from stclip.data.raw.image_fit import check_image, small_copy
from stclip.data.raw.slide_image import SlideImage
from stclip.errors import DataError

SCALE = 0.25


def tissue(seed, height=800, width=1200):
    """Smooth structure of several sizes, as tissue has."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for size in (8, 20, 50):
        small = rng.normal(0, 25, (height // size + 2, width // size + 2, 3))
        picture += np.kron(small, np.ones((size, size, 1)))[:height, :width]
    return (150 + picture).clip(0, 255).astype(np.uint8)


def places():
    return (
        np.stack(np.meshgrid(np.arange(100, 1100, 90), np.arange(100, 700, 90)), axis=2)
        .reshape(-1, 2)
        .astype(float)
    )


def check(tmp_path, given, copy_of):
    Image.fromarray(given).save(tmp_path / "slide.png")
    size = (round(copy_of.shape[1] * SCALE), round(copy_of.shape[0] * SCALE))
    Image.fromarray(copy_of).resize(size, Image.Resampling.BICUBIC).save(tmp_path / "tissue_hires_image.png")
    with SlideImage.opened(tmp_path / "slide.png", "S") as image:
        check_image(image, tmp_path / "tissue_hires_image.png", SCALE, places(), "S")


RIGHT = {
    "itself": lambda whole: whole,
    "compressed anew": lambda whole: (whole.astype(int) // 8 * 8).astype(np.uint8),
    "other colours": lambda whole: (whole * [0.8, 0.9, 1.0] + 10).clip(0, 255).astype(np.uint8),
    "cut where no spot is": lambda whole: whole[:750, :1150],
}
WRONG = {
    "another crop": lambda whole: np.ascontiguousarray(whole[40:, 60:]),
    "a larger scale": lambda whole: np.kron(whole, np.ones((2, 2, 1), np.uint8)),
    "a smaller scale": lambda whole: np.pad(
        whole[::2, ::2], ((0, 400), (0, 600), (0, 0)), constant_values=240
    ),
    "turned": lambda whole: np.ascontiguousarray(whole[::-1, ::-1]),
    "mirrored": lambda whole: np.ascontiguousarray(whole[:, ::-1]),
    "another slide": lambda whole: tissue(1),
    "blank": lambda whole: np.full_like(whole, 240),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_the_image_of_the_positions_is_accepted(tmp_path, kind):
    check(tmp_path, RIGHT[kind](tissue(0)), tissue(0))


@pytest.mark.parametrize("kind", WRONG)
def test_another_image_is_refused(tmp_path, kind):
    rule = r"slide 'S': .*slide.png is not the image that the positions belong to: around \d+ spots"
    with pytest.raises(DataError, match=rule):
        check(tmp_path, WRONG[kind](tissue(0)), tissue(0))


def test_a_copy_that_shows_nothing_says_nothing(tmp_path):
    check(tmp_path, tissue(0), np.full((800, 1200, 3), 240, np.uint8))


def test_the_larger_copy_is_taken(tmp_path):
    scales = {"tissue_hires_scalef": 0.5, "tissue_lowres_scalef": 0.1}
    assert small_copy(tmp_path, scales) is None
    (tmp_path / "tissue_lowres_image.png").touch()
    assert small_copy(tmp_path, scales) == (tmp_path / "tissue_lowres_image.png", 0.1)
    (tmp_path / "tissue_hires_image.png").touch()
    assert small_copy(tmp_path, scales) == (tmp_path / "tissue_hires_image.png", 0.5)
    assert small_copy(tmp_path, {"tissue_hires_scalef": float("nan")}) is None
