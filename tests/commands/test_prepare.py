"""`scoft-hpc prepare` from words to exit code, on folders with pictures, and the walk through a new culture."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import captioners
import http_server
from cultures import read, row, write
from scoft_hpc import prepare
from scoft_hpc.config import compose
from scoft_hpc.data import captions
from scoft_hpc.inputs.metadata_rows import WRITER
from waiting import PATIENCE

ROOT = Path(__file__).parents[2]
WALK = (ROOT / "docs" / "adding-a-culture.md").read_text()
HUB_ID = "Salesforce/blip-image-captioning-large"
SHORT = [
    "train.steps=2", "evaluation.steps=2", "evaluation.samples=1", "evaluation.neutral=1", "wandb.mode=disabled",
    "data.negatives.steps=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A download cache that holds a tiny BLIP under the real one's name."""
    cache = tmp_path_factory.mktemp("hub")
    repository = cache / f"models--{HUB_ID.replace('/', '--')}"
    captioners.blip(repository / "snapshots" / "c0ffee")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    return cache


@pytest.fixture
def root(tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two cultures, of which one lacks two generic captions."""
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    for name in ("makers", "prosthetics"):
        folder = tmp_path / "data" / name
        write(
            folder, [row(folder, i, blip_text=None if name == "makers" and i else "words") for i in range(3)]
        )
    write(tmp_path / "data" / "makers", [row(tmp_path / "data" / "makers", 9, "test")], "test")
    return tmp_path / "data"


def run(*arguments: str) -> int:
    return prepare.main(arguments)


def test_what_the_login_node_does_loads_no_torch(root: Path) -> None:
    code = (
        "import sys; from scoft_hpc import prepare;"
        "code = prepare.main(['culture=prosthetics', 'data.root=' + sys.argv[1], 'caches=false']);"
        "sys.exit(code or sorted({'torch', 'transformers', 'diffusers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "captions   3 given" in done.stdout and "caches     not made" in done.stdout


def test_the_whole_line_and_then_nothing_more_is_made(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        f"data.root={root}",
        "data.captions.source=blip",
        "data.negatives.steps=2",
        "data.negatives.seed=3",
    ]
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert "makers: 3 pairs, 1 held out, digest " in text and "prosthetics: 3 pairs, 0 held out" in text
    assert f"captions   2 given, 2 by {HUB_ID} (" in text
    assert "0 pairs have their own, for 3 drawn by img2img, 1 each" in text
    assert f"documents  manifest.json, README.md, croissant.json in {root / 'makers'}" in text
    entries = json.loads((root / "makers" / "manifest.json").read_text())["rows"]
    assert [entry["generic_caption_by"].split(" ")[0] for entry in entries] == [
        "given",
        HUB_ID,
        HUB_ID,
        "given",
    ]
    files = [path for path in root.parent.rglob("*") if path.is_file()]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    assert run(*arguments) == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert [path for path in root.parent.rglob("*") if path.is_file() and path not in before] == []
    output = capsys.readouterr().out
    assert "note:" not in output
    _the_next_line_starts_from_the_caches(output)


def _the_next_line_starts_from_the_caches(output: str) -> None:
    """The sweep that is said to come next plans runs whose caches are those that were made."""
    from scoft_hpc.inputs.cache_key import folder_of
    from scoft_hpc.launch.planning import plan

    line = next(line for line in output.splitlines() if line.startswith("next "))
    arguments = shlex.split(line)[4:]
    assert arguments[:4] == ["culture=all", "ablation=loss_terms", "data=folder", arguments[3]]
    planned = plan.build_plan(compose.compose("sweep", arguments), arguments)
    caches = [Path(line.split()[1]) for line in output.splitlines() if line.startswith("caches ")]
    assert len(planned.runs) == 10 and len(caches) == 2 and all(folder.is_dir() for folder in caches)
    assert {folder_of(run.config, run.config.data.digest) for run in planned.runs} == set(caches)


def test_documents_alone_need_no_model(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("culture=prosthetics", f"data.root={root}", "model=sd14", "negatives=given", "caches=false")
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert "caches     not made" in text and "3 have none: no run of variant mpc" in text
    assert (
        "culture=prosthetics" in text and "model=sd14 negatives=given" in text and "caches=false" not in text
    )
    assert not Path("outputs").exists() and not (root / "makers" / "manifest.json").exists()


def test_changes_and_files_of_another_hand_are_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("culture=prosthetics", f"data.root={root}", "caches=false")
    (root / "prosthetics" / "README.md").write_text("mine")
    assert run(*arguments) == 0
    text = capsys.readouterr().out
    assert f"note: {root / 'prosthetics' / 'README.md'} was edited by hand; not overwritten" in text
    image = root / "prosthetics" / "train" / "images" / "1.png"
    image.write_bytes((image.parent / "2.png").read_bytes())
    assert run(*arguments) == 0
    assert "images that differ: train/images/1.png" in capsys.readouterr().out
    assert (root / "prosthetics" / "README.md").read_text() == "mine"


def test_a_mistake_of_each_kind_told_at_once_and_nothing_written(
    root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (root / "prosthetics" / "train" / "images" / "0.png").write_bytes(b"no picture")
    before = sorted(tmp_path.rglob("*"))
    mistaken = [
        *(
            "culture=[makers,prosthetics]",
            f"data.root={root}",
            "model.path=none/such",
            "data.download.jobs=0",
        ),
        *("data.captions.source=blip2", "lora.rank=0", "negatives=depth", "objective.distance=dino"),
    ]
    assert run(*mistaken) == 2
    faults = capsys.readouterr().err
    for message in (
        "lora.rank=0",
        "data.download.jobs=0: expected more than 0",
        "model.path=none/such",
        "data.negatives.depth_path=",
        "data.negatives.controlnet_path=",
        "objective.distance",
        "is not a whole image",
        "data.captions.path=Salesforce/blip2-opt-2.7b",
        "hf download Salesforce/blip2-opt-2.7b",
    ):
        assert message in faults
    assert "Traceback" not in faults and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["culture=makers"], "add data.root=DIR"),
        (["data.root=nowhere"], "data.root=nowhere does not exist"),
        (["data.root=data", "culture=maker"], "unknown: maker; expected one of makers, prosthetics"),
        (["data.root=data"], "prepare culture=makers data.root="),
        (["data=toy"], "data=toy is made ready by itself"),
        (["data.root=data", "data.captions.path=x"], "add data.captions.source=blip"),
        (["data.root=data", "data.captions.source=clip"], "one of given, blip, blip2"),
        (["data.csv=t.csv"], "add data.root=DIR"),
        (
            ["data.csv=t.csv", "data.root=new", "data.download.tries=0"],
            "data.download.tries=0: expected more than 0",
        ),
        (["data.csv=t.csv", "data.root=new", "caches=false"], "t.csv"),
        (["data.root=data", "plan=only"], "plan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words(
    root: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert (
        message.replace("nowhere does", f"{root.parent / 'nowhere'} does") in error
        and "Traceback" not in error
    )
    assert not (root.parent / "new").exists()


def test_a_folder_that_cannot_be_written_is_a_sentence(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "prosthetics" / "README.md").mkdir()
    assert run("culture=prosthetics", f"data.root={root}", "caches=false") == 2
    error = capsys.readouterr().err
    assert str(root / "prosthetics" / "README.md") in error and "Expected folders that can be" in error


def test_a_signal_keeps_what_was_done_and_the_same_command_continues(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real signal between two batches of captions."""
    folder, more = root / "makers", range(captions.BATCH + 1)
    write(folder, [row(folder, 0), *(row(folder, 1 + i, blip_text=None) for i in more)])
    write_one = captions.atomic.write_bytes

    def write_and_signal(path: Path, content: bytes) -> None:
        write_one(path, content)
        if path.name == "metadata.jsonl":
            signal.raise_signal(signal.SIGTERM)

    assert threading.current_thread() is threading.main_thread()
    monkeypatch.setattr(captions.atomic, "write_bytes", write_and_signal)
    arguments = ("culture=makers", f"data.root={root}", "data.captions.source=blip", "caches=false")
    assert run(*arguments) == 75
    assert "the same command continues" in capsys.readouterr().out
    assert [WRITER in values for values in read(folder)] == [False, *[True] * captions.BATCH, False]
    monkeypatch.setattr(captions.atomic, "write_bytes", write_one)
    assert run(*arguments) == 0
    assert [WRITER in values for values in read(folder)] == [False, *[True for _ in more]]


def test_from_a_table_to_documents(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images of a table fetched from a real server, captioned and documented; one of them cannot be downloaded."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    pictures = [(root / "makers" / "train" / "images" / f"{i}.png").read_bytes() for i in range(3)]
    with http_server.serving() as server:
        server.pages |= {f"/{i}.png": http_server.file(content) for i, content in enumerate(pictures)}
        lines = [f'{i},"a hanok, {i}",ARCH,KR,2023,{server.url(f"/{i}.png")},CC-BY-4.0' for i in range(4)]
        header = "__id__,caption,category_code,country_code,created_at,url,license"
        Path("ccub.csv").write_text("\n".join([header, *lines]) + "\n")
        arguments = ("data.root=fetched", "data.csv=ccub.csv", "data.captions.source=blip", "caches=false")
        assert run(*arguments) == 0
        text = capsys.readouterr().out
        assert "fetched  3 images, 0 were there, 1 could not be downloaded" in text and "404" in text
        assert "korea: 3 pairs" in text and f"captions   3 by {HUB_ID}" in text
        rows = json.loads(Path("fetched/korea/manifest.json").read_text())["rows"]
        assert [(entry["url"], entry["license"], entry["category"], entry["caption"]) for entry in rows] == [
            (server.url(f"/{i}.png"), "CC-BY-4.0", "ARCH", f"a hanok, {i}") for i in range(3)
        ]
        before = {path: path.read_bytes() for path in Path("fetched/korea").rglob("*") if path.is_file()}
        assert run(*arguments) == 0
        assert {path: path.read_bytes() for path in before} == before
        text = capsys.readouterr().out
        assert "fetched  0 images, 3 were there, 1 could not be downloaded" in text and "note:" not in text
        assert "data.root=" in text and "data.csv" not in text.split("next ")[1]


def commands(text: str) -> list[list[str]]:
    """The indented `python -m scoft_hpc...` lines, in order."""
    return [
        shlex.split(line) for line in re.findall(r"^ {4}(python -m scoft_hpc\.\S.*)$", text, re.MULTILINE)
    ]


@pytest.mark.slow
def test_every_command_of_the_walk_works_in_its_order(hub: Path, tmp_path: Path) -> None:
    """As a reader would type them, in a folder with nothing but the images; long ones are shortened by settings."""
    folder = tmp_path / "communities" / "prosthetics"
    write(folder, [row(folder, i, blip_text=None) for i in range(4)])
    write(folder, [row(folder, i, "test", blip_text=None) for i in (7, 8)], "test")
    lines = commands(WALK)
    assert [arguments[2].removeprefix("scoft_hpc.") for arguments in lines] == [
        *("prepare", "prepare", "sweep", "sweep", "gather")
    ]
    for arguments in lines:
        more = {"sweep": [*SHORT, "cluster.jobs=1"], "prepare": SHORT[-1:]}.get(
            arguments[2].split(".")[1], []
        )
        ended = subprocess.run(
            [sys.executable, *arguments[1:], *more],
            cwd=tmp_path,
            env=os.environ | {"HF_HUB_CACHE": str(hub)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
    assert "prosthetics" in ended.stdout
    (results,) = tmp_path.glob("outputs/*/results.csv")
    with results.open() as file:
        assert {line["variant"] for line in csv.DictReader(file)} == {"base", "ldm", "m", "mp", "mpc"}
    for name in ("manifest.json", "README.md", "croissant.json", f"train/{captions.BEFORE}"):
        assert (folder / name).is_file()
    assert all(WRITER in values for values in read(folder))
    assert len(list((tmp_path / "outputs" / "cache").glob("prosthetics-*"))) == 1, (
        "the sweep made none of its own"
    )


def test_links_of_the_walk_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", WALK)
    assert links and all(link.startswith("https://") or (ROOT / "docs" / link).exists() for link in links)
    assert (ROOT / "conf" / "model" / "sd14.yaml").is_file() and "`conf/model/sd14.yaml`" in WALK
