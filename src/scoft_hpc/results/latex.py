"""table.tex: the headline table for a paper, measures × variants, to be `\\input` as it is."""

from __future__ import annotations

from collections.abc import Iterator

from scoft_hpc.results.findings import Findings, VariantResult
from scoft_hpc.results.formats import bracketed, number

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


def render(findings: Findings) -> str:
    """A `table` with two lines a measure: means, and below each its interval."""
    variants = findings.variants
    return "\n".join(
        [
            r"% \usepackage{booktabs,xcolor}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_caption(findings)}}}",
            rf"\label{{tab:{''.join(c for c in findings.study.name if c.isalnum() or c in '-.')}}}",
            rf"\begin{{tabular}}{{@{{}}l{'c' * len(variants)}@{{}}}}",
            r"\toprule",
            _line(["", *map(escape, variants)]),
            r"\midrule",
            *_body(findings),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(ESCAPED.get(c, " " if c.isspace() else c) for c in text)


def _caption(findings: Findings) -> str:
    study, reference = findings.study, escape(findings.references[0] if findings.references else "")
    what = (
        f"{escape(study.name)}: means over {len(findings.cultures)} cultures and {len(study.seeds)} seeds, with "
        f"95\\,\\% intervals. Bold: the best of its line. Grey: no difference from {reference} that holds after Holm's "
        f"correction ($p > .05$)."
    )
    warnings = [f"{m.title}: {warning}" for m in findings.measures for warning in findings.warnings(m.name)]
    return " ".join([what, *map(escape, warnings)])


def _body(findings: Findings) -> Iterator[str]:
    for before, measure in zip([None, *findings.measures], findings.measures, strict=False):
        if before is not None and before.group != measure.group:
            yield r"\addlinespace"
        row = [findings.of(variant, measure.name) for variant in findings.variants]
        digits = findings.digits(measure.name)
        head = escape(measure.title) + ARROWS[measure.direction]
        yield _line([head, *(_mean(finding, digits) for finding in row)])
        yield _line(["", *(_interval(finding, digits) for finding in row)])


def _mean(finding: VariantResult, digits: int) -> str:
    if finding.level is None:
        return "--"
    text = escape(number(finding.level.value, digits))
    return _grey(rf"\textbf{{{text}}}" if finding.best else text, finding)


def _interval(finding: VariantResult, digits: int) -> str:
    level = finding.level
    if level is None or level.half is None:
        return ""
    return _grey(rf"\scriptsize {escape(bracketed(level, digits))}", finding)


def _grey(text: str, finding: VariantResult) -> str:
    return rf"\textcolor{{gray}}{{{text}}}" if finding.differs is False else text


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
