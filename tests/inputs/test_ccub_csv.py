"""A public table as people save it, and the names that are made of its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from download_table import row, write_table
from scoft_hpc.errors import DataError
from scoft_hpc.inputs.download import ccub_csv


@pytest.mark.parametrize(
    ("code", "culture"),
    [
        ("CN", "china"),
        ("in", "india"),
        ("Korea", "korea"),
        ("MX", "mexico"),
        ("México", "mexico"),
        ("NGA", "nigeria"),
        ("FR", "fr"),
        ("Prosthetic limbs", "prosthetic-limbs"),
        ("../../etc", "etc"),
        ("한국", ""),
    ],
)
def test_cultures_of_country_codes(code: str, culture: str) -> None:
    assert ccub_csv.culture(code) == culture


def test_names_are_safe_and_unlike(tmp_path: Path) -> None:
    url = "http://example.org/../../x.php?a=../b"
    ids = ["7", "a/b", "a_b", "../../etc/passwd", "..", "日本", "日木", "x" * 300, "x" * 301]
    path = write_table(tmp_path / "t.csv", [row(i, f"{url}{n}") for n, i in enumerate(ids)])
    entries, failures = ccub_csv.read(path)
    stems = [entry.stem for entry in entries]
    assert not failures and len(set(stems)) == len(ids) and stems[0] == "Food_drink-7"
    assert all(stem.replace("-", "").replace("_", "").isalnum() and len(stem) < 150 for stem in stems)
    assert all(stem.isascii() for stem in stems)


def test_a_table_as_people_save_it(tmp_path: Path) -> None:
    """A byte order mark, line ends in cells, empty lines, other columns, short rows; what cannot be used is told."""
    path = tmp_path / "t.csv"
    path.write_text(
        "\ufeffurl, __ID__ ,caption,category_code,country_code,mood,licence\r\n"
        'https://x.org/1,1,"a market,\n in ""Seoul""",CITY,KR,glad,CC0\r\n'
        "\r\n"
        ",,,,,,\r\n"
        "https://x.org/2,2,,CITY,KR\r\n"
        "javascript:alert(1),3,three,CITY,KR\r\n"
        "https://x.org/4,4,four,CITY,한국\r\n"
        "https://x.org/5,,five,CITY,KR\r\n"
        "http://[x/6,6,six,CITY,KR\r\n",
        encoding="utf-8",
    )
    (entry,), failures = ccub_csv.read(path)
    assert (entry.text, entry.license, entry.culture) == ('a market, in "Seoul"', "CC0", "korea")
    parts = [
        "`caption` is empty",
        "begins with http://",
        "`country_code` is '한국'",
        "`__id__` is empty",
        "`url`",
    ]
    assert all(part in failure.reason for part, failure in zip(parts, failures, strict=True))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column __id__, caption, category_code, country_code, url"),
        (b"__id__;caption;url\n", "has no column __id__, caption, .* with commas between"),
        (b"__id__,caption,url\n", "has no column category_code, country_code; its first line is"),
        (b"__id__,caption,category_code,country_code,url,url\n", "the column url twice"),
        (b'__id__,caption,category_code,country_code,url\n1,"open', "line 2: unexpected end of data"),
        (b"\xff\xfe_\x00", "is not UTF-8"),
    ],
)
def test_a_table_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        ccub_csv.read(path)


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.csv=.*nowhere\.csv cannot be read: No such file"):
        ccub_csv.read(tmp_path / "nowhere.csv")
