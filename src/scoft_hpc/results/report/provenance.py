"""How a study was made: its code, machines, data and settings, as its runs recorded them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from scoft_hpc.results.formats import listed
from scoft_hpc.results.study import Study

CODE = ("scoft_hpc", "commit", "program")
MACHINES = ("host", "device")
ELSEWHERE = ("dirty", "data_digest", "model_digest")

Entries = list[tuple[str, str]]


def provenance_groups(study: Study) -> list[tuple[str, Entries]]:
    """Headed lists of (name, value)."""
    records = [run.provenance for run in study.runs if run.provenance]
    known = dict(shared_values(records))
    code = [(_named(name), known.pop(name)) for name in CODE if name in known]
    machines = [(_named(name), known.pop(name)) for name in MACHINES if name in known]
    others = [(_named(name), value) for name, value in known.items() if name not in ELSEWHERE]
    data = [(culture, _data_digest(study, culture)) for culture in study.cultures]
    models = dict(shared_values({"base model": record.get("model_digest")} for record in records))
    networks = [*models.items(), *_networks(study)]
    return [
        (title, entries)
        for title, entries in (
            ("Code", [*code, *_dirty(records)]),
            ("Machines", machines),
            ("Versions", others),
            ("Data, by its content", data),
            ("Networks, by their content", networks),
        )
        if entries
    ]


def changed_code(study: Study) -> str:
    """Which runs' code was not what their commit says; empty if all was, or none tells."""
    dirty = [run for run in study.runs if run.provenance.get("dirty")]
    if not dirty:
        return ""
    return f"{len(dirty)} of {len(study.runs)} runs were made by code with changes that are in no commit."


def settings(study: Study) -> Iterator[tuple[str, str, bool]]:
    """(name, value, whether it is not the default) of every setting, over the runs that share it."""
    from scoft_hpc.config.compose import to_mapping
    from scoft_hpc.config.plain import flat
    from scoft_hpc.config.schema import RunConfig

    default = dict(flat(to_mapping(RunConfig())))
    named = ("culture", "variant", "seed", "data.digest")
    for key, value in shared_values(
        {k: v for k, v in flat(run.config) if k not in named} for run in study.runs
    ):
        yield key, value, value != str(default.get(key))


def _named(name: str) -> str:
    return name.replace("_", "-") if name == "scoft_hpc" else name.replace("_", " ")


def _dirty(records: Sequence[dict[str, Any]]) -> Entries:
    values = {record.get("dirty") for record in records}
    labels = {True: "changed since that commit", False: "as in that commit"}
    states = [labels[state] for state in (True, False) if state in values]
    return [("working tree", listed(states) + (", by run" if len(states) > 1 else ""))] if states else []


def _data_digest(study: Study, culture: str) -> str:
    """What the plan froze, or else what the job found."""
    for run in study.of(culture=culture):
        digest = run.config.get("data", {}).get("digest") or run.provenance.get("data_digest")
        if digest:
            return str(digest)
    return "–"


def _networks(study: Study) -> Entries:
    """What the scores were taken with."""
    values = shared_values(
        {
            use: " ".join(str(network[key]) for key in ("name", "digest") if network.get(key))
            for use, network in run.scores.get("networks", {}).items()
            if network
        }
        for run in study.runs
    )
    return [(f"scores: {use}", value) for use, value in values]


def shared_values(records: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Each key with its values over all records, most of which agree."""
    together: dict[str, dict[str, None]] = {}
    for record in records:
        for key, value in record.items():
            if value is not None:
                together.setdefault(key, {})[str(value)] = None
    for key, values in together.items():
        yield key, ", ".join(values)
