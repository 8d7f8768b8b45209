"""Reading judges' replies: a long table of them, each with the score that is in it beyond doubt, or None."""

import time

import pytest

from eval.judges.parse_score import parse_score

READ = {
    # the number alone
    "4": 4,
    " 4.\n": 4,
    "0": 0,
    "5.0": 5,
    "**3**": 3,
    "[2]": 2,
    "`4`": 4,
    "_1_": 1,
    "\ufeff{\"score\": 4}": 4,
    # JSON, and what takes itself for it
    '{"score": 4}': 4,
    '{"score":4.8}': 4.8,
    "{'score': 4.8}": 4.8,
    "{''score': 4.8}": 4.8,
    '{"score": "4"}': 4,
    '{"score": "4/5"}': 4,
    '{"score": "4 out of 5"}': 4,
    '{ "Score" : 0 }': 0,
    "{score: 2}": 2,
    '{"score": 3, "reason": "2 of 4 events"}': 3,
    '{"reason": "3 people, 2 chairs", "score": 1}': 1,
    '{"max_score": 5, "score": 2}': 2,
    '{"score": 4, "confidence": 0.9}': 4,
    '{"result": {"score": 3}}': 3,
    '[{"score": 2}]': 2,
    '{"answer": "{\\"score\\": 4}"}': 4,
    '{"score": 4': 4,
    '{"score": 4}\n{"score": 4}': 4,
    '{"score": 4.0}, that is {"score": 4}': 4,
    '{"score": 4}' + "\n" * 500: 4,
    '```json\n{"score": 3}\n```': 3,
    "```\n3\n```": 3,
    'Sure! Here it is:\n{"score": 5}\nAnything else?': 5,
    # prose that names it
    "Score: 4/5": 4,
    "Score: 4.0/5.0": 4,
    "Score = 3.5": 3.5,
    "**Score:** 4": 4,
    "### Score: 4": 4,
    "score is 2.": 2,
    "SCORE 3": 3,
    "The score is 4 out of 5.": 4,
    "Rating: 1": 1,
    "score: 4, because 2 things are missing": 4,
    "score: 4 - good": 4,
    "score: 4 ... so my final score: 4": 4,
    "Score: 4/5 (80%)": 4,
    "4 out of 5": 4,
    "I'd give it 3/5, since two things are missing": 3,
    "The score is 4.\nThe sofa is missing.": 4,
    "So the final score is 4.": 4,
    "Score: 5/5 (100%)": 5,
    "Score: 4, but it misses the sofa": 4,
    "I give it a score of 4.": 4,
    "All events are there. I would give it a score of 5 out of 5.": 5,
    "4/5. It names 2 people.": 4,
    # JSON whose other texts hold numbers and words of scores
    '{"score": 4, "explanation": "a score of 5 would need the sofa"}': 4,
    '{"explanation": "2 out of 5 events, score: 1 for those", "score": 3}': 3,
    '```json\n{"score": 2, "why": "8/10 of the words"}\n```': 2,
    '{"score": 4, "scale": "0-5"}': 4,
    '{"score": 4, "out_of": 5}': 4,
    # scales that are told along with it
    "Score (0-5): 4": 4,
    "Score (out of 5): 4": 4,
    "4 (out of 5)": 4,
    "Score: 4 (0 = worst, 5 = best)": 4,
    "On a scale from 0 to 5 my score: 2": 2,
    # thoughts are not replies
    "<think>score: 1? or 2?</think>\n{\"score\": 3}": 3,
    "<thinking>score: 1</thinking>{\"score\": 2}": 2,
    "maybe score: 1, or score: 2</think>{\"score\": 3}": 3,
    "<think></think>4": 4,
    '{"score": 4}<think>was that right? score: 2</think>': 4,
    "[THINK]Maybe score: 2?[/THINK]{\"score\": 4}": 4,
    "<seed:think>Score: 2 is low.</seed:think>{\"score\": 4}": 4,
    "<thought>\nScore: 2?\n</thought>\n\n{\"score\": 4}": 4,
    "<analysis>Score: 2?</analysis>\n4": 4,
    "◁think▷Score: 2?◁/think▷4": 4,
    '<|channel|>analysis<|message|>Score: 2?<|end|><|start|>assistant<|channel|>final<|message|>{"score": 4}<|end|>': 4,
    'analysisScore: 2?assistantfinal{"score": 4}': 4,
    '<|channel>thought\nScore: 2?<channel|>{"score": 4}': 4,
    '<think>Hm.</think>Score: 2 is too low, it names all.\n```json\n{"score": 4}\n```': 4,
    '<think>Hm.</think>A score of 5 would need the sofa. {"score": 3, "why": "score: 1"}': 3,
    # what Python prints
    "{'pred': 'yes', 'score': 4.8}": 4.8,
    "{'score': 4.8, 'reason': 'a score of 5 would need the sofa'}": 4.8,
    "```python\n{'score': 4}\n```": 4,
    "{'score': 4,}": 4,
    "[{'score': 4}]": 4,
    '{"score": 4,}': 4,
    "{“score”: 4}": 4,
    '{"final_score": 4}': 4,
    '{"Overall Rating": "4/5"}': 4,
    # habits of judges
    "[[4]]": 4,
    "Good.\n\n[[4.5]]": 4.5,
    "Good.\n\nRating: [[4]]": 4,
    "Final verdict: [[4/5]]": 4,
    "I'd not say [[5]], since the sofa is missing.\n**[[4]]**": 4,
    "The final score is \\boxed{4}.": 4,
    "It is right.\n\\[\n\\boxed{4}\n\\]": 4,
    "$\\boxed{\\text{Score: }4}$": 4,
    "Feedback: all is there. [RESULT] 4": 4,
    "[RESULT]: 4": 4,
    "[[SCORE]] 3": 3,
    "<score>4</score>": 4,
    "<answer>\n{\"score\": 4}\n</answer>": 4,
    "<|begin_of_box|>4<|end_of_box|>": 4,
    "Grade: 4": 4,
    "**Final Answer:** 4/5": 4,
    "4<|im_end|>": 4,
    "4</s>": 4,
}  # fmt: skip
UNREAD = [
    # nothing
    "", "   ", "\x00", "{", "{}", "[]", "null", "true", "N/A", "I cannot judge this.", "As an AI I must decline.",
    # words and other scripts
    "five", "score: five", "score: four", "score 4th", "score: ٤", "score: ４", "4️⃣", "score: IV", "★★★★",
    # cut off, or no number
    "score:", '{"score": ', '{"score": "', '{"score": null}', '{"score": true}', '{"score": {}}', '{"score": []}',
    "NaN", '{"score": NaN}', '{"score": Infinity}', '{"score": -Infinity}', '{"score": ""}', '{"score": "N/A"}',
    # out of range, or of another scale
    "45", "-1", "6", "score: 45", "score: -1", "score: -0.5", "score: 5.1", "score: 8/10", "8 out of 10", "score: 4/10",
    "score: 4/5.5", "4/100", "80%", "score: 4%", "score: 80 %", "score: 1e3", "score: 0x4", "score: 4e0", "score: 4_5",
    "9" * 400, "score: " + "9" * 400, "score: 4" + "0" * 400,
    # decimal commas, ranges, lists, tolerances
    "score: 4,5", "4,5", "score: 3-4", "score: 3–4", "score: 3 — 4", "score: 3..4", "score: 3 to 4", "score: 3 or 4",
    "3 or 4", "score: 3 and 4", "score: 3, 4", "score: 4+", "score: 4±1", "score: 3~4", "score: 0-5", "1 2 3", "[1, 2]",
    # two opinions
    "score: 2. No, score: 4", "2/5 or 3/5", '{"score": 4} {"score": 3}', '{"score": 4, "score": 2}', "4? or 2?",
    "Score: 4. Rating: 3", '{"score": 4, "rating": 3}',
    # a number, but not the score
    '{"points": 4}', '{"max_score": 5}', '{"scores": {"detail": 4}}', "underscore 4", "There are 3 people.",
    "score 1: 4/5 score 2: 3/5", "page 4 of 5 is missing, I cannot grade", "He scored 3 goals", "step 4",
    "The F-score is 0.8", "BLEU score: 0.8", "Maximum score: 5", "The best score is 5.", "The confidence score is 4.",
    "It mentions 2 out of 5 events correctly.", "4 out of 5 facts are wrong", "4/5 facts are wrong",
    "The events that it names are 2 out of 5.", "The man shows 4/5 fingers.", "Events: 2/5",
    # a score that it did not get, or would get if
    "A score of 5 would require the sofa to be mentioned, so I give it 3.",
    "To get a score of 5 it must name every point. I give it a 3/5.",
    "I cannot give a score of 5 here.", "I cannot give a score of 5.", "I can't give it 5/5.",
    "Score of 0 means not met at all. The caption is mostly right: 4.", "If I give it a score of 5.",
    "I don't think the score is 5.", "The score is 5 only if all is named; here it is 3.", "The score is 5, if I may.",
    "Score: 4 would be too high.", "I cannot say score: 4", "Were it complete, I would give it 5/5.",
    "I'd give it 5/5, but only if the sofa were named.", "Score: 4. A score of 5 would need the sofa.",
    # another scale named
    "Score: 4 (out of 10)", "score: 4 on a scale of 1 to 10", "score: 4 (scale: 1-5)", "Score: 4 (10 is best)",
    "Score: 4 (max. 10)", "Out of ten, score: 4", "Score: 4, that is 8/10", "Score: 4 (out of 4)",
    '{"score": 4, "out_of": 10}', '{"score": 4, "scale": "1 to 10"}', '{"score": 2, "max_score": 10}',
    "{'score': 4, 'out_of': 10}", '{"score": "4 out of 10"}',
    # JSON with more than one score, or one that is no number
    '{"score": 4, "detail": {"score": 3}}', '{"score": "4, or 3"}', '{"score": "four", "why": "score: 4"}',
    # marks that name no score, another scale, or two
    "[[4]]\n\n[[3]]", "[[4]] or [[3]]", "[[45]]", "[[8/10]]", "[[3-4]]", "[[A]]", "Maximum: [[5]]", "I'd say [[3]]",
    "Rating: [[5]] would be too much", "\\boxed{45}", "\\boxed{\\frac{4}{5}}", "Answer: 4",
    "The answer deserves \\boxed{4}", "If all were named: [RESULT] 5", "[RESULT] 4/10", "Result: 4",
    "Number of events: 4", "It has 4 parts:\n\n4",
    "<score>4</score><score>3</score>", "Rate it 1 to 10.\n[[4]]", "On a scale of 1-7\n\\boxed{4}",
    # Python with two scores, or of another scale
    "{'score': 4, 'score': 2}", "{'score': True}", "{'score': [4]}", "{'score': -1}", "{'score': 4, 'max': 10}",
    "{'score': 2 + 2}", "{'score': '4 or 3'}", "{'final_score': 4, 'score': 3}",
    # thoughts, then two objects, half a one, or none at the end
    '<think>x</think>{"score": 4} {"score": 3}', '<think>x</think>Score: 2. {"score": 4',
    '<think>x</think>{ score: 2? {"score": 4}, no', '<think>x</think>Score: 2 {"score": 4} no, wait',
    # thoughts without a reply
    "[THINK]score: 4", "<thought>score: 4", "<|channel|>analysis<|message|>score: 4", "score: 4</think>",
    "<think>score: 4", "<think>score: 4</think>", "<reasoning>4</reasoning>",
]  # fmt: skip


@pytest.mark.parametrize("reply", READ)
def test_replies_with_a_score(reply):
    assert parse_score(reply) == READ[reply]


@pytest.mark.parametrize("reply", UNREAD)
def test_replies_without_a_score_are_none_not_zero(reply):
    assert parse_score(reply) is None


def test_the_table_is_long():
    assert len(READ) > 50 and len(UNREAD) > 80


@pytest.mark.parametrize("piece", ["score: ", "0 to 5 ", "<think>", "4/", "{[\"'", "9", "score of is of ", "</think>"])
@pytest.mark.parametrize("times", [1_000, 100_000])
def test_long_nonsense_is_read_in_no_time(piece, times):
    assert parse_score(piece * times) is None


@pytest.mark.parametrize(
    ("reply", "score"), [('{"score": 4', None), ("score: 4.", None), ("4\n", None), ('{"score": 4}', 4), ("4/5, as", 4)]
)
def test_a_number_at_the_end_of_a_reply_that_was_cut_may_not_be_whole(reply, score):
    assert parse_score(reply, cut=True) == score


FLOODS = [
    '"score"' + " " * 19_000, "rating:" + "\n" * 19_000, "score" + "*" * 19_000 + " x", "on a scale" + " " * 19_000,
    "I give it" + " the" * 4_700, "I give " * 2_800, "score: 4 if " * 1_600, "4/5 and " * 2_400, '{"a":' * 3_900,
    "[" * 19_000, "<think>a</thinking>" * 1_000, "score of 4, " * 1_600, "0 to " * 3_900, "." * 19_000,
    "if score: 4" * 1_700, "[[4]] " * 3_300, "\\boxed{" * 2_800, "$ " * 9_900, "# " * 9_900 + "x", "[RESULT] " * 2_200,
    "{'a':" * 3_900, "{" * 19_000, "-" * 19_000, "{'score': " + "-" * 19_000, "<score>4" * 2_400, "</s>" * 4_900 + "x",
    "\\text{" * 3_300, "<|begin_of_box|>" * 1_200, "final\n" * 3_300, "[1," * 6_600, "'\n" * 9_900, "(" * 19_000,
]  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_anything_costs_no_time(flood):
    assert any(_seconds(flood) < 0.5 for _ in range(5)), "20 ms, unless Python happens to collect its garbage"


def _seconds(flood):
    started = time.process_time()
    assert parse_score(flood) is None
    return time.process_time() - started
