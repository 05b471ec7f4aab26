"""The report is one sound file that shows every run and fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from results.html_page import Page
from results.study_maker import Maker
from scoft_hpc.config.schema import Data
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.inputs.toy import world
from scoft_hpc.results import grids, study
from scoft_hpc.results.findings import findings
from scoft_hpc.results.report import page as report
from scoft_hpc.study import atomic

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def html(finished: Maker) -> str:
    return report.render(findings(study.read(finished.folder)))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_nothing_is_fetched(page: Page, html: str) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/", "#")), (tag, name, value)
    assert {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed"} == set()
    assert page.of("script") == [{}]
    (policy,) = (m["content"] for m in page.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    script = html.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    allowed = f"img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert policy.startswith(f"default-src 'none'; {allowed}")
    for fetching in ("@import", "url(http", "url(//", "@font-face"):
        assert fetching not in html


def test_every_picture_is_whole_and_described(page: Page) -> None:
    pictures = page.of("img")
    n_images = 5 * 3 * 2  # variants, prompts, samples of the first seed
    others = 2 * 3 * 1  # base and mpc of the second seed, the first sample of each prompt
    neutral = 2 * 3  # base and mpc under prompts of no culture
    assert len(pictures) == 2 * (n_images + others + neutral)
    for picture in pictures:
        assert picture["alt"]
        assert picture["src"]
        content = base64.b64decode(picture["src"].partition(",")[2])
        assert Image.open(io.BytesIO(content)).size == (64, 64)
    for tag, attributes in page.tags:
        if tag in ("figure", "span") and attributes.get("role") == "img":
            assert attributes["aria-label"]


def test_ids_are_unique_and_references_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {
        value[1:]
        for _, attributes in page.tags
        for n in ("href", "xlink:href")
        if (value := attributes.get(n))
    }
    assert targets <= set(ids)


def test_all_runs_and_findings_are_there(page: Page, finished: Maker) -> None:
    for config in finished.configs:
        assert finished.run(config).run_id in page.text
    for text in (
        "Against base",
        "Against ldm",
        "Default style",
        "L_C, contrastive",
    ):
        assert text in page.text
    assert "The base model draws its default style in" in page.text
    assert "depict nothing of the cultures" in page.text
    assert "python -m scoft_hpc.sweep culture=all ablation=loss_terms" in page.text
    assert "torch" in page.text
    assert "d" * 16 in page.text
    assert "toy " + "n" * 16 in page.text


def test_plots_follow_the_page(html: str) -> None:
    assert 'stroke="var(--culture-1)"' in html
    assert "stroke: var(--variant-1)" in html
    assert "#0002" not in html
    assert "<metadata" not in html


def test_a_study_of_which_nothing_ran(make: Callable[..., Maker]) -> None:
    page = Page(report.render(findings(study.read(make().folder))))
    assert "20 not finished" in page.text
    assert page.of("img") == []


def test_failures_are_named_with_their_reason(make: Callable[..., Maker]) -> None:
    maker = make(cultures=("korea",))
    maker.finish(*maker.configs[:3])
    maker.fail(maker.configs[-1], "the loss became NaN")
    page = Page(report.render(findings(study.read(maker.folder))))
    assert "1 failed." in page.text
    assert "6 not finished." in page.text
    assert "nan at step 7: the loss became NaN" in page.text


def test_what_files_say_is_escaped(make: Callable[..., Maker]) -> None:
    maker = make(cultures=("korea",), seeds=(0,))
    maker.finish(*maker.configs[:3])
    maker.fail(maker.configs[3], HOSTILE)
    for path in (maker.run(maker.configs[0]).scores, maker.folder.plan):
        path.write_text(path.read_text().replace("a house in korea", HOSTILE.replace('"', '\\"')))
    maker.folder.plan.write_text(
        maker.folder.plan.read_text().replace("culture=all", HOSTILE.replace('"', '\\"'))
    )
    html = report.render(findings(study.read(maker.folder)))
    assert HOSTILE not in html
    assert html.count("<script") == 1
    page = Page(html)
    assert page.text.count(HOSTILE) >= 2
    assert any(HOSTILE in str(picture["alt"]) for picture in page.of("img"))


def test_photographs_have_no_truth_to_show(make: Callable[..., Maker]) -> None:
    maker = make(cultures=("korea",), seeds=(0,), data=Data(name="folder")).finish()
    page = Page(report.render(findings(study.read(maker.folder))))
    assert "Diversity" in page.text
    for absent in ("Default style", "In style", "depict nothing", "default style in"):
        assert absent not in page.text


@pytest.mark.slow
def test_missing_pictures_leave_a_gap(copied: Maker) -> None:
    run = copied.run(copied.find("korea", "mpc", 0))
    (run.samples / "p00-s00.png").unlink()
    (run.samples / "p01-s00.png").write_bytes(b"\x89PNG broken")
    page = Page(report.render(findings(study.read(copied.folder))))
    gaps = [a for a in page.of("span") if a.get("class") == "gap"]
    assert len(gaps) == 2
    assert all(str(gap["aria-label"]).startswith("mpc:") for gap in gaps)


def test_sample_names_do_not_lead_out_of_the_run(copied: Maker) -> None:
    outside = copied.folder.path / "secret.png"
    Image.new("RGB", (64, 64)).save(outside)
    run = copied.run(copied.find("korea", "mpc", 0))
    run.scores.write_text(run.scores.read_text().replace("samples/p00-s00.png", "../../secret.png"))
    page = Page(report.render(findings(study.read(copied.folder))))
    assert any(attributes.get("class") == "gap" for attributes in page.of("span"))


def test_negatives_stand_beside_their_positives(tmp_path: Path) -> None:
    """Those of the run's own settings, though negatives of other settings lie beside them."""
    root = tmp_path / "data"
    culture = world.write_culture(root, "korea", pairs=4, held_out=1)
    data = Data(root=str(root), digest="d" * 16)
    maker = Maker.of(tmp_path, cultures=("korea",), seeds=(0,), data=data).finish()
    config = maker.find("korea", "mpc", 0)
    other = replace(config, data=replace(data, negatives=replace(data.negatives, strength=0.5)))
    for settings in (other, config):
        folder = folder_of(settings, "d" * 16) / "negatives"
        folder.mkdir(parents=True)
        for i, path in enumerate(sorted((culture / "train" / "images").iterdir())):
            content = path.read_bytes() if settings is config else b"of other settings"
            (folder / f"{i:05d}-0.png").write_bytes(content)
    grid = grids.grid(study.read(maker.folder), "korea")
    assert grid is not None
    training, negative = grid.given
    assert (training.label, negative.label) == ("training", "negative")
    assert len(training.cells) == len(negative.cells) == len(grid.prompts)
    assert [cell.uri for cell in training.cells] == [cell.uri for cell in negative.cells]
    assert training.cells[0].uri


def test_without_drawn_negatives_only_the_training_images(tmp_path: Path) -> None:
    world.write_culture(tmp_path / "data", "korea", pairs=4, held_out=1)
    data = Data(root=str(tmp_path / "data"), digest="d" * 16)
    maker = Maker.of(tmp_path, cultures=("korea",), seeds=(0,), data=data).finish()
    grid = grids.grid(study.read(maker.folder), "korea")
    assert grid is not None
    assert [line.label for line in grid.given] == ["training"]


def test_the_base_stands_next_to_the_fullest_variant(finished: Maker) -> None:
    grid = grids.grid(study.read(finished.folder), "korea")
    assert grid is not None
    assert [line.label for line in grid.front] == ["base", "mpc"]
    assert [line.label for line in grid.between] == ["ldm", "m", "mp"]
    assert grid.seed == 0
    assert [(seed, [line.label for line in lines]) for seed, lines in grid.seeds] == [(1, ["base", "mpc"])]
    for lines in (grid.front, grid.between, *grid.more):
        for line in lines:
            assert [cell.alt.partition(": ")[2].partition(",")[0] for cell in line.cells] == grid.prompts


def test_prompts_worded_otherwise_stay_in_their_column(copied: Maker) -> None:
    run = copied.run(copied.find("korea", "ldm", 0))
    run.scores.write_text(run.scores.read_text().replace("a boat in korea", "a boat as it is built in korea"))
    grid = grids.grid(study.read(copied.folder), "korea")
    assert grid is not None
    (line,) = (line for line in grid.between if line.label == "ldm")
    assert line.cells[1].alt.startswith("ldm: a boat as it is built in korea")
    assert grid.prompts[1] == "a boat in korea"


def test_written_whole_and_small(finished: Maker, tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "report.html", report.render(findings(study.read(finished.folder))))
    size = (tmp_path / "report.html").stat().st_size
    pictures = 2 * (5 * 6 + 6 + 6)
    assert size < 500_000 + pictures * 4_000
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]
