"""What a model is told for a prompt, and the files that rewritings are read from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scoft_hpc.config.schema import Prompting, RunConfig
from scoft_hpc.errors import DataError
from scoft_hpc.inputs import prompt_rewrites
from scoft_hpc.inputs.dataset import Manifest, Pair
from scoft_hpc.inputs.prompts import append_culture, evaluation_prompts, model_prompts, with_digest
from scoft_hpc.inputs.toy.scenes import STYLES
from settings_changes import changed

TEXTS = ("a house", "a boat", "a korean cup")
NOTHING = Path("x.png")


def manifest(*texts: str) -> Manifest:
    pairs = tuple(Pair(NOTHING, text, text) for text in texts)
    return Manifest("korea", Path("korea"), pairs, (), "")


def config(prompting: Prompting, name: str = "folder", **evaluation: object) -> RunConfig:
    settings = {f"evaluation.{key}": value for key, value in evaluation.items()}
    return changed(RunConfig(), {"data.name": name, "evaluation.prompting": prompting, **settings})


@pytest.mark.parametrize(
    ("text", "culture", "expected"),
    [
        ("a house", "korea", "a house, korea"),
        ("a house in Korea", "korea", "a house in Korea"),
        ("a korean house", "korea", "a korean house, korea"),
        ("a house.", "south_korea", "a house, south korea"),
        ("South-Korea, a house", "south_korea", "South-Korea, a house"),
        ("a south  korea house", "south-korea", "a south  korea house"),
        ("a perúvian", "perú", "a perúvian, perú"),
        ("Peru\u0301", "perú", "Peru\u0301"),
        ("한옥, 한국", "한국", "한옥, 한국"),
        ("c++ (a)", "c++", "c++ (a)"),
    ],
)
def test_a_culture_is_named_once(text: str, culture: str, expected: str) -> None:
    assert append_culture(text, culture) == expected


def test_the_prompts_themselves_stay_what_they_are() -> None:
    for prompting in Prompting:
        assert evaluation_prompts(config(prompting), manifest(*TEXTS)) == list(TEXTS)
    assert model_prompts(config(Prompting.asked), TEXTS) == list(TEXTS)
    assert model_prompts(config(Prompting.named), TEXTS) == [
        "a house, korea",
        "a boat, korea",
        "a korean cup, korea",
    ]


def test_the_toy_world_has_words_for_its_styles() -> None:
    toy = config(Prompting.rewritten, "toy")
    texts = evaluation_prompts(toy, manifest())
    style = STYLES[3].name
    assert model_prompts(toy, texts)[:2] == [f"a {style} house", f"a {style} boat"] and len(texts) == 8


def test_naming_that_changes_nothing_is_the_base_itself() -> None:
    """Every prompt of the toy world names its culture."""
    named_toy, plain = config(Prompting.named, "toy"), config(Prompting.asked, "toy")
    assert with_digest(named_toy, manifest()) == with_digest(plain, manifest()) == plain.evaluation
    assert with_digest(config(Prompting.named), manifest(*TEXTS)).digest


def test_rewritings_are_known_by_what_they_say(tmp_path: Path) -> None:
    """Where they lie, and rows for other prompts or cultures, change nothing; a word of one's own does."""
    pairs = [{"prompt": text, "rewritten": f"{text}!"} for text in TEXTS]
    digests = []
    for number, rows in enumerate(
        (pairs, [*pairs, {"prompt": "z", "rewritten": "y"}], [*pairs[:2], {**pairs[2], "rewritten": "?"}])
    ):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        digested = with_digest(config(Prompting.rewritten, rewrites=str(path)), manifest(*TEXTS))
        assert digested.rewrites == str(path)
        digests.append(digested.digest)
    assert digests[0] == digests[1] != digests[2]


def test_rewritings_that_changed_since_the_plan_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "it.jsonl"
    path.write_text(json.dumps({"prompt": "a house", "rewritten": "a hanok"}))
    run = config(Prompting.rewritten, rewrites=str(path))
    planned = replace(run, evaluation=with_digest(run, manifest("a house")))
    assert model_prompts(planned, ["a house"]) == ["a hanok"]
    path.write_text(json.dumps({"prompt": "a house", "rewritten": "a palace"}))
    with pytest.raises(DataError, match="have changed since the run was planned"):
        model_prompts(planned, ["a house"])


def test_prompts_without_a_rewriting_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "it.jsonl"
    path.write_text(json.dumps({"prompt": "a boat", "rewritten": "a turtle ship"}))
    with pytest.raises(
        DataError, match=r"korea: 2 of 3 evaluation prompts .* 'a house', 'a korean cup'\. Write"
    ):
        with_digest(config(Prompting.rewritten, rewrites=str(path)), manifest(*TEXTS))


def test_a_cultures_own_row_counts_more(tmp_path: Path) -> None:
    rows = [("a", "any", ""), ("a", "own", "korea"), ("b", "other", "mexico"), ("c", "한옥, “old”", "")]
    expected = {"a": "own", "c": "한옥, “old”"}
    lines = [json.dumps({"prompt": p, "rewritten": r, "culture": c or None, "more": 1}) for p, r, c in rows]
    (tmp_path / "a.jsonl").write_text("\ufeff" + "\r\n\n".join(lines))
    assert prompt_rewrites.read(tmp_path / "a.jsonl", "korea") == expected
    table = "prompt,rewritten,culture\r\n" + "".join(f'{p},"{r}",{c}\r\n' for p, r, c in rows)
    (tmp_path / "a.csv").write_text(table, newline="")
    assert prompt_rewrites.read(tmp_path / "a.csv", "korea") == expected


def test_all_faults_of_a_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "it.jsonl"
    good = {"prompt": "a", "rewritten": "b"}
    bad = [
        [],
        {"prompt": "a"},
        {**good, "rewritten": " "},
        {**good, "culture": 3},
        {**good, "rewritten": "c"},
    ]
    path.write_text("\n".join(["{", json.dumps(good), json.dumps(good), *map(json.dumps, bad)]))
    with pytest.raises(DataError) as caught:
        prompt_rewrites.read(path, "korea")
    faults = str(caught.value).splitlines()
    assert [int(fault.split("row ")[1].split(":")[0]) for fault in faults] == [1, 4, 5, 6, 7, 8]
    assert "another rewriting in row 2" in faults[-1]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "it.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=r"evaluation\.rewrites=.*cannot be read"):
        prompt_rewrites.read(tmp_path / "it.jsonl", "korea")
    (tmp_path / "it.csv").write_text("text,words\na,b\n")
    with pytest.raises(DataError, match="row 2: `prompt` is missing"):
        prompt_rewrites.read(tmp_path / "it.csv", "korea")
