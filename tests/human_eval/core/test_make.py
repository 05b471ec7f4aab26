"""`survey make`: pages from a study's samples, repeated calls, and errors."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter

import pytest
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from invoke import Invoke
from scoft_hpc.errors import ConfigError
from scoft_hpc.human_eval import pages, survey_yaml
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.study.paths import StudyDir

SMALL = ("culture=korea", "pages=2", "raters=5")


def edit(study: StudyDir, **values: object) -> None:
    content = yaml.safe_load(study.survey.file.read_text())
    study.survey.file.write_text(yaml.safe_dump({**content, **values}))


def open_store(study: StudyDir) -> Store:
    survey, survey_pages = survey_yaml.load(study.survey)
    return Store.open(survey, survey_pages, f"sqlite:///{study.survey.database}")


def enrol(study: StudyDir) -> None:
    store = open_store(study)
    store.enrol("korea", "member", "", "en", "v1", True)
    store.close()


def test_it_samples_complete_pages_and_prints_the_next_command(run_survey: Invoke, study: StudyDir) -> None:
    code, out, _ = run_survey("make", "study=a-study", "pages=4", "raters=20", "ethics=IRB 7")
    assert code == 0, out
    assert "korea: 12 of 12 pages, 20 raters × 4: 6.7 raters per page" in out
    assert f"python -m scoft_hpc.survey serve {study.path}" in out
    assert "not stated" not in out
    survey, survey_pages = survey_yaml.load(study.survey)
    assert survey.systems == ("base", "m", "mp", "mpc")
    assert survey.quotas == {"korea": 20, "mexico": 20}
    assert survey.languages == ("en", "ar")
    assert (survey.ethics.reference, survey.ethics.stated) == ("IRB 7", True)
    assert (survey.primary.system, survey.primary.against) == ("mpc", "base")
    assert survey.pages == 4
    assert len(survey_pages) == 24
    assert len({page.id for page in survey_pages}) == 24
    for page in survey_pages:
        assert [image.system for image in page.images] == list(survey.systems)
        assert len({image.file for image in page.images}) == 1
        assert all(
            image.run_id.startswith(f"{page.culture}-{image.system}-s{page.seed}-") for image in page.images
        )


def test_fewer_pages_than_there_are_are_balanced_over_prompts_seeds_and_samples(
    run_survey: Invoke, study: StudyDir
) -> None:
    assert run_survey("make", "pages=6", "raters=5", "culture=korea")[0] == 0
    _, survey_pages = survey_yaml.load(study.survey)
    assert len(survey_pages) == 6
    assert {page.culture for page in survey_pages} == {"korea"}
    assert set(Counter(page.prompt for page in survey_pages).values()) == {2}
    assert set(Counter(page.seed for page in survey_pages).values()) == {3}
    assert set(Counter(page.sample for page in survey_pages).values()) == {3}


def test_nothing_of_an_image_reveals_its_system(run_survey: Invoke, study: StudyDir) -> None:
    metadata = PngInfo()
    metadata.add_text("parameters", "xyzzy variant=mpc")
    for file in study.path.glob("runs/*-mpc-*/samples/*.png"):
        with Image.open(file) as image:
            image.save(file, pnginfo=metadata, exif=b"Exif\0\0xyzzy")
    assert run_survey("make", "pages=6", "raters=5")[0] == 0
    _, survey_pages = survey_yaml.load(study.survey)
    images = {image.name: image for page in survey_pages for image in page.images}
    files = list(study.survey.images.iterdir())
    assert {file.name for file in files} == set(images)
    assert all(re.fullmatch(r"[0-9a-f]{32}\.png", name) for name in images)
    assert {file.stat().st_mtime for file in files} == {1_577_836_800.0}
    assert len({file.stat().st_mode for file in files}) == 1
    for file in files:
        assert b"xyzzy" not in file.read_bytes()
        with Image.open(file) as image:
            assert (image.format, image.mode, image.size, image.info) == ("PNG", "RGB", (256, 256), {})
            page_image = images[file.name]
            with Image.open(study.run(page_image.run_id).path / page_image.file) as source:
                assert image.tobytes() == source.resize((256, 256), Image.Resampling.NEAREST).tobytes()
    assert study.survey.secret.stat().st_mode & 0o777 == 0o600


def test_names_follow_from_the_secret_alone(run_survey: Invoke, study: StudyDir) -> None:
    assert run_survey("make", *SMALL)[0] == 0
    first, secret = pages.read(study.survey), study.survey.secret.read_bytes()
    assert run_survey("make")[0] == 0
    assert pages.read(study.survey) == first
    shutil.rmtree(study.survey.path)
    assert run_survey("make", *SMALL)[0] == 0
    assert study.survey.secret.read_bytes() != secret
    second = pages.read(study.survey)
    names = [{image.name for page in drawn for image in page.images} for drawn in (first, second)]
    assert not names[0] & names[1]


def test_incomplete_pages_are_omitted_and_reported(run_survey: Invoke, study: StudyDir) -> None:
    (lost,) = study.path.glob("runs/korea-m-s0-*")
    (lost / "samples" / "p00-s00.png").unlink()
    (torn,) = study.path.glob("runs/korea-mp-s0-*")
    (torn / "samples" / "p01-s01.png").write_bytes(b"\x89PNG not quite")
    (other,) = study.path.glob("runs/korea-mpc-s0-*")
    scores = json.loads((other / "scores.json").read_text())
    scores["samples"][4]["prompt"] = "something else"
    del scores["samples"][5]
    (other / "scores.json").write_text(json.dumps(scores))
    (unscored,) = study.path.glob("runs/korea-base-s1-*")
    (unscored / "scores.json").unlink()
    code, out, _ = run_survey("make", "culture=korea", "pages=3")
    assert code == 0
    assert "korea: 2 of 2 pages" in out
    for message in (
        "1 incomplete: korea seed 0: m's image cannot be read",
        "1 incomplete: korea seed 0: mp's image cannot be read",
        "1 incomplete: korea seed 0: the systems have different prompts",
        "1 incomplete: korea seed 0: mpc has no such sample",
        "6 incomplete: korea base seed 1 is done, without scores",
    ):
        assert f"note: {message}" in out
    assert len(pages.read(study.survey)) == 2


def test_no_complete_page_is_refused_with_the_reasons(run_survey: Invoke, study: StudyDir) -> None:
    for scores in study.path.glob("runs/mexico-mpc-*/scores.json"):
        scores.unlink()
    code, _, err = run_survey("make")
    assert code == 5
    assert "mexico: no page has an image of each of base, m, mp, mpc" in err
    assert "mexico mpc seed 1 is done, without scores" in err
    assert not study.survey.pages.exists()
    assert not study.survey.file.exists()
    assert run_survey("make", "systems=base,m")[0] == 0


def test_a_study_file_of_a_person_is_followed_and_never_overwritten(
    run_survey: Invoke, study: StudyDir
) -> None:
    code, out, _ = run_survey("make", *SMALL)
    assert code == 0
    assert "not stated: `survey serve` refuses" in out
    edit(study, title="Mine", pages=4, quotas={"korea": 5})
    text = study.survey.file.read_text()
    assert run_survey("make", "pages=4", "culture=korea")[0] == 0
    assert study.survey.file.read_text() == text
    assert {page.culture for page in pages.read(study.survey)} == {"korea"}
    assert len(pages.read(study.survey)) == len(list(study.survey.images.iterdir())) / 4 == 4
    code, _, err = run_survey("make", "pages=9", "raters=7", "pilot=true")
    assert code == 2
    assert "pages=9 raters=7 pilot=true: " in err
    assert "has other values" in err


def test_pages_that_raters_have_begun_with_stay(run_survey: Invoke, study: StudyDir) -> None:
    assert run_survey("make", "pages=3", "raters=5", "pilot=true")[0] == 0
    open_store(study).close()
    edit(study, seed=1, pages=4)
    assert run_survey("make")[0] == 0  # nobody has begun
    enrol(study)
    code, out, _ = run_survey("make")
    assert code == 0
    assert "raters have begun; their pages were not changed" in out
    before = (study.survey.pages.read_bytes(), sorted(study.survey.images.iterdir()))
    edit(study, seed=2)
    code, _, err = run_survey("make")
    assert code == 5
    assert re.search(r"1 rater began with other pages: \d of 8 would be removed and \d added", err)
    assert before == (study.survey.pages.read_bytes(), sorted(study.survey.images.iterdir()))


def test_all_faults_of_settings_are_reported_together(run_survey: Invoke, study: StudyDir) -> None:
    code, _, err = run_survey("make", "pages=many", "pilot=perhaps", "raters=x")
    assert code == 2
    assert [line.partition(":")[0] for line in err.removeprefix("error:\n").splitlines()] == [
        "- pages=many",
        "- pilot=perhaps",
        "- raters=x",
    ]
    code, _, err = run_survey("make", "systems=base,mcp", "raters=0")
    assert "systems: 'mcp'; expected one of base, m, mp, mpc; did you mean mp?" in err
    assert "quotas.korea: 0; expected 1 to 100000" in err
    assert "systems: 'base' is listed 2 times" in run_survey("make", "systems=base,base")[2]
    assert "systems: 1; expected two to eight of base, m, mp, mpc" in run_survey("make", "systems=base")[2]
    assert run_survey("make", "pages=-3")[2] == "error: pages: -3; expected 1 to 500.\n"
    assert "sqlite:////local/disk" in run_survey("make", "database=mysql://a:secret@b/c")[2]
    assert not study.survey.path.exists()


def test_a_folder_that_cannot_be_written_is_reported(run_survey: Invoke, study: StudyDir) -> None:
    study.survey.path.write_text("in the way")
    code, _, err = run_survey("make", *SMALL)
    assert code == 5
    assert err.startswith(f"error: {study.survey.path}")
    assert "Expected a readable and writable folder" in err


def test_every_setting_of_the_file_is_one_of_a_survey(run_survey: Invoke, study: StudyDir) -> None:
    assert run_survey("make", *SMALL)[0] == 0
    written = yaml.safe_load(study.survey.file.read_text())
    assert set(written) == set(Survey.__dataclass_fields__)
    comments = [line for line in study.survey.file.read_text().splitlines() if line.startswith("#")]
    assert len(comments) > 15


def test_a_file_that_disagrees_with_its_pages_is_refused(run_survey: Invoke, study: StudyDir) -> None:
    assert run_survey("make", *SMALL)[0] == 0
    edit(study, systems=["base", "mpc"])
    with pytest.raises(ConfigError, match="draw them again"):
        survey_yaml.load(study.survey)
    edit(study, systems=["base", "m", "mp", "mpc"], quotas={"atlantis": 3})
    with pytest.raises(ConfigError, match="quotas: 'atlantis'; expected one of"):
        survey_yaml.load(study.survey)
