"""A culture's folder: everything that can be wrong with it is told, all at once, before anything trains."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scoft_hpc.config.schema import Data, Negatives, NegativeSource, RunConfig, Variant
from scoft_hpc.errors import DataError
from scoft_hpc.inputs import dataset, image_check

Row = dict[str, Any]


def picture(size: tuple[int, int] = (40, 40), kind: str = "PNG", colour: int = 90) -> bytes:
    file = io.BytesIO()
    noise = Image.effect_noise(size, 60).convert("RGB")
    Image.blend(noise, Image.new("RGB", size, (colour, 20, 30)), 0.5).save(file, format=kind)
    return file.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A few bytes that say that they are a PNG of that size, and are all zeros where they are anything."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(min(height, 200))) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class Culture:
    """`<root>/korea` with `count` sound pairs."""

    def __init__(self, root: Path, count: int = 3) -> None:
        self.root, self.folder = root, root / "korea"
        self.train = self.folder / "train"
        (self.train / "images").mkdir(parents=True)
        for i in range(count):
            (self.train / "images" / f"{i}.png").write_bytes(picture(colour=i))
        self.rows: list[Row] = [
            {
                "file_name": f"images/{i}.png",
                "text": f"a house {i}",
                "blip_text": "a house",
                "negative_imgpath": [],
            }
            for i in range(count)
        ]

    def write(self, *lines: Row | str | bytes, split: str = "train") -> None:
        texts = [line if isinstance(line, str | bytes) else json.dumps(line) for line in lines]
        raw = b"\n".join(text if isinstance(text, bytes) else text.encode() for text in texts)
        (self.folder / split).mkdir(exist_ok=True)
        (self.folder / split / "metadata.jsonl").write_bytes(raw + b"\n")

    def read(self, pairs: int | None = None) -> dataset.Manifest:
        return dataset.read(self.root, "korea", pairs)

    def faults(self) -> list[str]:
        with pytest.raises(DataError) as caught:
            self.read()
        return [line.removeprefix("- ") for line in str(caught.value).splitlines()]


@pytest.fixture
def culture(tmp_path: Path) -> Culture:
    folder = Culture(tmp_path / "data")
    folder.write(*folder.rows)
    return folder


def test_sound_culture(culture: Culture) -> None:
    manifest = culture.read()
    assert (manifest.culture, manifest.folder, len(manifest.pairs), manifest.held_out) == (
        "korea",
        culture.folder,
        3,
        (),
    )
    assert manifest.pairs[1] == dataset.Pair(culture.train / "images" / "1.png", "a house 1", "a house", ())


def test_forms_that_are_taken(culture: Culture) -> None:
    """A list of automatic captions, unknown keys, no negatives, blank lines, a byte order mark, Windows line ends."""
    (culture.folder / "drawn.jpg").write_bytes(picture(kind="JPEG"))
    (culture.train / "images" / "2.webp").write_bytes(picture(kind="WEBP"))
    first = {**culture.rows[0], "blip_text": ["one", "two"], "category": 3, "negative_imgpath": ["drawn.jpg"]}
    second = {**culture.rows[1], "text": "  a house \r\n"}
    del second["negative_imgpath"]
    third = {**culture.rows[2], "file_name": "images/2.webp", "negative_imgpath": None, "text": "집 한 채"}
    culture.write(b"\xef\xbb\xbf" + json.dumps(first).encode() + b"\r", "", second, "  ", third)
    pairs = culture.read().pairs
    assert [pair.blip_text for pair in pairs] == ["one", "a house", "a house"]
    assert [pair.text for pair in pairs] == ["a house 0", "a house", "집 한 채"]
    assert pairs[0].negatives == (culture.folder / "drawn.jpg",)
    assert pairs[1].negatives == pairs[2].negatives == ()


def test_held_out_pairs(culture: Culture) -> None:
    (culture.folder / "test").mkdir()
    (culture.folder / "test" / "a.png").write_bytes(picture(colour=200))
    culture.write({"file_name": "a.png", "text": "x", "blip_text": "y"}, split="test")
    manifest = culture.read()
    assert [pair.image.name for pair in manifest.held_out] == ["a.png"]
    assert len(manifest.pairs) == 3


def test_fewer_pairs(culture: Culture) -> None:
    culture.write(*culture.rows[:2], {**culture.rows[2], "text": ""})
    assert len(culture.read(2).pairs) == 2, "rows that are not used are not judged"
    with pytest.raises(DataError, match=r"data\.pairs=4, but korea has 3 pairs"):
        culture.read(4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'file_name': 'a'}", "not JSON"),
        ('{"file_name": "images/1.png", ', "not JSON"),
        (b'{"text": "\xff\xfe"}', "not JSON in UTF-8"),
        ("[" * 100_000, "not JSON"),
        ('{"n": ' + "1" * 5000 + "}", "not JSON"),
        ("[1, 2]", "[1, 2] is not a JSON object"),
        ('"text"', "'text' is not a JSON object"),
        ("null", "None is not a JSON object"),
    ],
)
def test_line_that_is_no_row(culture: Culture, line: str | bytes, message: str) -> None:
    culture.write(culture.rows[0], line, culture.rows[2])
    (fault,) = culture.faults()
    assert fault.startswith(f"{culture.train / 'metadata.jsonl'}, row 2: ")
    assert message in fault
    assert len(fault) < 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ""}, "`text` is empty; expected a caption that is not empty."),
        ({"text": " \n\t"}, "`text` is empty"),
        ({"text": None}, "`text` is missing"),
        ({"text": 3}, "`text` is 3"),
        ({"text": "half \ud83d"}, "`text` contains a lone surrogate"),
        ({"blip_text": []}, "`blip_text` is empty"),
        ({"blip_text": [""]}, "`blip_text` is empty"),
        ({"blip_text": None}, "`blip_text` is missing"),
        ({"blip_text": {"a": 1}}, "`blip_text` is {'a': 1}"),
        ({"file_name": ""}, "`file_name` is empty; expected the image's path."),
        ({"file_name": None}, "`file_name` is missing"),
        ({"file_name": ["a"]}, "`file_name` is ['a']"),
        (
            {"negative_imgpath": "a.png"},
            "`negative_imgpath` is 'a.png'; expected a list of paths relative to",
        ),
        ({"negative_imgpath": [1]}, "`negative_imgpath` is [1]"),
        ({"negative_imgpath": ["nothing.png"]}, "`negative_imgpath` 'nothing.png' does not exist"),
        ({"file_name": "images/none.png"}, "'images/none.png' does not exist; add "),
        ({"file_name": "images"}, "'images' is not a file"),
        ({"file_name": "a" * 300}, "cannot be used: File name too long"),
    ],
)
def test_value_that_cannot_be_used(culture: Culture, change: Row, message: str) -> None:
    culture.write(culture.rows[0], {**culture.rows[1], **change})
    (fault,) = culture.faults()
    assert fault.startswith(f"{culture.train / 'metadata.jsonl'}, row 2: ")
    assert message in fault


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../../secret.png", "leads out of the culture's folder"),
        ("../../china/train/x.png", "leads out of the culture's folder"),
        ("images/../../../secret.png", "leads out"),
        ("/etc/passwd", "is the absolute path"),
        ("{root}/korea/train/images/1.png", "is the absolute path"),
        ("images/link.png", "leads out"),
        ("linked/secret.png", "leads out"),
        ("images/ring.png", "cannot be used"),
        ("images/\0.png", "holds no zero byte"),
        ("images/pipe.png", "is not a file"),
    ],
)
@pytest.mark.parametrize("key", ["file_name", "negative_imgpath"])
def test_path_that_leaves_its_folder(culture: Culture, name: str, message: str, key: str) -> None:
    outside = culture.root.parent
    (outside / "secret.png").write_bytes(picture())
    for start in (culture.train, culture.folder):  # where file_name, and where negative_imgpath starts from
        (start / "images").mkdir(exist_ok=True)
        (start / "images" / "link.png").symlink_to(outside / "secret.png")
        (start / "linked").symlink_to(outside)
        (start / "images" / "ring.png").symlink_to("ring.png")
        os.mkfifo(start / "images" / "pipe.png")
    name = name.format(root=culture.root)
    culture.write(culture.rows[0], {**culture.rows[1], key: name if key == "file_name" else [name]})
    (fault,) = culture.faults()
    assert f"row 2: `{key}` " in fault
    assert message in fault


def test_links_within_the_culture_are_fine(culture: Culture, tmp_path: Path) -> None:
    (culture.train / "images" / "link.png").symlink_to("1.png")
    culture.write(culture.rows[0], {**culture.rows[1], "file_name": "images/link.png"})
    assert len(culture.read().pairs) == 2
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "korea").symlink_to(culture.folder)
    assert len(dataset.read(tmp_path / "elsewhere", "korea").pairs) == 2


def test_metadata_that_leads_out(culture: Culture, tmp_path: Path) -> None:
    shutil.move(culture.train / "metadata.jsonl", tmp_path / "metadata.jsonl")
    (culture.train / "metadata.jsonl").symlink_to(tmp_path / "metadata.jsonl")
    with pytest.raises(DataError, match="leads out of"):
        culture.read()


def test_same_image_twice(culture: Culture) -> None:
    culture.write(*culture.rows, {**culture.rows[0], "file_name": "images/./0.png"})
    (fault,) = culture.faults()
    assert "row 4: `file_name` 'images/./0.png' is that of " in fault
    assert fault.endswith("row 1; remove one of the two.")


def test_image_that_is_trained_on_cannot_be_held_out(culture: Culture) -> None:
    culture.write({**culture.rows[0], "file_name": "../train/images/0.png"}, split="test")
    (fault,) = culture.faults()
    assert f"{culture.folder}/test/metadata.jsonl, row 1" in fault
    assert "row 1; remove one of the two." in fault


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a whole image"),
        (b"<html>404</html>", "is not a whole image (cannot identify image file"),
        (picture()[:400], "is not a whole image"),
        (picture((200, 200), "JPEG")[:2000], "is not a whole image"),
        (picture((200, 200), "WEBP")[:2000], "is not a whole image"),
        (picture((200, 200))[:-3000] + bytes(2000), "is not a whole image"),
        (picture(kind="GIF"), "is not a whole image"),
        (picture(kind="BMP"), "is not a whole image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "is not a whole image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is not a whole image"),
        (picture((31, 400)), "is 31 x 400; expected 32 pixels a side or more"),
        (png_of(8001, 8001), "is 8001 x 8001; expected at most 64 megapixels"),
        (png_of(12000, 9000), "is 12000 x 9000; expected at most 64 megapixels"),
        (png_of(60000, 60000), "is far too large; expected at most 64 megapixels"),
    ],
)
def test_image_that_cannot_be_used(culture: Culture, content: bytes, message: str) -> None:
    assert len(content) < 200_000, "small on disk, whatever it unpacks to"
    (culture.train / "images" / "1.png").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (fault,) = culture.faults()
    assert fault.startswith(
        f"{culture.train / 'metadata.jsonl'}, row 2: {culture.train / 'images' / '1.png'} "
    )
    assert message in fault


def test_bomb_is_refused_before_it_is_unpacked(culture: Culture) -> None:
    import tracemalloc

    (culture.train / "images" / "1.png").write_bytes(png_of(60000, 60000))
    tracemalloc.start()
    culture.faults()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 2**20
    assert Image.MAX_IMAGE_PIXELS is not None


def test_file_that_is_too_large(culture: Culture) -> None:
    with (culture.train / "images" / "1.png").open("ab") as file:
        file.truncate(image_check.MAX_BYTES + 1)
    (fault,) = culture.faults()
    assert "has 64 MiB; expected at most 64" in fault


def test_largest_and_smallest(culture: Culture) -> None:
    (culture.train / "images" / "1.png").write_bytes(picture((32, 32)))
    (culture.train / "images" / "2.png").write_bytes(
        picture((33, 3000), "JPEG")
    )  # the suffix is not what counts
    assert len(culture.read().pairs) == 3


def test_broken_negative_is_told_once(culture: Culture) -> None:
    (culture.folder / "drawn.png").write_bytes(b"no picture")
    rows = [{**row, "negative_imgpath": ["drawn.png"]} for row in culture.rows]
    culture.write(*rows)
    (fault,) = culture.faults()
    assert "row 1: " in fault
    assert f"{culture.folder / 'drawn.png'} is not a whole image" in fault


def test_all_at_once(culture: Culture) -> None:
    (culture.train / "images" / "2.png").write_bytes(b"")
    bad = {**culture.rows[1], "text": "", "blip_text": [], "file_name": 3}
    culture.write("{", bad, culture.rows[2], {**culture.rows[0], "file_name": "../../x"})
    faults = culture.faults()
    assert [fault.split(", row ")[1][0] for fault in faults] == ["1", "2", "2", "2", "4", "3"]


def test_many_faults_are_counted(culture: Culture) -> None:
    culture.write(*["{"] * 50)
    faults = culture.faults()
    assert len(faults) == 21
    assert faults[-1] == "… and 30 more."


def test_no_rows(culture: Culture) -> None:
    culture.write("")
    with pytest.raises(DataError, match=r"metadata.jsonl has no rows; expected one JSON object a line"):
        culture.read()


@pytest.mark.parametrize("name", ["corea", "Korea", "../korea", "korea/train", "", ".", "/etc"])
def test_unknown_culture(culture: Culture, name: str) -> None:
    shutil.copytree(culture.folder, culture.root / "perú")
    (culture.root / "empty").mkdir()
    with pytest.raises(DataError, match=r"There are: korea, perú\.") as caught:
        dataset.read(culture.root, name)
    if name in ("corea", "Korea"):
        assert "did you mean korea?" in str(caught.value)


def test_no_culture_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no culture below .*metadata.jsonl"):
        dataset.read(tmp_path, "korea")


def test_digest(culture: Culture, tmp_path: Path) -> None:
    first = culture.read().digest
    assert len(first) == 16
    shutil.copytree(culture.root, tmp_path / "moved")
    assert dataset.read(tmp_path / "moved", "korea").digest == first
    culture.write(*[{**row, "category": 1} for row in culture.rows], "")
    assert culture.read().digest == first, "what is not read does not count"

    seen = {first}
    culture.write(*reversed(culture.rows))
    seen.add(culture.read().digest)
    culture.write({**culture.rows[0], "text": "A house 0"}, *culture.rows[1:])
    seen.add(culture.read().digest)
    culture.write(*culture.rows)
    seen.add(culture.read(2).digest)
    image = culture.train / "images" / "1.png"
    image.write_bytes(image.read_bytes() + b"\0")
    seen.add(culture.read().digest)
    assert len(seen) == 5


def test_negatives_where_they_are_needed(culture: Culture) -> None:
    given = Data(negatives=Negatives(source=NegativeSource.given))
    config = replace(RunConfig(), data=given, variant=Variant.mpc)
    manifest = culture.read()
    (fault,) = dataset.check_negatives(config, manifest)
    assert "korea: 3 of 3 pairs have no negatives (the first is 0.png)" in fault
    assert "negatives=img2img" in fault
    assert dataset.check_negatives(replace(config, variant=Variant.mp), manifest) == []
    assert dataset.check_negatives(replace(config, data=Data()), manifest) == []
    pairs = tuple(replace(pair, negatives=(pair.image,)) for pair in manifest.pairs)
    assert dataset.check_negatives(config, replace(manifest, pairs=pairs)) == []
