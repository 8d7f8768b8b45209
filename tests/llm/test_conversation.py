import pytest

from ski_lvlm.datasets.instruction_file import Turn
from ski_lvlm.llm.chat_template import VICUNA_SYSTEM
from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS, encode, marked, render
from tests.cases.tiny_llm import CHATML, tiny_tokenizer

QUESTION = Turn("user", "What is the person doing?\n<video>\n<skeleton>")
ANSWER = Turn("assistant", "A person is drinking water.")
COUNTS = {"video": 3, "skeleton": 2}


@pytest.fixture(params=[CHATML, None], ids=["chatml", "vicuna"])
def tokenizer(request):
    return tiny_tokenizer(chat_template=request.param)


def trained_text(encoded, tokenizer):
    return tokenizer.decode(encoded.labels[encoded.labels != IGNORED])


def test_only_the_answers_are_trained_whatever_the_template(tokenizer):
    turns = [QUESTION, ANSWER, Turn("user", "And then?"), Turn("assistant", "It sits down.")]
    text = trained_text(encode(turns, tokenizer, token_counts=COUNTS), tokenizer)
    assert "drinking water" in text
    assert "sits down" in text
    assert "What is" not in text
    assert "And then" not in text
    assert "assistant" not in text.lower().replace("<|im_end|>", "")


def test_the_end_of_an_answer_is_trained_so_that_generation_stops(tokenizer):
    encoded = encode([QUESTION, ANSWER], tokenizer, token_counts=COUNTS)
    assert tokenizer.eos_token_id in encoded.labels


def test_the_prompt_of_inference_is_the_beginning_of_the_training_sample(tokenizer):
    prompt = encode([QUESTION], tokenizer, token_counts=COUNTS)
    trained = encode([QUESTION, ANSWER], tokenizer, token_counts=COUNTS)
    assert trained.ids[: len(prompt.ids)].tolist() == prompt.ids.tolist()
    assert (trained.labels[: len(prompt.ids)] == IGNORED).all()
    assert (trained.labels[len(prompt.ids) :] != IGNORED).all()


def test_placeholders_become_as_many_positions_as_there_are_tokens(tokenizer):
    encoded = encode([QUESTION, ANSWER], tokenizer, token_counts=COUNTS)
    assert (encoded.ids == PLACEHOLDER_IDS["video"]).sum() == 3
    assert (encoded.ids == PLACEHOLDER_IDS["skeleton"]).sum() == 2
    assert (encoded.labels[encoded.ids < 0] == IGNORED).all()


def test_video_comes_after_the_question_and_before_the_skeleton(tokenizer):
    """Paper: [USER: Q_t Q_v Q_s, Assistant:]."""
    text = marked(encode([QUESTION, ANSWER], tokenizer, token_counts=COUNTS), tokenizer)
    question, video, skeleton = text.index("person doing"), text.index("⟨video × 3⟩"), text.index("⟨skeleton × 2⟩")
    assert question < video < skeleton < text.index("⟦")


def test_an_absent_modality_leaves_no_trace(tokenizer):
    without = encode([QUESTION, ANSWER], tokenizer, token_counts={"video": 3})
    never = encode([Turn("user", "What is the person doing?\n<video>"), ANSWER], tokenizer, token_counts={"video": 3})
    assert without.ids.tolist() == never.ids.tolist()


def test_vicuna_reads_as_the_published_template():
    tokenizer = tiny_tokenizer(chat_template=None)
    text = "".join(piece.text for piece in render([Turn("user", "Hi"), Turn("assistant", "Hello")], tokenizer))
    assert text == f"{VICUNA_SYSTEM} USER: Hi ASSISTANT: Hello{tokenizer.eos_token}"


def test_vicuna_can_be_asked_for_where_the_tokenizer_has_its_own():
    pieces = render([Turn("user", "Hi")], tiny_tokenizer(), chat_template="vicuna")
    assert pieces[-1].text.endswith("USER: Hi ASSISTANT:")


def test_a_template_that_rewrites_earlier_turns_is_refused():
    rewriting = "{% for m in messages %}{{ messages|length }}{{ m['content'] }}{% endfor %}"
    with pytest.raises(ValueError, match="rewrites earlier turns.*--chat_template vicuna"):
        render([Turn("user", "a"), Turn("assistant", "b")], tiny_tokenizer(chat_template=rewriting))


def test_marked_shows_every_token_once(tokenizer):
    encoded = encode([QUESTION, ANSWER], tokenizer, token_counts=COUNTS)
    text = marked(encoded, tokenizer)
    assert text.count("⟦") == text.count("⟧") == 1
    assert "⟦" + trained_text(encoded, tokenizer) + "⟧" in text


def test_marked_shows_start_and_end_tokens(tokenizer):
    encoded = encode([QUESTION, ANSWER], tokenizer, token_counts=COUNTS, delimited=["video"])
    assert "⟨video start⟩⟨video × 3⟩⟨video end⟩\n⟨skeleton × 2⟩" in marked(encoded, tokenizer)


def test_sentencepiece_gets_no_second_space():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["▁a", "▁USER:", "▁Hi", "▁ASSISTANT:", "▁Hello", "<unk>", "</s>", "▁"]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")
    encoded = encode([Turn("user", "Hi"), Turn("assistant", "Hello")], wrapped, token_counts={})
    assert wrapped.convert_ids_to_tokens(encoded.labels[encoded.labels != IGNORED]) == ["▁Hello", "</s>"]
    assert "▁" not in wrapped.convert_ids_to_tokens(encoded.ids)
