"""table.tex: the headline table for a paper, measures × variants, to be `\\input` as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results.findings import Findings, VariantResult
from scoft_hpc.results.formats import bracketed, number
from scoft_hpc.study.atomic import write_text

ESCAPED = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": r"\ensuremath{-}",
    "–": "--",
}
ARROWS = {
    "lower": r" $\downarrow$",
    "higher": r" $\uparrow$",
    "target_half": r" $\to\frac{1}{2}$",
    "undirected": "",
}


def write(path: Path, found: Findings) -> None:
    write_text(path, render(found))


def render(found: Findings) -> str:
    """A `table` with two lines a measure: means, and below each its interval."""
    variants = found.variants
    return "\n".join(
        [
            r"% \usepackage{booktabs,xcolor}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_caption(found)}}}",
            rf"\label{{tab:{''.join(c for c in found.study.name if c.isalnum() or c in '-.')}}}",
            rf"\begin{{tabular}}{{@{{}}l{'c' * len(variants)}@{{}}}}",
            r"\toprule",
            _line(["", *map(escape, variants)]),
            r"\midrule",
            *_body(found),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(ESCAPED.get(c, " " if c.isspace() else c) for c in text)


def _caption(found: Findings) -> str:
    study, reference = found.study, escape(found.references[0] if found.references else "")
    what = (
        f"{escape(study.name)}: means over {len(found.cultures)} cultures and {len(study.seeds)} seeds, with 95\\,\\% "
        f"intervals. Bold: the best of its line. Grey: no difference from {reference} that holds after Holm's "
        f"correction ($p > .05$)."
    )
    warnings = [f"{m.title}: {warning}" for m in found.measures for warning in found.warnings(m.name)]
    return " ".join([what, *map(escape, warnings)])


def _body(found: Findings) -> Iterator[str]:
    for before, measure in zip([None, *found.measures], found.measures, strict=False):
        if before is not None and before.group != measure.group:
            yield r"\addlinespace"
        findings = [(variant, found.of(variant, measure.name)) for variant in found.variants]
        digits = found.digits(measure.name)
        yield _line([_head(measure), *(_mean(finding, found, digits) for _, finding in findings)])
        yield _line(["", *(_interval(finding, found, digits) for _, finding in findings)])


def _head(measure: MetricSpec) -> str:
    return escape(measure.title) + ARROWS[measure.direction]


def _mean(finding: VariantResult, found: Findings, digits: int) -> str:
    if finding.level is None:
        return "--"
    text = escape(number(finding.level.value, digits))
    return _grey(rf"\textbf{{{text}}}" if finding.best else text, finding, found)


def _interval(finding: VariantResult, found: Findings, digits: int) -> str:
    level = finding.level
    if level is None or level.half is None:
        return ""
    return _grey(rf"\scriptsize {escape(bracketed(level, digits))}", finding, found)


def _grey(text: str, finding: VariantResult, found: Findings) -> str:
    compared = finding.against.get(found.references[0])
    return rf"\textcolor{{gray}}{{{text}}}" if compared is not None and not compared.holds else text


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
