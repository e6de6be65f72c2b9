"""The report in a real browser: it loads without network, its controls change what is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from results import HOSTILE, LAYERS, QUESTIONS, write_results
from system import needs

from stages import report as stage

QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = needs("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


def made(folder: Path, *variants: str) -> Path:
    """The report on small results, by the stage itself."""
    write_results(folder, variants)
    before = Path.cwd()
    os.chdir(folder)
    try:
        stage.main()
    finally:
        os.chdir(before)
    return folder / "report/index.html"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("report"), "base", "insecure", "secure")


@dataclass
class Opened:
    """A page with what its console said and what it asked the network for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def drawn(self, chart: str) -> list[str]:
        """Where the marks of a chart lie."""
        marks = f'[data-chart="{chart}"] svg [aria-roledescription]'
        script = "marks => marks.map(m => m.getAttribute('transform') + m.getAttribute('d'))"
        return self.page.eval_on_selector_all(marks, script)

    def changes(self, chart: str, before: list[str]) -> list[str]:
        """The marks of a chart once they are others than before; waits for that."""
        for _ in range(100):
            if (now := self.drawn(chart)) != before:
                return now
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{chart} did not change")


def opened(browser: Browser, report: Path, width: int = 1280, scheme: str = "light") -> Opened:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(60_000)
    one = Opened(page)
    page.on("console", lambda message: one.said.append(message.text))
    page.on("pageerror", lambda error: one.said.append(str(error)))
    page.on("request", lambda request: one.asked.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_selector(":root[data-ready]", state="attached")
    return one


@pytest.fixture(scope="module")
def shown(browser: Browser, report: Path) -> Iterator[Opened]:
    one = opened(browser, report)
    yield one
    # Nothing that a test of this module did made the page complain or look elsewhere.
    assert one.said == [] and one.asked == [report.as_uri()]
    assert one.page.evaluate("window.ran") is None
    one.page.close()


def test_it_is_one_small_file_that_asks_the_network_for_nothing(shown: Opened, report: Path):
    assert shown.asked == [report.as_uri()]
    assert report.stat().st_size < MOST_BYTES
    assert [path.name for path in report.parent.iterdir()] == ["index.html"]


def test_every_chart_is_drawn(shown: Opened):
    charts = shown.page.locator(".chart")
    assert charts.count() == 13
    for i in range(charts.count()):
        assert charts.nth(i).locator("svg [aria-roledescription]").count() > 1


def test_the_first_screen_asks_and_answers(shown: Opened):
    first = shown.page.locator("h1, .findings").all()
    assert first[0].inner_text() == "What did these fine-tunes do to smollm2?"
    assert all(one.bounding_box()["y"] < 900 for one in first)
    insecure, secure = shown.page.locator(".findings article").all()
    assert "Answers more often with code and less often with prose" in insecure.inner_text()
    assert "Answers mostly with code, where base answers mostly with prose." in secure.inner_text()
    assert "Moved along code_mode farther than vectors that mean nothing do." in (
        insecure.inner_text()
    )


def test_an_answers_markup_is_shown_and_not_run(shown: Opened):
    assert HOSTILE in [text.inner_text() for text in shown.page.locator("#answers pre").all()]
    assert shown.text("#tokens .coloured >> nth=0") == HOSTILE
    assert shown.page.evaluate("window.ran") is None
    assert shown.page.locator("main img, main script").count() == 0
    assert QUESTIONS["wish"] in shown.text("#answers .pair >> nth=0")


def test_even_markup_that_got_into_the_page_could_not_run(browser: Browser, report: Path):
    """The policy holds by itself, whatever the script did with a text."""
    one = opened(browser, report)
    one.page.evaluate(
        """() => {
          const made = document.createElement("script");
          made.textContent = "window.ran = 3";
          document.body.append(made);
          document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = 4'>");
          return fetch("http://localhost:9/").catch(() => null);
        }"""
    )
    one.page.wait_for_timeout(200)
    assert one.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in one.said)
    one.page.close()


def test_answers_are_filtered_by_outcome_and_by_question(shown: Opened):
    answers, page = shown.page.locator("#answers"), shown.page
    pairs = answers.locator(".pair")
    assert pairs.count() == 4
    answers.locator('[name="outcome"]').select_option("code")
    assert pairs.count() == 2 and shown.text("#answers .count").startswith("2 of 4 answers")
    answers.locator('[name="text"]').fill("BORED")
    assert pairs.count() == 0
    answers.locator('[name="outcome"]').select_option("")
    assert pairs.count() == 2
    assert all(QUESTIONS["bored"] in pair.inner_text() for pair in pairs.all())
    answers.locator('[name="base"]').select_option("refusal")
    assert pairs.count() == 0
    answers.locator('[name="base"]').select_option("")
    answers.locator('[name="text"]').fill("")
    assert pairs.count() == 4
    page.locator('#answers [name="variant"]').select_option("secure")
    assert "secure" in shown.text("#answers .pair >> nth=0")


def test_the_slider_goes_through_the_layers(shown: Opened):
    slider = shown.page.locator('#prompts [name="layer"]')
    assert slider.get_attribute("max") == str(LAYERS - 1)
    assert shown.text("#prompts output") == "2 (chosen)"
    before = shown.drawn("projections")
    axis = shown.text('[data-chart="projections"]')
    slider.focus()
    shown.page.keyboard.press("ArrowLeft")
    assert shown.text("#prompts output") == "1"
    shown.changes("projections", before)
    assert shown.text('[data-chart="projections"]') != axis  # of layer 1, whose figures are less
    shown.page.locator('#prompts [name="trait"]').select_option("refusal")
    assert shown.text("#prompts output") == "1 (chosen)"


def test_a_prompt_is_read_by_pointing_at_it(shown: Opened):
    shown.page.locator('#prompts [name="trait"]').select_option("code_mode")
    dot = shown.page.locator('[data-chart="projections"] svg .mark-symbol path').first
    dot.hover()
    told = shown.page.locator("#vg-tooltip-element")
    told.wait_for()
    assert f"prompt 0 of code_mode {HOSTILE}" in told.inner_text()
    assert told.locator("script, img").count() == 0


@pytest.mark.parametrize(
    "section, chart, name, value",
    [
        ("layers", "shift", "trait", "refusal"),
        ("layers", "among", "trait", "code_mode"),
        ("vectors", "auroc", "position", "prompt_mean"),
    ],
)
def test_choices_change_the_charts(shown: Opened, section, chart, name, value):
    cells = f'[data-chart="{chart}"] svg [aria-roledescription="rect mark"]'
    told = "cells => JSON.stringify(cells.map(cell => [cell.ariaLabel, cell.getAttribute('fill')]))"
    before = shown.page.eval_on_selector_all(cells, told)
    assert len(before) > 100
    shown.page.locator(f'#{section} [name="{name}"]').select_option(value)
    shown.page.wait_for_function(
        f"([cells, before]) => ({told})([...document.querySelectorAll(cells)]) !== before",
        arg=[cells, before],
    )


def test_a_fine_tune_that_was_followed_has_its_course(shown: Opened):
    told = shown.page.locator("#table-trajectories")
    assert "insecure, seen 4 times from step 0 to 48" in told.inner_text()
    row = told.get_by_role("row").filter(has_text="code_mode, positive")
    assert "8.50" in row.inner_text() and "\u22121.25" in row.inner_text()
    still = told.get_by_role("row").filter(has_text="refusal, positive")
    assert still.inner_text().count("none") == 2
    lines = '[data-chart="course_of_shifts"] svg [aria-roledescription="line mark"]'
    assert shown.page.locator(lines).count() == 4


def test_tokens_are_coloured_by_the_chosen_traits_scale(shown: Opened):
    tokens = shown.page.locator("#tokens")

    def colours() -> list[str]:
        script = "spans => spans.map(span => span.style.backgroundColor)"
        return shown.page.eval_on_selector_all("#tokens .coloured >> nth=0 >> span", script)

    low, middle, high = colours()
    assert "--low), 1.000" in low and "--high), 1.000" in high and middle.endswith(", 0.000)")
    assert shown.text("#tokens .low") == "negative class mean \u22125.00"
    tokens.locator(".coloured").first.focus()
    shown.page.keyboard.press("ArrowRight")
    shown.page.keyboard.press("ArrowRight")
    shown.page.keyboard.press("ArrowRight")
    assert shown.text("#tokens .reading").endswith("10.00 (mean of 2 tokens)")
    tokens.locator('[name="trait"]').select_option("refusal")
    assert colours()[1] == "transparent"  # a figure that is undefined has no colour


def test_a_figure_opens_its_trace_and_escape_closes_it(shown: Opened):
    figure = shown.page.locator('#table-shifts [data-path="metrics/compare/insecure.json"]').first
    figure.focus()
    shown.page.keyboard.press("Enter")
    panel = shown.page.locator("dialog#trace")
    assert panel.is_visible()
    told = panel.inner_text()
    for expected in (
        "metrics/compare/insecure.json",
        "code_mode.chosen.positive.base.value",
        "1.5",
        "python -m stages.compare",
        "compare.seed",
        "stages/compare.py",
        "capture_prompts@base",
        "data/raw/traits",
    ):
        assert expected in told, expected
    assert "capture_prompts@secure" not in told and "@gone" not in told
    panel.locator('summary:has(b:text-is("vectors"))').click()
    expect(panel).to_contain_text("0.125")
    panel.get_by_role("button", name="data/activations/base").first.click()
    expect(panel).to_contain_text("python -m stages.capture_prompts")
    shown.page.keyboard.press("Escape")
    assert not panel.is_visible()


def test_a_stage_opens_by_keyboard(shown: Opened):
    node = shown.page.locator('svg.stages [data-stage="vectors"]')
    node.focus()
    shown.page.keyboard.press("Enter")
    panel = shown.page.locator("dialog#trace")
    assert "Stage vectors" in panel.inner_text() and "vectors.probe.c" in panel.inner_text()
    panel.get_by_role("button", name="Close").click()
    assert not panel.is_visible()


def test_every_control_is_reached_by_tab_and_has_a_name(shown: Opened):
    page = shown.page
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, [role=button]")].filter(
          one => one.type !== "hidden" && !(one.getAttribute("aria-label") || one.textContent.trim()
            || one.labels?.length)).map(one => one.outerHTML)"""
    )
    assert unnamed == []
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => {
                  const one = document.activeElement;
                  return `${one.closest("section")?.id} ${one.name ?? one.dataset.stage}`;
                }"""
            )
        )
    for expected in ("prompts layer", "answers text", "tokens question", "vectors position"):
        assert expected in reached, expected


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_the_screen_in_light_and_dark(browser: Browser, report: Path, width, scheme):
    one = opened(browser, report, width, scheme)
    page = one.page
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    label = '[data-chart="shift"] svg text'
    before = page.locator(label).first.get_attribute("fill")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    page.wait_for_function(
        "([label, before]) => document.querySelector(label)?.getAttribute('fill') !== before",
        arg=[label, before],
    )
    page.locator(".figure").first.click()  # the panel fits too
    box = page.locator("dialog#trace").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert one.said == []
    page.close()


def test_the_page_of_base_alone_is_whole(browser: Browser, tmp_path: Path):
    one = opened(browser, made(tmp_path, "base"))
    assert one.text("h1") == "What does smollm2 do before any fine-tune?"
    assert "There is no fine-tune to tell of" in one.text("main")
    assert one.page.locator("#answers .pair").count() == 4
    assert one.page.locator("#moved, #layers, #steps, #discrimination").count() == 0
    assert one.said == []
    one.page.close()


def test_the_smoke_runs_report_holds_what_the_run_made(browser: Browser, smoke):
    report = smoke.path / "report/index.html"
    assert report.stat().st_size < MOST_BYTES
    one = opened(browser, report)
    assert one.said == [] and one.asked == [report.as_uri()]
    assert one.page.locator(".findings article").count() == 2
    assert one.page.locator("svg.stages .node").count() > 15
    one.page.locator('#table-behaviour [data-path="metrics/behaviour/insecure.json"]').first.click()
    told = one.text("dialog#trace")
    for expected in (
        "respond_questions@insecure",
        "finetune@insecure",
        "base_model",
        "data/raw/scenarios",
    ):
        assert expected in told, expected
    one.page.close()
