"""`survey demo`: simulated raters answer the toy study's survey over HTTP; compare the results with the truth."""

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
from scoft_hpc.human_eval import database, make, survey_yaml
from scoft_hpc.human_eval.analysis import command
from scoft_hpc.human_eval.command_args import CommandArgs
from scoft_hpc.human_eval.demo import simulation, truth
from scoft_hpc.human_eval.demo.rater_client import RaterClient
from scoft_hpc.human_eval.demo.simulation import SimulatedRater
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Ethics, Exclusion, PrimaryComparison, Survey
from scoft_hpc.human_eval.web import rater_sessions, serve
from scoft_hpc.human_eval.web.app import create
from scoft_hpc.results import study as studies
from scoft_hpc.results import survey_results
from scoft_hpc.results.study import Study
from scoft_hpc.study.paths import StudyDir, SurveyDir
from scoft_hpc.study.plan_file import display_path

TITLE = "A demo with simulated raters"
SETTINGS = {"raters": (51, 1, 5000), "pages": (12, 1, 500), "seed": (0, 0, 2**31)}
"""(default, minimum, maximum) of each setting."""
RATERS_PER_SPAMMER = 16
MAX_CONCURRENT_RATERS = 8
FREE_PLACES = 1
"""Places per culture that remain for the user to try the survey."""


def demo(args: CommandArgs) -> int:
    """Run the demo; returns 0 if the results agree with the truth.

    Raises:
        ConfigError: for invalid settings, other settings than an earlier demo's, or a study of another world.
        RatingError: if the study's runs failed, or it has a survey of real raters.
    """
    console = Console(highlight=False, soft_wrap=True)
    settings = _settings(args.settings)
    study, folder = _study(args), args.study.survey
    quotas = _divide(settings["raters"], study.cultures)
    _write_survey(study, folder, quotas, settings)
    database_setting = {key: value for key, value in args.settings.items() if key == "database"}
    all_cultures = CommandArgs(args.study, tuple(study.cultures), database_setting)
    make.make(all_cultures)
    survey, pages = survey_yaml.load(folder)
    worths = truth.true_worths(study, survey)
    spammers = settings["raters"] // RATERS_PER_SPAMMER
    raters = simulation.draw_raters(worths, quotas, spammers=spammers, seed=settings["seed"])
    with closing(Store.open(survey, pages, database.url_of(folder, args.settings.get("database")))) as store:
        if n_started := len(store.participants()):
            print_line(console, f"{n_started} raters have answered already: their answers are analysed again")
        else:
            with _served(store, survey, folder) as address:
                _collect_answers(console, address, raters, store)
    command.results(all_cultures)
    results = survey_results.read(folder, [])
    assert results is not None
    report = truth.compare(results, raters)
    for part in truth.render(report, results.against):
        console.print(part)
    serve_command = f"python -m scoft_hpc.survey serve {display_path(args.study.path)}"
    print_line(console, f"try it   {serve_command}   {FREE_PLACES} place per culture is free")
    return 0 if report.agrees else RatingError.exit_code


def _divide(raters: int, cultures: Sequence[str]) -> dict[str, int]:
    """Divide raters evenly: 51 of five cultures are 11, 10, 10, 10, 10.

    Raises:
        ConfigError: for fewer raters than cultures.
    """
    if raters < len(cultures):
        raise ConfigError(f"raters={raters}: expected at least one per culture, {len(cultures)}.")
    quotient, remainder = divmod(raters, len(cultures))
    return {culture: quotient + (i < remainder) for i, culture in enumerate(cultures)}


def _study(args: CommandArgs) -> Study:
    """The finished toy study; it is trained first if necessary.

    Raises:
        ConfigError: if it is not of the toy world. RatingError: if its runs failed.
    """
    if not _finished(args.study):
        overrides = ["culture=all", "ablation=loss_terms", "wandb.mode=disabled"]
        overrides += [f"study={args.study.name}", f"output={args.study.path.parent}"]
        code = subprocess.run([sys.executable, "-m", "scoft_hpc.sweep", *overrides], check=False).returncode
        if code:
            raise RatingError(f"the demo's study did not finish: the sweep above ended with {code}.")
    study = studies.read(args.study)
    if any(run.config["data"]["name"] != "toy" for run in study.runs):
        raise ConfigError(
            f"{study.name} is not a study of the toy world, the only one whose truth is known; name a study of the toy "
            f"world, or none: scoft-hpc survey demo."
        )
    return study


def _finished(folder: StudyDir) -> bool:
    return folder.plan.exists() and all(run.folder.result.exists() for run in studies.read(folder).runs)


def _write_survey(
    study: Study, folder: SurveyDir, quotas: Mapping[str, int], settings: Mapping[str, int]
) -> None:
    """Write the demo's survey file unless it exists.

    Raises:
        RatingError: if the study has a survey of real raters.
        ConfigError: if it has a demo with other settings, whose answers have another truth.
    """
    systems = make.default_systems(study)
    survey = Survey(
        title=TITLE,
        study=study.name,
        systems=systems,
        quotas={culture: quota + FREE_PLACES for culture, quota in quotas.items()},
        ethics=Ethics(pilot=True),
        primary=PrimaryComparison(system=systems[-1], against=systems[0]),
        pages=settings["pages"],
        attention=min(Survey.attention, settings["pages"]),
        # Exclude no rater: simulated raters take no time, and the truth is that of all of them.
        exclusion=Exclusion(consistency=-1.0, seconds=0.0, answered=0.0),
        seed=settings["seed"],
    )
    if not folder.file.exists():
        folder.path.mkdir(parents=True, exist_ok=True)
        survey_yaml.write(folder.file, survey)
        return
    existing = survey_yaml.read(folder.file)
    if existing.title != TITLE:
        raise RatingError(
            f"{folder.path} is a survey of real raters, which simulated raters must not answer; name another study "
            f"of the toy world, or none: scoft-hpc survey demo."
        )
    if (existing.quotas, existing.pages, existing.seed) != (survey.quotas, survey.pages, survey.seed):
        raters = sum(existing.quotas.values()) - FREE_PLACES * len(existing.quotas)
        raise ConfigError(
            f"{folder.path} has a demo with raters={raters} pages={existing.pages} seed={existing.seed}; repeat "
            f"these settings, or remove the folder to start another."
        )


@contextmanager
def _served(store: Store, survey: Survey, folder: SurveyDir) -> Iterator[str]:
    """Serve the application on this machine; yields its address."""
    with closing(serve.open_socket(serve.HOST, 0)) as listener:
        address = f"http://{serve.HOST}:{listener.getsockname()[1]}"
        app = create(store, survey, folder.images, rater_sessions.secret(folder.secret), address)
        server = uvicorn.Server(serve.uvicorn_config(app))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


def _collect_answers(console: Console, address: str, raters: Sequence[SimulatedRater], store: Store) -> None:
    """Raters enrol one after another, so that each always gets the same pages; then they answer concurrently."""
    with ExitStack() as stack, Progress(console=console, transient=True) as progress:
        line = progress.add_task(f"{len(raters)} raters answer", total=len(raters))
        clients = []
        for rater in raters:
            clients.append(stack.enter_context(closing(RaterClient(address))))
            clients[-1].join(rater.culture)
        with ThreadPoolExecutor(MAX_CONCURRENT_RATERS) as pool:
            for _ in pool.map(_answer, raters, clients, repeat(store)):
                progress.advance(line)


def _answer(rater: SimulatedRater, client: RaterClient, store: Store) -> None:
    """Give all answers of a rater; the store says which system drew an image."""
    enrolled = store.rater(client.rater)
    assert enrolled is not None
    tasks = store.tasks(enrolled)[: rater.leaves_after]
    client.open("/pages")
    while client.place is not None and client.place[0] < len(tasks):
        position, question = client.place
        task = tasks[position]
        systems = {image.name: image.system for image in task.page.images}
        client.follow(client.save(rater.answer(systems, question, task.kind, task.page.id)))


def _settings(texts: Mapping[str, str]) -> dict[str, int]:
    """The demo's settings, with defaults.

    Raises:
        ConfigError: for invalid ones, all reported together.
    """
    values = {name: texts.get(name, str(default)) for name, (default, _, _) in SETTINGS.items()}
    faults = [
        f"{name}={text}: expected a whole number from {low} to {high}, such as {name}={default}."
        for (name, text), (default, low, high) in zip(values.items(), SETTINGS.values(), strict=True)
        if not (text.isascii() and text.isdecimal() and low <= int(text[:11]) <= high)
    ]
    if faults:
        raise ConfigError.from_messages(faults)
    return {name: int(text) for name, text in values.items()}
