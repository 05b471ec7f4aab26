"""`survey demo`: the toy study's pages, an application, simulated raters who come over HTTP, and the results beside the
truth that they judged by."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import repeat

import uvicorn
from rich.console import Console
from rich.progress import Progress

from scoft_hpc.console import print_line
from scoft_hpc.errors import ConfigError, RatingError
from scoft_hpc.human_eval import database, make, survey_file, template
from scoft_hpc.human_eval.analysis import command
from scoft_hpc.human_eval.asked import Asked
from scoft_hpc.human_eval.demo import simulation, truth
from scoft_hpc.human_eval.demo.browser import Browser
from scoft_hpc.human_eval.demo.simulation import SimulatedRater
from scoft_hpc.human_eval.demo.visit import Visit
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Ethics, Exclusion, Primary, Survey
from scoft_hpc.human_eval.web import links, serve
from scoft_hpc.human_eval.web.app import create
from scoft_hpc.results import study as studies
from scoft_hpc.results import survey_results
from scoft_hpc.results.study import Study
from scoft_hpc.study.paths import StudyDir, SurveyDir
from scoft_hpc.study.plan_file import display_path

TITLE = "A demo with simulated raters"
NUMBERS = {"raters": (51, 1, 5000), "pages": (12, 1, 500), "seed": (0, 0, 2**31)}
"""Each setting's default, least and greatest number."""
SPAMMERS = 16
"""One in so many ranks without looking."""
AT_ONCE = 8
SEATS = 1
"""Places of each culture that are left for a person to try."""


def demo(asked: Asked) -> int:
    """Do it all; 0 if what was found agrees with the truth.

    Raises:
        ConfigError: for words that cannot be or that an earlier demo was not of, or a study that is no toy.
        RatingError: if the study's runs failed, or it has a survey of people.
    """
    console = Console(highlight=False, soft_wrap=True)
    words = _numbers(asked.words)
    study, folder = _study(asked), asked.study.survey
    quotas = _shared_out(words["raters"], study.cultures)
    _write_survey(study, folder, quotas, words)
    database_word = {key: value for key, value in asked.words.items() if key == "database"}
    whole = Asked(asked.study, tuple(study.cultures), database_word)
    make.make(whole)
    survey, pages = survey_file.load(folder)
    true = truth.world(study, survey)
    raters = simulation.raters(true, quotas, spammers=words["raters"] // SPAMMERS, seed=words["seed"])
    with closing(Store.open(survey, pages, database.url_of(folder, asked.words.get("database")))) as store:
        if begun := len(store.participants()):
            print_line(console, f"{begun} raters have answered already: what they said is analysed again")
        else:
            with _served(store, survey, folder) as address:
                _ask(console, address, raters, store)
    command.results(whole)
    found = survey_results.read(folder, [])
    assert found is not None
    compared = truth.compare(found, raters)
    for told in truth.tables(compared, found.against):
        console.print(told)
    print_line(
        console,
        f"try it   python -m scoft_hpc.survey serve {display_path(asked.study.path)}"
        f"   {SEATS} place of each culture is left",
    )
    return 0 if compared.agrees else RatingError.exit_code


def _shared_out(raters: int, cultures: Sequence[str]) -> dict[str, int]:
    """51 raters of five cultures: 11, 10, 10, 10, 10.

    Raises:
        ConfigError: for fewer raters than cultures.
    """
    if raters < len(cultures):
        raise ConfigError(f"raters={raters}: expected one of each of {len(cultures)} cultures at least.")
    each, more = divmod(raters, len(cultures))
    return {culture: each + (i < more) for i, culture in enumerate(cultures)}


def _study(asked: Asked) -> Study:
    """The toy study, finished: trained now where it is not.

    Raises:
        ConfigError: if it is of another world, whose truth nobody knows. RatingError: if its runs failed.
    """
    if not _finished(asked.study):
        words = ["culture=all", "ablation=loss_terms", "wandb.mode=disabled"]
        words += [f"study={asked.study.name}", f"output={asked.study.path.parent}"]
        code = subprocess.run([sys.executable, "-m", "scoft_hpc.sweep", *words], check=False).returncode
        if code:
            raise RatingError(f"the demo's study did not finish: the sweep above ended with {code}.")
    study = studies.read(asked.study)
    if any(run.config["data"]["name"] != "toy" for run in study.runs):
        raise ConfigError(f"{study.name} is no study of the toy world, where alone the truth is known.")
    return study


def _finished(folder: StudyDir) -> bool:
    return folder.plan.exists() and all(run.folder.result.exists() for run in studies.read(folder).runs)


def _write_survey(
    study: Study, folder: SurveyDir, quotas: Mapping[str, int], words: Mapping[str, int]
) -> None:
    """The survey file of the demo, unless it is there.

    Raises:
        RatingError: if the study has a survey that is none of the demo's.
        ConfigError: if it has the demo of other raters, whose answers have another truth.
    """
    systems = make.default_systems(study)
    survey = Survey(
        title=TITLE,
        study=study.name,
        systems=systems,
        quotas={culture: number + SEATS for culture, number in quotas.items()},
        ethics=Ethics(pilot=True),
        primary=Primary(system=systems[-1], against=systems[0]),
        pages=words["pages"],
        attention=min(Survey.attention, words["pages"]),
        # Nobody: simulated raters take no time, and what is true is true of all of them.
        exclusion=Exclusion(consistency=-1.0, seconds=0.0, answered=0.0),
        seed=words["seed"],
    )
    if not folder.file.exists():
        folder.path.mkdir(parents=True, exist_ok=True)
        template.write(folder.file, survey)
        return
    there = survey_file.read(folder.file)
    if there.title != TITLE:
        raise RatingError(
            f"{folder.path} is a survey of people, which simulated raters have no part in; name another study "
            f"of the toy world, or none: scoft-hpc survey demo."
        )
    if (there.quotas, there.pages, there.seed) != (survey.quotas, survey.pages, survey.seed):
        raters = sum(there.quotas.values()) - SEATS * len(there.quotas)
        raise ConfigError(
            f"{folder.path} holds a demo with raters={raters} pages={there.pages} seed={there.seed}; give these words "
            f"again, or remove the folder for another."
        )


@contextmanager
def _served(store: Store, survey: Survey, folder: SurveyDir) -> Iterator[str]:
    """The application at work on this machine; its address."""
    with closing(serve.listening(serve.HOST, 0)) as listener:
        address = f"http://{serve.HOST}:{listener.getsockname()[1]}"
        app = create(store, survey, folder.images, links.secret(folder.secret), address)
        server = uvicorn.Server(serve.settings(app))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


def _ask(console: Console, address: str, raters: Sequence[SimulatedRater], store: Store) -> None:
    """All raters enrol one after another, so that each gets the same pages each time; then they answer side by side."""
    with ExitStack() as open_, Progress(console=console, transient=True) as progress:
        line = progress.add_task(f"{len(raters)} raters answer", total=len(raters))
        visits = []
        for rater in raters:
            browser = open_.enter_context(Browser(address))
            visits.append(Visit.join(browser, rater.culture))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(_answer, raters, visits, repeat(store)):
                progress.advance(line)


def _answer(rater: SimulatedRater, visit: Visit, store: Store) -> None:
    """A rater's whole way. What a person sees on a page, these take from the key: whose pictures they are."""
    enrolled = store.rater(visit.rater)
    assert enrolled is not None
    tasks = store.tasks(enrolled)[: rater.leaves_after]
    visit.go_on()
    while visit.place is not None and visit.place[0] < len(tasks):
        position, question = visit.place
        task = tasks[position]
        systems = {one.name: one.system for one in task.page.pictures}
        said = rater.answer(systems, question, task.kind, task.page.id)
        if said.cannot_judge:
            visit.follow(visit.cannot_judge())
        else:
            visit.follow(visit.save(said.ranks, said.ratings, said.offended))


def _numbers(words: Mapping[str, str]) -> dict[str, int]:
    """The demo's settings.

    Raises:
        ConfigError: for those that cannot be, all at once.
    """
    texts = {name: words.get(name, str(default)) for name, (default, _, _) in NUMBERS.items()}
    faults = [
        f"{name}={text}: expected a whole number from {least} to {most}, such as {name}={default}."
        for (name, text), (default, least, most) in zip(texts.items(), NUMBERS.values(), strict=True)
        if not (text.isascii() and text.isdecimal() and least <= int(text[:11]) <= most)
    ]
    if faults:
        raise ConfigError.from_messages(faults)
    return {name: int(text) for name, text in texts.items()}
