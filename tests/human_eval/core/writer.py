"""A process that saves answers of one rater, page by page and round after round, and prints each that was saved.

python writer.py URL RATER ROUNDS
"""

from __future__ import annotations

import sys

from scoft_hpc.human_eval.answers import RaterAnswer
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Survey
from surveys import SYSTEMS, pages_of

SURVEY = Survey(title="Images", study="a-study", systems=SYSTEMS, quotas={"china": 3, "korea": 20})


def main() -> None:
    url, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store = Store.open(SURVEY, pages_of("china", "korea"), url)
    rater = store.rater(name)
    assert rater is not None
    tasks = store.tasks(rater)
    say("ready")
    sys.stdin.readline()
    for number in range(rounds):
        for task in tasks:
            answer = RaterAnswer(dict.fromkeys(task.order, 1 + number % 4), {}, {}, seconds=1.0)
            for question in task.questions:
                store.save(rater, task.position, question, answer)
                say(f"{task.position} {question} {1 + number % 4}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
