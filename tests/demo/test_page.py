"""The page in a real browser. It is skipped where Gradio, Playwright or Chromium is absent."""

import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.cases.command_case import ENVIRONMENT, HANG, ROOT, started
from tests.cases.demo_case import EXAMPLE, LONGEST, handlers

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="Chromium is absent")]
BOT = "[data-testid=bot]"  # what a model says
LONG = 120_000  # milliseconds; a browser on a busy machine


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Yield the folder of the models and the address of the page, which a process of its own serves."""
    folder = tmp_path_factory.mktemp("demo")
    handlers(folder)
    command = [
        sys.executable,
        "-m",
        "ski_lvlm.demo",
        "--max_new_tokens",
        str(LONGEST),
        "--examples",
        folder / "examples",
    ]
    command += ["--model", *[folder / "model"] * 2, "--student", *[folder / "student"] * 2]
    environment = ENVIRONMENT | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(folder / "home")}
    with started(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as server:
        line = next(line for line in server.stdout if "http" in line)
        yield folder, re.search(r"http://\S+", line)[0]
        server.send_signal(signal.SIGINT)
        server.wait(HANG)
    assert list((folder / "home").glob("ski_lvlm_demo_*")) == [], "uploads go with the server"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(params=[(1200, 900), (390, 844)], ids=["desktop", "phone"])
def tab(request, browser, served):
    width, height = request.param
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(LONG)
    page.goto(served[1])
    page.wait_for_selector("#clip")
    yield page
    page.close()


def give(tab, folder):
    shutil.copy(folder / "examples" / f"{EXAMPLE}.mp4", folder / "mine.mp4")
    tab.set_input_files("#clip input[type=file]", str(folder / "mine.mp4"))
    tab.wait_for_selector("#frames img")


def test_upload_ask_and_name(served, tab):
    give(tab, served[0])
    tab.wait_for_selector("#clip video")
    tab.fill("#question textarea", "What is the person doing?")
    tab.press("#question textarea", "Enter")
    sync_api.expect(tab.locator(BOT).first).not_to_have_text("…", timeout=LONG)
    tab.get_by_role("tab", name="Name the action").click()
    tab.click("#name")
    tab.wait_for_selector("#shares [data-testid=label-output-value]")
    sync_api.expect(tab.locator("#shares")).to_contain_text("drink water")
    tab.wait_for_selector("#heat img")
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"], "nothing sticks out"


def test_an_example_can_be_chosen_and_two_models_compared(tab):
    tab.click("#example input")
    tab.get_by_role("option", name=EXAMPLE).click()
    tab.wait_for_selector("#frames img")
    tab.get_by_role("tab", name="Compare").click()
    tab.fill("#question_for_both textarea", "Why?")
    tab.press("#question_for_both textarea", "Enter")
    sync_api.expect(tab.locator(f"{BOT}:visible")).to_have_count(2, timeout=LONG)


def test_what_is_no_video_gets_a_sentence_without_a_path(served, tab):
    content = {"name": "mine.mp4", "mimeType": "video/mp4", "buffer": b"no video" * 99}
    tab.set_input_files("#clip input[type=file]", content)
    sync_api.expect(tab.locator(".toast-body").filter(has_text="not a video")).to_be_visible(timeout=LONG)
    assert str(served[0]) not in tab.inner_text("body")


def test_asking_without_a_clip_gets_a_sentence(tab):
    tab.fill("#question textarea", "Why?")
    tab.press("#question textarea", "Enter")
    sync_api.expect(tab.locator(".toast-body").filter(has_text="give a clip first")).to_be_visible(timeout=LONG)
