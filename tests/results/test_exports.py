"""table.tex and report.md: whole, escaped, and with the numbers of the findings."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from results.study_maker import Maker
from scoft_hpc.results import latex, markdown, study
from scoft_hpc.results.findings import Findings, findings
from scoft_hpc.results.formats import number, p_value, signed

HOSTILE = r"a_b & 50% {x}\y $z$ #1 ~^|<b>*"
COMMANDS = {
    *("begin", "end", "caption", "label", "centering", "toprule", "midrule", "bottomrule", "addlinespace"),
    *("textbf", "textcolor", "scriptsize", "downarrow", "uparrow", "to", "frac", "usepackage", "ensuremath"),
    *("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater"),
}


@pytest.fixture(scope="module")
def study_findings(finished: Maker) -> Findings:
    return findings(study.read(finished.folder))


@pytest.fixture(scope="module")
def hostile(study_findings: Findings) -> Findings:
    """A study whose variant `mpc` has every character that LaTeX or Markdown takes."""
    runs = (
        replace(r, variant=HOSTILE if r.variant == "mpc" else r.variant) for r in study_findings.study.runs
    )
    return findings(replace(study_findings.study, runs=tuple(runs)))


def body(text: str) -> list[str]:
    """The lines between the rules, without the heads."""
    rows = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0].strip().splitlines()
    return [row for row in rows if row != r"\addlinespace"]


@pytest.mark.parametrize("name", ["study_findings", "hostile"])
def test_latex_is_whole(name: str, request: pytest.FixtureRequest) -> None:
    """Environments and braces close, each line has its cells, no character or command is LaTeX's that is not meant."""
    rendered: Findings = request.getfixturevalue(name)
    text = latex.render(rendered)
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    assert opened == [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")]
    code = re.sub(r"\\[&%$#_{},]", "", text.partition("\n")[2].replace(r"\\", ""))
    assert set(re.findall(r"\\([A-Za-z]+)", code)) <= COMMANDS
    assert code.count("{") == code.count("}") and code.count("$") % 2 == 0
    assert not set("%#~^") & set(code)
    assert "_" not in code
    assert code.isascii()
    for row in body(text):
        assert row.endswith(r" \\")
        assert len(re.findall(r"(?<!\\)&", row)) == len(rendered.variants)
        assert row.count("{") == row.count("}")
    columns = re.search(r"\\begin\{tabular\}\{@\{\}l(c+)@\{\}\}", text)
    assert columns is not None
    assert len(columns[1]) == len(rendered.variants)


def test_latex_has_two_lines_a_measure_bold_for_the_best_and_grey_for_what_does_not_hold(
    study_findings: Findings,
) -> None:
    rows = body(latex.render(study_findings))
    assert len(rows) == 2 * len(study_findings.measures)
    for measure, means, intervals in zip(study_findings.measures, rows[::2], rows[1::2], strict=True):
        head, *cells = means.removesuffix(r" \\").split(" & ")
        assert head.startswith(measure.title)
        for variant, cell, interval in zip(
            study_findings.variants, cells, intervals.split(" & ")[1:], strict=True
        ):
            finding = study_findings.of(variant, measure.name)
            assert finding.level is not None
            assert latex.escape(number(finding.level.value, study_findings.digits(measure.name))) in cell
            assert (r"\textbf" in cell) == finding.best
            compared = finding.against.get("base")
            assert ("gray" in cell) == (compared is not None and not compared.holds)
            assert ("[" in interval) == (finding.level.half is not None)
    assert r"\textbf" in "".join(rows) and "gray" in "".join(rows)


def test_latex_passes_warnings_on(study_findings: Findings) -> None:
    assert "FID: FID of 6 images is biased beyond use." in latex.render(study_findings)


def test_markdown_has_every_finding(study_findings: Findings) -> None:
    text = markdown.render(study_findings)
    for title in ("## Variants", "## Against base", "## Against ldm", "## By culture", "## How it was made"):
        assert f"\n{title}\n" in text
    assert "## Not done" not in text
    against = text.partition("## Against base")[2].partition("## Against ldm")[0]
    compared = study_findings.of("mpc", "kid").against["base"]
    (line,) = (line for line in against.splitlines() if line.startswith("| KID ↓ | mpc |"))
    cells = line.strip("| ").split(" | ")
    assert cells[2].strip("*").startswith(signed(compared.difference.value, study_findings.digits("kid")))
    assert cells[2].startswith("**") == compared.holds
    assert cells[4:7] == ["2 cultures", p_value(compared.p), p_value(compared.corrected)]
    needed = study_findings.needed("mpc", "base", "kid")
    assert needed is not None
    assert cells[7].endswith(f": {needed.text}")
    for fact in ("0123456789ab", "m" * 16, "d" * 16, "culture=all ablation=loss_terms", "somewhere"):
        assert fact in text
    assert "biased beyond use" in text
    assert text.endswith("\n") and "\n\n\n" not in text


@pytest.mark.parametrize("name", ["study_findings", "hostile"])
def test_markdown_tables_are_whole(name: str, request: pytest.FixtureRequest) -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", markdown.render(request.getfixturevalue(name)), flags=re.MULTILINE)
    assert len(blocks) == 1 + 2 + 7
    for block in blocks:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1
        assert re.fullmatch(r"\|(---\|)+", block.splitlines()[1])


def test_markdown_escapes_names(hostile: Findings) -> None:
    text = markdown.render(hostile)
    assert r"a\_b \& 50% \{x\}\\y \$z\$ \#1 \~^\|\<b\>\*" in text
    assert "<b>" not in re.sub(r"\\<", "", text)


def test_markdown_names_what_is_not_done(copied: Maker) -> None:
    failed, planned = copied.find("korea", "ldm", 1), copied.find("mexico", "mpc", 0)
    for config in (failed, planned):
        for path in (copied.run(config).result, copied.run(config).scores):
            path.unlink()
    copied.fail(failed, "the loss became *NaN*\nat once")
    text = markdown.render(findings(study.read(copied.folder)))
    assert "18 of 20 runs done" in text
    assert f"- `{copied.run(failed).run_id}` failed: the loss became \\*NaN\\* at once\n" in text
    assert f"- `{copied.run(planned).run_id}` planned\n" in text


@pytest.mark.parametrize(("p", "text"), [(None, "–"), (0.0312, ".031"), (0.0004, "< .001"), (1.0, "1.000")])
def test_p_values_are_told_as_in_papers(p: float | None, text: str) -> None:
    assert p_value(p) == text


@pytest.mark.parametrize(("value", "text"), [(0.1, "+.10"), (-0.1, "−.10"), (0.001, ".00")])
def test_differences_have_a_sign(value: float, text: str) -> None:
    assert signed(value, 2) == text
