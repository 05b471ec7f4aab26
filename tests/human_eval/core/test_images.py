"""Images as raters get them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scoft_hpc.errors import RatingError
from scoft_hpc.human_eval import images


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(512, 512), (768, 768)], 512),
        ([(1024, 1024), (2048, 1024)], 768),
        ([(300, 200), (512, 512)], 300),
        ([(64, 64), (512, 512)], 256),
        ([(32, 32)], 256),
        ([(100, 60)], 300),
        ([(1, 1)], 256),
    ],
)
def test_all_images_get_the_side_that_each_of_them_reaches(sizes: list[tuple[int, int]], side: int) -> None:
    assert images.common_side(sizes) == side


def test_small_pixels_stay_sharp_and_what_is_not_square_lies_on_grey() -> None:
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8))
    square = np.asarray(images.even(small, 256))
    assert square.shape == (256, 256, 3)
    assert (square[:64] == 127).all()
    assert (square[192:] == 127).all()
    assert (square[64:192].reshape(32, 4, 64, 4, 3) == np.asarray(small)[:, None, :, None]).all()


def test_sizes_that_do_not_fit_are_smoothed_not_torn() -> None:
    ramp = Image.fromarray(np.tile(np.arange(100, dtype=np.uint8) * 2, (100, 1)))
    even = np.asarray(images.even(ramp.convert("RGB"), 256)).astype(int)
    # By nearest pixels every third step would be one of two.
    assert np.abs(np.diff(even[128, :, 0])).max() <= 2


def test_what_is_transparent_lies_on_white_whatever_the_format(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (300, 300), (255, 0, 0, 0))
    plain = Image.new("RGB", (300, 300), (0, 0, 255))
    palette = plain.quantize(4)
    sources = {}
    for name, image, form in (
        ("a", clear, "png"),
        ("b", plain, "jpg"),
        ("c", palette, "png"),
        ("d", plain, "webp"),
    ):
        image.save(tmp_path / f"{name}.{form}")
        sources[f"{name}.png"] = tmp_path / f"{name}.{form}"
    assert images.write_all(tmp_path / "images", sources) == 300
    colours = {}
    for name in sources:
        with Image.open(tmp_path / "images" / name) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (300, 300))
            colours[name] = image.getpixel((150, 150))
    assert colours["a.png"] == (255, 255, 255)
    assert all(np.allclose(colours[name], (0, 0, 255), atol=3) for name in ("b.png", "c.png", "d.png"))


def test_images_of_earlier_pages_are_removed_and_a_lost_sample_is_reported(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "old.png").touch()
    Image.new("RGB", (256, 256)).save(tmp_path / "a.png")
    images.write_all(tmp_path / "images", {"new.png": tmp_path / "a.png"})
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["new.png"]
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    assert images.readable(tmp_path / "a.png")
    assert not images.readable(tmp_path / "b.png")
    with pytest.raises(RatingError, match=r"b\.png cannot be read any more"):
        images.write_all(tmp_path / "images", {"new.png": tmp_path / "b.png"})
