"""Made-up multiple-choice questions in LLAVIDAL's formats, with known answers, and models that are planted."""

import random

from eval.choosing.items import LETTERS
from eval.choosing.model import Evidence

ACTIONS = ["walk", "sit down", "read a book", "drink from a cup", "use a laptop", "clean dishes"]


def llavidal_record(number, *, video=None, actions=4):
    """A question as in LLAVIDAL's four benchmarks. The right option is at each letter equally often."""
    options = [ACTIONS[(number + k) % len(ACTIONS)] for k in range(actions)]
    return {
        "video_filename": f"{video or f'clip_{number}'}.mp4",
        "question": f"What does person {number} do?",
        "answer_choices": dict(zip(LETTERS, options)),
        "ground_truth_letter": LETTERS[number % actions],
    }


class PlantedModel:
    """A model that always knows, guesses or says one letter, in the place of the real one."""

    def __init__(self, kind, *, reply=None):
        self.kind, self.reply, self.asked = kind, reply, []

    identity, missing = "planted", {}

    def description(self):
        return {}

    def evidence(self, tasks):
        for task in (task for by_video in tasks.values() for task in by_video):
            self.asked.append(task)
            count = len(task.order)
            place = {
                "right": task.order.index(task.item.right),
                "first": 0,
                "random": random.Random(repr(task)).randrange(count),
            }[self.kind]
            values = [(-1.0 if position == place else -9.0, 2) for position in range(count)]
            yield task, Evidence(LETTERS[place] if self.reply is None else self.reply, False, values, values), ""
