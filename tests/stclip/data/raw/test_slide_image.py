"""Squares of a slide's image, in every form that scanners and viewers write it; and what cannot be read."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from stclip.data.raw import tiff_pixels
from stclip.data.raw.slide_image import SlideImage, find_image, on_white
from stclip.errors import DataError

HEIGHT, WIDTH, SIDE = 200, 300, 64
SMOOTH = np.stack(np.broadcast_arrays(*np.ogrid[:HEIGHT, :WIDTH], 90), axis=2)
SMOOTH = (SMOOTH // 2).astype(np.uint8)
PICTURE = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
CORNERS = np.array([[-30, -10], [5, 7], [100, 90], [260, 170], [400, 20], [-200, 150]])


def squares(path):
    with SlideImage.opened(path, "S") as image:
        assert (image.width, image.height) == (WIDTH, HEIGHT)
        return list(image.squares(CORNERS, SIDE))


def expected(pixels):
    wide = np.pad(pixels, ((300, 300), (300, 300), (0, 0)), constant_values=255)
    return [wide[y + 300 : y + 300 + SIDE, x + 300 : x + 300 + SIDE] for x, y in CORNERS]


def same(path, pixels):
    return all((one == other).all() for one, other in zip(squares(path), expected(pixels), strict=True))


FORMS = {
    "strips": {"photometric": "rgb", "rowsperstrip": 7, "compression": "zlib"},
    "one strip": {"photometric": "rgb"},
    "tiles": {"photometric": "rgb", "tile": (32, 48), "compression": "zlib", "predictor": True},
    "BigTIFF": {"photometric": "rgb", "bigtiff": True, "tile": (64, 64)},
    "lzw": {"photometric": "rgb", "tile": (64, 64), "compression": "lzw"},
    "zstd": {"photometric": "rgb", "tile": (64, 64), "compression": "zstd"},
    "webp": {"photometric": "rgb", "tile": (64, 64), "compression": "webp"},
    "jpeg 2000": {"photometric": "rgb", "tile": (64, 64), "compression": "jpeg2000"},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_tiff(tmp_path, form):
    tifffile.imwrite(tmp_path / "slide.tif", PICTURE, **FORMS[form])
    assert same(tmp_path / "slide.tif", PICTURE)


@pytest.mark.parametrize("name", ["slide.tif", "slide.ome.tif"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_planes_that_lie_apart(tmp_path, name, tile):
    planes = PICTURE.transpose(2, 0, 1).copy()
    given = {"metadata": {"axes": "CYX"}} if "ome" in name else {}
    tifffile.imwrite(tmp_path / name, planes, photometric="rgb", planarconfig="separate", tile=tile, **given)
    assert same(tmp_path / name, PICTURE)


@pytest.mark.parametrize("suffix", ["tif", "svs", "qptiff"])
def test_jpeg_in_tiff_as_scanners_write_it(tmp_path, suffix):
    path = tmp_path / f"slide.{suffix}"
    tifffile.imwrite(path, SMOOTH, photometric="rgb", tile=(64, 64), compression="jpeg")
    decoded = tifffile.imread(path)
    assert np.abs(decoded.astype(int) - SMOOTH).max() < 50
    assert same(find_image([tmp_path], "S"), decoded)


def test_the_largest_of_several_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "slide.tif") as file:
        file.write(PICTURE[::8, ::8].copy(), photometric="rgb")  # a thumbnail
        file.write(PICTURE, photometric="rgb", subifds=1, tile=(64, 64))
        file.write(PICTURE[::2, ::2].copy(), photometric="rgb", subfiletype=1, tile=(64, 64))
        file.write(PICTURE[:, :, 0], photometric="minisblack")  # a label
    assert same(tmp_path / "slide.tif", PICTURE)


def clear(pixels):
    """Half transparent: its left part not there at all, and black, as programs leave it; then at a half."""
    share = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    share[:, :100], share[:, 100:200] = 0, 128
    colours = pixels.copy()
    colours[:, :100] = 0
    return np.concatenate([colours, share], axis=2)


@pytest.mark.parametrize("kind", ["unassalpha", "png", "assocalpha"])
def test_what_is_transparent_is_white(tmp_path, kind):
    given = clear(PICTURE)
    if kind == "png":
        path = tmp_path / "slide.png"
        Image.fromarray(given).save(path)
    else:
        path = tmp_path / "slide.tif"
        stored = given.copy()
        if kind == "assocalpha":
            stored[..., :3] = (given[..., :3].astype(int) * given[..., 3:] + 127) // 255
        tifffile.imwrite(path, stored, photometric="rgb", extrasamples=[kind], tile=(64, 64))
    laid = np.asarray(
        Image.alpha_composite(Image.new("RGBA", (WIDTH, HEIGHT), "white"), Image.fromarray(given)).convert(
            "RGB"
        )
    )
    for one, other in zip(squares(path), expected(laid), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_a_palette_with_a_transparent_entry(tmp_path):
    image = Image.fromarray(PICTURE).quantize(16)
    image.save(tmp_path / "slide.png", transparency=3)
    inside = np.asarray(Image.open(tmp_path / "slide.png").convert("RGBA"))
    assert same(tmp_path / "slide.png", on_white(inside, 2))


def test_a_fourth_sample_that_is_not_said_to_be_transparency_is_left_out(tmp_path):
    four = np.concatenate([PICTURE, np.zeros((HEIGHT, WIDTH, 1), np.uint8)], axis=2)
    tifffile.imwrite(tmp_path / "slide.tif", four, photometric="rgb", extrasamples=["unspecified"])
    assert same(tmp_path / "slide.tif", PICTURE)


def test_a_codec_that_is_not_there_is_named_with_what_brings_it(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "slide.tif", PICTURE, photometric="rgb")

    class NoCodecs(dict):
        def __missing__(self, kind):
            raise KeyError(f"{kind!r} requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", NoCodecs(), raising=False)
    rule = r"slide 'S': .*: is compressed by NONE, which needs the package imagecodecs; run: pip install 'stclip\[visium\]'"
    with pytest.raises(DataError, match=rule), SlideImage.opened(tmp_path / "slide.tif", "S"):
        pass


def test_a_codec_that_turns_out_to_be_missing_is_no_damage(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "slide.tif", PICTURE, photometric="rgb", tile=(64, 64), compression="zlib")

    def missing(page, *given, **more):
        raise ModuleNotFoundError("No module named 'compression'")

    monkeypatch.setattr(tifffile.TiffPage, "decode", missing)
    with pytest.raises(
        DataError, match=r"needs the package imagecodecs; run: pip install 'stclip\[visium\]'"
    ):
        squares(tmp_path / "slide.tif")


OTHERS = {
    "uint16": (PICTURE.astype(np.uint16), {"photometric": "rgb"}, r"got uint16 \[200, 300, 3\]"),
    "grey": (PICTURE[..., 0], {"photometric": "minisblack"}, r"got uint8 \[200, 300\]"),
    "channels": (
        PICTURE.transpose(2, 0, 1).copy(), {"photometric": "minisblack", "metadata": {"axes": "CYX"}, "ome": True},
        r"got 3 channels of grey, uint8 \[3, 200, 300\]",
    ),
    "cmyk": (
        np.dstack([PICTURE, PICTURE[..., 0]]), {"photometric": "separated"},
        r"got the colours SEPARATED, uint8 \[200, 300, 4\]",
    ),
    "lab": (PICTURE, {"photometric": "cielab"}, r"got the colours CIELAB, uint8 \[200, 300, 3\]"),
    "depth": (np.stack([PICTURE, PICTURE]), {"photometric": "rgb"}, r"got uint8 \[2, 200, 300, 3\]"),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_of_images_are_named(tmp_path, kind):
    values, how, rule = OTHERS[kind]
    tifffile.imwrite(tmp_path / "slide.tif", values, **how)
    with pytest.raises(DataError, match=f"must be an RGB image of 8 bits, {rule}; export it as such"):
        squares(tmp_path / "slide.tif")


@pytest.mark.parametrize("damage", ["zeros", "cut"])
def test_damaged_tiles_are_one_line(tmp_path, damage):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, PICTURE, photometric="rgb", tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0].dataoffsets[0], file.pages[0].dataoffsets[-1]
    data = bytearray(path.read_bytes())
    if damage == "zeros":
        data[first : first + 40] = bytes(40)
    path.write_bytes(data if damage == "zeros" else data[: last + 10])
    with pytest.raises(
        DataError, match=r"slide 'S': .*slide.tif: cannot be read as an image \(.+\); copy or export it again"
    ):
        squares(path)


def test_a_damaged_tag_is_an_error_and_no_remark_of_tifffile(tmp_path, caplog):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, PICTURE, photometric="rgb", tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].tags["TileOffsets"].offset
    data = bytearray(path.read_bytes())
    data[at + 2 : at + 4] = b"\xff\xff"  # its type
    path.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read as an image"):
        squares(path)
    assert not caplog.records


def test_what_macos_writes_beside_a_file_is_no_image(tmp_path):
    tifffile.imwrite(tmp_path / "slide.tif", PICTURE, photometric="rgb")
    (tmp_path / "._slide.tif").write_bytes(b"\0\5\x16\7")
    assert find_image([tmp_path], "S").name == "slide.tif"


def test_an_image_of_a_scanner_s_own_form_is_named(tmp_path):
    (tmp_path / "slide.ndpi").touch()
    with pytest.raises(
        DataError, match=r"slide 'S': .*slide.ndpi: images of this form are not read; export it as TIFF"
    ):
        find_image([tmp_path], "S")


def test_only_the_chunks_that_a_band_touches_are_read(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "slide.tif", PICTURE, photometric="rgb", tile=(64, 64), compression="zlib")
    pasted = []
    monkeypatch.setattr(tiff_pixels, "_paste", lambda out, chunk, y, x: pasted.append((y, x)))
    with SlideImage.opened(tmp_path / "slide.tif", "S") as image:
        image.band(70, 120, 10, 70)
    assert pasted == [(-6, -10), (-6, 54)]
