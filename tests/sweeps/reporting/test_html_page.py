"""report.html: one file that says what report.md says, draws what the folder holds, and asks no network for anything."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import shutil
import sqlite3
import sys
from contextlib import closing

import optuna
import pytest
from PIL import Image
from plotly.graph_objects import Figure

from stclip.files.paths import PROJECT_ROOT
from sweeps.report import main
from sweeps.reporting.search_figures import study_figures
from sweeps.reporting.write import write_report
from sweeps.results.study_file import study_storage
from tests.sweeps import made_up
from tests.sweeps.made_up import levels, slide_rows
from tests.sweeps.results_folders import SWEEP, folder_of, many, record

sys.path.insert(0, str(PROJECT_ROOT / "benchmarks"))
from devtools import Browser

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"


def tile(colour="purple"):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def retrieval(slide):
    spot = {"spot": "E0_1", "tile": tile(), "genes": ["KRT19", HOSTILE], "rank": 2.0}
    top = [{"spot": "E0_2", "genes": ["CDH1"], "tile": tile(), "hit": hit} for hit in (False, True)]
    far = {**spot, "spot": "E0_7", "genes": ["EPCAM"], "tile": tile("green"), "rank": 14.5, "top": top[:1]}
    found = {"slide": slide, "gallery": 100}
    found |= {way: [{**spot, "top": top}, far] for way in ("image_to_gene", "gene_to_image")}
    one = {"slide": slide, "donor": None, "x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 2.0]}
    one |= {"image_to_gene": [1.0, 2.0, 30.0], "gene_to_image": [2.0, 1.5, 3.0]}
    return {"family": "soft", "trial": "soft-0000-confirm-0", "seed": 500, "maps": [one], "examples": found}


def add_studies(path):
    for family in ("soft", "clip"):
        study = optuna.create_study(study_name=family, storage=f"sqlite:///{path}", direction="maximize")
        for number in range(21):
            trial = study.ask()
            low = trial.suggest_float("model.temperature", 0.01, 1.0, log=True)
            trial.suggest_float("loss.neighbor_alpha_scale", 0.0, 2.0)
            trial.report(low, 1)
            trial.report(low, 2)
            pruned = number == 20
            study.tell(trial, None if pruned else low, optuna.trial.TrialState.PRUNED if pruned else None)


def full_folder(path, studies=True):
    again = {"soft": [[0.35, 0.37], [0.36, 0.40]], "clip": [[0.33, 0.35], [0.34, 0.36]]}
    rows = [row for family, values in again.items() for row in slide_rows(family, values)]
    rows += slide_rows("cca", [[0.40, 0.42]], "baseline")
    confirmed = [one for family, values in again.items() for one in made_up.confirmed(family, values)]
    baselines = {"cca": (levels("val", 0.3), levels("test", 0.41))}
    failed = record(number=9, state="FAIL", metrics={}, error=f"DataError: {HOSTILE}")
    folder = folder_of(
        path, [*many(), failed], {**SWEEP, "name": HOSTILE}, rows, baselines, confirmed, seeds=2
    )
    from sweeps.results.slide_rows import write_slide_rows

    write_slide_rows(folder.test_slides_csv, rows)
    folder.write_retrieval(retrieval(HOSTILE))
    if studies:
        add_studies(folder.study_db)
    return folder


def test_a_page_says_what_the_markdown_says_and_hostile_names_stay_text(tmp_path):
    folder = full_folder(tmp_path / "a")
    page = write_report(folder).read_text()
    summary = folder.read_summary()
    for text in (summary["verdict"].split(";")[0], "soft-0000-confirm-0", "KRT19", "fingerprint 0123abcd"):
        assert text.replace("'", "&#39;") in page
    assert "<script>document.title" not in page and "<img src=x" not in page
    assert page.count("</script>") == page.count("<script") - page.split("<body>")[0].count("<script")
    assert page.count('class="plot"') == 1 + 2 + 2 * 5 + 1
    order = [
        "Verdict",
        "Warnings",
        "Families",
        "Test slides",
        "The search",
        "Retrieval",
        "Failures",
        "What was run",
    ]
    places = [page.index(f"<h2>{title}") for title in order]
    assert places == sorted(places)
    assert write_report(folder).read_text() == page


def test_a_partner_that_is_not_among_the_first_is_shown(tmp_path):
    page = write_report(full_folder(tmp_path / "a", studies=False)).read_text()
    ways = page.split("<h3>From a ")[1:3]
    assert [way.count('class="truth"') for way in ways] == [1, 1]  # of two queries each; the other one is hit
    genes, tiles = (
        re.sub(r"\s+", " ", re.findall(r'<p class="truth">(.*?)</p>', way, re.S)[0]) for way in ways
    )
    assert genes == "Its own, at rank 14.5: EPCAM"
    assert tile("green") in tiles and tiles.endswith("Its own, at rank 14.5")


def test_numbers_and_intervals_in_cells_are_not_broken(tmp_path):
    page = write_report(full_folder(tmp_path / "a", studies=False)).read_text()
    cells = re.findall(r"<td [^>]*><span>(.*?)</span></td>", page)
    whole = {text for cell in cells for text in re.findall(r'<span class="whole">(.*?)</span>', cell)}
    assert any(re.fullmatch(r"\(0\.\d{3} to 0\.\d{3}\)", text) for text in whole)
    assert not [text for text in whole if len(text) > 30]


def test_points_and_lines_of_the_search_name_their_trials_and_whole_parameters():
    study = optuna.create_study(direction="maximize")
    long = "loss.neighbor_alpha_scale"
    for number in range(3):
        trial = study.ask({key: optuna.distributions.FloatDistribution(0, 1) for key in (long, "a")})
        trial.set_user_attr("name", f"soft-000{number}")
        study.tell(trial, number / 10)
    study.tell(
        study.ask({"a": optuna.distributions.FloatDistribution(0, 1)}), state=optuna.trial.TrialState.FAIL
    )
    shown = {one.title: one for one in study_figures("soft", study, "val/R@10") if not isinstance(one, str)}
    names = ["soft-0000", "soft-0001", "soft-0002"]
    (points,) = shown["soft: a"].figure.data
    assert list(points.text) == names and points.hovertemplate.startswith("%{text}: a %{x}, val/R@10")
    assert list(points.y) == [0.0, 0.1, 0.2]
    lines = shown["soft: parallel coordinates"]
    assert lines.wide
    drawn = [trace for trace in lines.figure.data if trace.mode == "lines"]
    assert [trace.hovertemplate.partition(":")[0] for trace in drawn] == names
    assert {trace.line.color for trace in drawn} == {
        "rgb(224, 123, 57)",
        "rgb(142, 126, 126)",
        "rgb(59, 130, 196)",
    }
    assert list(lines.figure.layout.xaxis.ticktext) == ["val/R@10", "a", long]
    assert {note.font.color for note in lines.figure.layout.annotations} == {None}  # the page's


@pytest.mark.parametrize("broken", ["", "not a database"])
def test_what_is_not_there_is_said_in_a_sentence(tmp_path, broken):
    folder = folder_of(tmp_path / "a", many())
    if broken:
        folder.study_db.write_text(broken)
        folder.retrieval_json.write_text("{")
    page = write_report(folder).read_text()
    assert ("study.db cannot be read" if broken else "holds no study.db") in page
    assert "The folder holds no retrieval.json with examples" in page
    assert folder.study_db.exists() == bool(broken)  # reading makes no file


def test_a_study_with_a_value_of_another_kind_is_said_in_a_sentence(tmp_path):
    folder = folder_of(tmp_path / "a", many())
    for family in folder.read_summary()["families"]:
        study = optuna.create_study(study_name=family, storage=study_storage(folder.study_db))
        study.tell(study.ask(), 0.5)
    with closing(sqlite3.connect(folder.study_db)) as file, file:
        file.execute("update trial_values set value_type = 'COMPLETE'")
    page = write_report(folder).read_text()
    assert "study.db cannot be read (LookupError), so the search cannot be drawn." in page


@pytest.mark.parametrize("part", ["examples", "maps"])
def test_a_retrieval_json_that_lacks_what_is_shown_ends_with_2_and_a_line(tmp_path, capsys, part):
    folder = full_folder(tmp_path / "a")
    found = retrieval("E0")
    found[part] = {"slide": "E0"} if part == "examples" else [{"slide": "E0"}]
    folder.write_retrieval(found)
    assert main([str(folder.path)]) == 2
    assert re.match(
        rf"error: {folder.path}: its .* or retrieval\.json is not as .*\n$", capsys.readouterr().err
    )


def test_what_optuna_cannot_draw_is_said_in_a_sentence(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "a", many())
    study = optuna.create_study(
        study_name="soft", storage=f"sqlite:///{folder.study_db}", direction="maximize"
    )

    def fail(study, evaluator):
        raise ZeroDivisionError("nothing <b>varies</b>")

    monkeypatch.setattr(optuna.visualization, "plot_param_importances", fail)
    for _ in range(20):
        trial = study.ask({key: optuna.distributions.FloatDistribution(0, 1) for key in "ab"})
        study.tell(trial, 0.5)
    one = optuna.create_study(study_name="clip", storage=f"sqlite:///{folder.study_db}", direction="maximize")
    one.tell(one.ask({"a": optuna.distributions.FloatDistribution(0, 1)}), 0.5)
    page = write_report(folder).read_text()
    assert "importance of the parameters: Optuna cannot draw it (nothing &lt;b&gt;varies&lt;/b&gt;)." in page
    assert "soft: parallel coordinates" in page
    assert "soft: no trial reported a value." in page
    assert "clip: with 1 complete trial there is nothing to compare the parameters by." in page


@pytest.mark.parametrize(
    ("parameters", "complete", "needed"), [(2, 19, 20), (2, 20, None), (6, 23, 24), (6, 24, None)]
)
def test_importances_of_too_few_trials_are_left_out_and_a_line_says_why(parameters, complete, needed):
    study = optuna.create_study(direction="maximize")
    names = "abcdef"[:parameters]
    for number in range(complete + 5):
        trial = study.ask({name: optuna.distributions.FloatDistribution(0, 1) for name in names})
        pruned = number >= complete
        state = optuna.trial.TrialState.PRUNED if pruned else None
        study.tell(trial, None if pruned else trial.params["a"], state)
    found = study_figures("soft", study, "val/R@10")
    title = "soft: importance of the parameters"
    drawn = [one.title for one in found if not isinstance(one, str)]
    said = [one for one in found if isinstance(one, str) and one.startswith(title)]
    assert (title in drawn) == (needed is None)
    assert said == ([] if needed is None else [
        f"{title}: left out, since {complete} complete trials cannot tell {parameters} parameters apart (from {needed} on it is "
        "drawn: 20, or 4 for each parameter)."
    ])  # fmt: skip


def test_importances_are_of_the_best_quarter(monkeypatch):
    asked = []

    def plot(study, evaluator):
        asked.append(evaluator)
        return Figure()

    monkeypatch.setattr(optuna.visualization, "plot_param_importances", plot)
    study = optuna.create_study(direction="maximize")
    for _ in range(20):
        trial = study.ask({name: optuna.distributions.FloatDistribution(0, 1) for name in "ab"})
        study.tell(trial, trial.params["a"])
    study_figures("soft", study, "val/R@10")
    (evaluator,) = asked
    # Private, but Optuna shows it nowhere else, and the figure's words claim it.
    assert (type(evaluator).__name__, evaluator._target_quantile) == ("PedAnovaImportanceEvaluator", 0.25)


async def drawn(browser):
    for _ in range(3000):  # five minutes: only a hang takes so long
        if await browser.value("document.documentElement.dataset.drawn"):
            return
        await asyncio.sleep(0.1)
    raise TimeoutError("the figures are not drawn")


async def look_at(page, home):
    """What a phone and a desk see: for each the events, and [figures drawn, width of the page, figures without a picture]."""
    found = {}
    async with Browser(home) as browser:
        await browser.watch()
        for width in (390, 1280):
            await browser.look(width, dark=width == 390)
            browser.events.clear()
            await browser.open(page.as_uri(), "What was run")
            await drawn(browser)
            facts = await browser.value(
                "[Number(document.documentElement.dataset.drawn), document.documentElement.scrollWidth,"
                " [...document.querySelectorAll('.plot')].filter(box => !box.querySelector('.main-svg')).length, document.title]"
            )
            found[width] = (list(browser.events), facts)
    return found


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium (apt-get install chromium)")
def test_a_browser_draws_all_of_it_without_a_network(tmp_path):
    folder = full_folder(tmp_path / "a")
    page = write_report(folder)
    for width, (events, facts) in asyncio.run(look_at(page, tmp_path / "chromium")).items():
        faults = [
            one
            for one in events
            if one["method"] in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        ]
        assert faults == []
        asked = [
            one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"
        ]
        assert asked[0] == page.as_uri() and all(url.startswith(("data:", "blob:")) for url in asked[1:])
        drawn, wide, empty, title = facts
        assert (drawn, empty) == (14, 0)
        assert wide <= width
        assert title.startswith("Sweep </script>")


async def print_and_save(page, home, folder):
    """A dark reader's page on A4: [numbers that are broken, width, space below the last line]; then a figure saved twice."""
    async with Browser(home) as browser:
        await browser.look(703, dark=True, paper=True)  # pixels of A4 without its margins
        await browser.open(page.as_uri(), "What was run")
        await drawn(browser)
        facts = await browser.value(
            "[[...document.querySelectorAll('.whole')].filter(one => one.getClientRects().length > 1).length,"
            " document.documentElement.scrollWidth,"
            " document.body.getBoundingClientRect().bottom"
            " - [...document.querySelectorAll('main li, main p')].at(-1).getBoundingClientRect().bottom]"
        )
        await browser.look(1280, dark=True)
        await browser.save_into(folder)
        for format in ("PNG", "SVG"):
            await browser.value(
                f"[...document.querySelectorAll('.save button')].find(b => b.textContent === '{format}').click()"
            )
            for _ in range(3000):
                if list(folder.glob(f"*.{format.lower()}")):
                    break
                await asyncio.sleep(0.1)
    return facts


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium (apt-get install chromium)")
def test_a_page_on_paper_breaks_no_number_and_figures_are_saved_in_its_colours(tmp_path):
    page = write_report(full_folder(tmp_path / "a", studies=False))
    saved = tmp_path / "saved"
    saved.mkdir()
    broken, width, below = asyncio.run(print_and_save(page, tmp_path / "chromium", saved))
    assert (broken, below) == (0, 0)
    assert width <= 703
    [picture], [drawing] = saved.glob("*.png"), saved.glob("*.svg")
    assert picture.stem == drawing.stem and picture.stem.endswith("Families_and_their_differences")
    assert Image.open(picture).convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert "<svg" in drawing.read_text()[:200]
