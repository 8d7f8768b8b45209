import pytest

from ski_lvlm.demo.actions import class_names
from ski_lvlm.demo.clips import ClipError
from tests.cases.demo_case import EXAMPLE, LONGEST, handlers


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return handlers(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def session(page):
    return page.take_example(EXAMPLE, None)


def test_an_answer_grows_to_what_the_model_says(page, session):
    lvlm = page.answerers[0].lvlm
    tokens = lvlm.encode(lvlm.read(session.clip))
    (whole,) = lvlm.answer([tokens], ["Why?"], max_new_tokens=LONGEST)
    states = list(page.ask(0, session, " Why? ", []))
    assert all(state[0] == {"role": "user", "content": "Why?"} for state in states)
    assert states[-1][1] == {"role": "assistant", "content": whole.text} and len(states) > 2


def test_a_conversation_goes_on_and_each_answer_stands_alone(page, session):
    first = list(page.ask(0, session, "Why?", []))[-1]
    second = list(page.ask(0, session, "Why?", first))[-1]
    assert second[:2] == first and second[3] == first[1]


def test_closing_the_iterator_stops_the_model(page, session):
    answers = page.answerers[0].stream(session.clip, "Why?", max_new_tokens=2000)
    next(answers)
    answers.close()  # returns only when the thread has ended, far before 2000 tokens
    assert next(page.answerers[0].stream(session.clip, "Why?", max_new_tokens=1)) is not None


def test_an_error_of_the_model_reaches_the_visitor(page, session, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no room")

    monkeypatch.setattr(page.answerers[0].lvlm, "answer", fail)
    with pytest.raises(ValueError, match="no room"):
        list(page.ask(0, session, "Why?", []))


@pytest.mark.parametrize("question", ["", "   ", "why " * 300])
def test_questions_have_a_length(page, session, question):
    with pytest.raises(ClipError, match="question of 1 to 1000"):
        next(page.ask(0, session, question, []))


def test_without_a_clip_every_tab_asks_for_one(page):
    for call in (
        lambda: next(page.ask(0, None, "Why?", [])),
        lambda: page.name(0, None, "a,b"),
        lambda: page.joints(None),
    ):
        with pytest.raises(ClipError, match="give a clip first"):
            call()


def test_a_student_gives_every_name_its_probability_and_shows_where_it_looks(page, session):
    shares, heat = page.name(0, session, "drink water, hand waving\nsitting down, drink water")
    assert list(shares) == ["drink water", "hand waving", "sitting down"]
    assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) >= 0
    side = page.namers[0].card.side
    assert len(heat) == 2 and all(picture.shape == (side, side, 3) for picture in heat)


@pytest.mark.parametrize("names", ["", "drink", "drink, drink", ",".join(map(str, range(51)))])
def test_two_to_fifty_names_are_needed(names):
    with pytest.raises(ValueError, match="2 to 50 different names"):
        class_names(names)


def test_a_new_clip_takes_the_place_of_the_last(page):
    first = page.take_example(EXAMPLE, None)
    second = page.take_example(EXAMPLE, first)
    assert not first.folder.exists() and second.folder.exists()
    assert page.take(None, second) is None and not second.folder.exists()


def test_frames_are_those_of_the_first_model(page, session):
    assert len(page.frames(session)) == 4
