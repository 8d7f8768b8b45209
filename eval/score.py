"""Grade captions by the five metrics of Video-ChatGPT, with an LLM or offline.

Grades are 0 to 5 and reported as mean x 20.

    python eval/score.py --predictions predictions.json --judge llama3.1       # Ollama, also ollama:MODEL
    python eval/score.py --predictions predictions.json --judge openai:MODEL --base_url http://HOST:PORT/v1
    python eval/score.py --predictions predictions.json --judge hf:MODEL       # in this process
    python eval/score.py --predictions predictions.json --judge similarity     # offline, not the paper's judge
    python eval/score.py --predictions predictions.json --rubrics Video-ChatGPT    # published prompts, from a clone
    python eval/score.py --predictions predictions.json --judge openai:MODEL --score expected   # by probabilities
    python eval/score.py --judge llama3.1 --ping                               # check that the judge answers
    python eval/score.py --compare SCORES_A SCORES_B                           # two models on the same items
    python eval/score.py --agreement SCORES_A SCORES_B                         # two judges, or repeats of one
    python eval/score.py --aggregate FILE                                      # a published score file, or our own
    python eval/score.py --aggregate correctness=FILE detail=FILE ...          # one published file a metric
    python eval/score.py --predictions temporal.json --metrics temporal        # as Video-ChatGPT does with its files

Without --predictions the last quickstart's are graded. OUT/plan.json lists the items first, OUT/judgements.jsonl gets
each grade at once, and OUT/scores.json comes last. The same command resumes an interrupted run, and asks again only for
failed grades. Replies that could not be read are asked for again at a temperature above 0, or with --again, as the same
question at 0 would bring the same reply. A missing grade counts as unscored, never as 0. The exit code is 1 if more
than 1 % of a metric are unscored, or if nothing was scored. With --scores integer, decimals in replies are kept and
counted. The similarity judge (MiniLM cosine) is comparable only with itself.
"""

from collections.abc import Sequence

from eval.judges.open_judge import open_judge
from eval.results.score_files import score_file
from eval.scoring.aggregate import aggregate
from eval.scoring.agreement import agreement
from eval.scoring.compare import compare
from eval.scoring.flags import arguments, judge_settings
from eval.scoring.grade import grade
from eval.scoring.ping import ping
from ski_lvlm.cli import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the mode that the flags select, and return its exit code."""
    options = arguments(argv, description=__doc__ or "")
    if options.compare:
        first, second = options.compare
        return compare(first, second, options.out)
    if options.agreement:
        first, second = options.agreement
        return agreement(first, second, options.out)
    if options.aggregate:
        return aggregate([score_file(text) for text in options.aggregate], options.out)
    judge = open_judge(options.judge, judge_settings(options))
    return ping(judge) if options.ping else grade(judge, options)


if __name__ == "__main__":
    run(main)
