"""The page: a clip with the frames that a model sees, and tabs to ask, to name actions, and to compare two models."""

from collections.abc import Callable, Iterator
from functools import partial
from inspect import signature
from typing import Any

import gradio as gr

from ski_lvlm.demo.handlers import Handlers
from ski_lvlm.demo.session import Session

_TITLE = "SKI-LVLM"
_INTRODUCTION = (
    "# SKI-LVLM\nAsk what people do in a video. The models learnt with skeletons, and see video alone. "
    "Clips are removed when you leave."
)
# On a phone, a video and four pictures beside each other would be wider than the page.
_CSS = """
.gradio-container {max-width: min(1100px, 100vw) !important; margin: auto}
.grid-container {grid-template-columns: repeat(auto-fill, minmax(70px, 1fr)) !important}
"""
_HOUR = 3600  # seconds
_NAMES = "drink water, standing up, hand waving, walking apart from each other"


def build(handlers: Handlers) -> gr.Blocks:
    """Build the page. Tabs without a model are left out."""
    with gr.Blocks(title=_TITLE, analytics_enabled=False, delete_cache=(_HOUR, _HOUR)) as page:
        session = gr.State(None, time_to_live=_HOUR, delete_callback=_remove)
        gr.Markdown(_INTRODUCTION)
        _add_clip(handlers, session)
        with gr.Tabs():
            if handlers.answerers:
                with gr.Tab("Ask"):
                    _add_questions(handlers, session)
            if handlers.namers:
                with gr.Tab("Name the action"):
                    _add_names(handlers, session)
            if len(handlers.answerers) > 1 or len(handlers.namers) > 1:
                with gr.Tab("Compare"):
                    _add_comparison(handlers, session)
    page.queue(default_concurrency_limit=1, max_size=32, api_open=False)
    return page


def launch(page: gr.Blocks, *, host: str, port: int | None, megabytes: int) -> None:
    """Serve the page until Ctrl-C. Its address is printed."""
    page.launch(
        server_name=host,
        server_port=port,
        max_file_size=f"{megabytes}mb",
        footer_links=[],
        css=_CSS,
        ssr_mode=False,
    )


def _add_clip(handlers: Handlers, session: gr.State) -> None:
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            video = gr.Video(label="Clip", sources=["upload", "webcam"], height=300, elem_id="clip")
            if handlers.examples:
                choice = gr.Dropdown(list(handlers.examples), value=None, label="Or an example", elem_id="example")
        with gr.Column(scale=1, min_width=300):
            frames = _gallery("Frames that the model sees", elem_id="frames")
    outputs = [session, video, frames]

    def show(current: Session | None) -> tuple[Session | None, str | None, Any]:
        return (current, str(current.playable), handlers.frames(current)) if current else (None, None, None)

    def upload(file: str | None, previous: Session | None) -> tuple[Session | None, str | None, Any]:
        return show(handlers.take(file, previous))

    def example(name: str, previous: Session | None) -> tuple[Session | None, str | None, Any]:
        return show(handlers.take_example(name, previous))

    for event in (video.upload, video.stop_recording):
        event(_told(upload), [video, session], outputs, api_visibility="private")
    video.clear(_told(partial(upload, None)), [session], outputs, api_visibility="private")
    if handlers.examples:
        choice.input(_told(example), [choice, session], outputs, api_visibility="private")


def _add_questions(handlers: Handlers, session: gr.State) -> None:
    chat = _chat(handlers.answerers[0].title, height=320)
    question = gr.Textbox(
        label="Question", placeholder="What is the person doing?", submit_btn=True, stop_btn=True, elem_id="question"
    )
    gr.Markdown("As in training, each question is answered from the video alone, without earlier questions.")
    answers = question.submit(
        _told_all(partial(handlers.ask, 0)), [session, question, chat], chat, api_visibility="private"
    )
    answers.then(lambda: "", None, question, api_visibility="private")
    question.stop(None, cancels=[answers])
    chat.clear(list, None, chat, api_visibility="private")


def _add_names(handlers: Handlers, session: gr.State) -> None:
    names = gr.Textbox(_NAMES, label="Action names, with commas", lines=2, elem_id="names")
    with gr.Row():
        button = gr.Button("Name the action", variant="primary", elem_id="name")
        joints_button = gr.Button("Show estimated joints", elem_id="joints")
    with gr.Row():
        with gr.Column(min_width=300):
            label = gr.Label(label=handlers.namers[0].title, elem_id="shares")
        with gr.Column(min_width=300):
            heat = _gallery("Where it looks for the first one", elem_id="heat")
    joints = _gallery("Estimated joints", elem_id="persons")
    button.click(_told(partial(handlers.name, 0)), [session, names], [label, heat], api_visibility="private")
    joints_button.click(_told(handlers.joints), [session], joints, api_visibility="private")


def _add_comparison(handlers: Handlers, session: gr.State) -> None:
    if len(handlers.answerers) > 1:
        with gr.Row():
            chats = [_chat(answerer.title, height=260) for answerer in handlers.answerers[:2]]
        question = gr.Textbox(label="Question for both", submit_btn=True, elem_id="question_for_both")
        event = question.submit
        for number, chat in enumerate(chats):
            answers = event(
                _told_all(partial(handlers.ask, number)), [session, question, chat], chat, api_visibility="private"
            )
            event = answers.then
    if len(handlers.namers) > 1:
        names = gr.Textbox(_NAMES, label="Action names for both, with commas", lines=2)
        button = gr.Button("Name the action with both", variant="primary")
        with gr.Row():
            columns = [_comparison_column(namer.title) for namer in handlers.namers[:2]]
        for number, outputs in enumerate(columns):
            button.click(_told(partial(handlers.name, number)), [session, names], outputs, api_visibility="private")


def _comparison_column(title: str) -> list[Any]:
    with gr.Column(min_width=300):
        return [gr.Label(label=title), _gallery("Where it looks")]


def _gallery(title: str, elem_id: str | None = None) -> gr.Gallery:
    """Return pictures below their title, which Gradio would lay over them."""
    gr.Markdown(f"**{title}**")
    return gr.Gallery(show_label=False, columns=4, height=270, object_fit="contain", elem_id=elem_id, buttons=[])


def _chat(title: str, *, height: int) -> gr.Chatbot:
    """Return a conversation. What a model says is shown as plain text."""
    return gr.Chatbot(label=title, height=height, render_markdown=False, allow_tags=False, buttons=["copy"])


def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its errors as sentences on the page."""

    def call(*inputs: Any) -> Any:  # noqa: ANN401
        try:
            return function(*inputs)
        except (ValueError, ImportError) as error:
            raise gr.Error(_sentence(error), print_exception=False) from error

    return _like(call, function)


def _told_all(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Return the generator with its errors as sentences on the page."""

    def call(*inputs: Any) -> Iterator[Any]:  # noqa: ANN401
        try:
            yield from function(*inputs)
        except ValueError as error:
            raise gr.Error(_sentence(error), print_exception=False) from error

    return _like(call, function)


def _like(call: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Give `call` the inputs of `function`, which Gradio counts."""
    call.__signature__ = signature(function)  # type: ignore[attr-defined]
    return call


def _sentence(error: Exception) -> str:
    """Return the words of an error, unless they could name a file of the server."""
    text = str(error)
    return "This did not work. The server's log says why." if "/" in text or "\\" in text else text


def _remove(session: Session | None) -> None:
    if session:
        session.remove()
