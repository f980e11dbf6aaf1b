"""The page holds what the report holds, escapes every word of it, and allows nothing but its own style and script."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from report_fixture import HOSTILE, KEPT, whole_report

from tutelage.errors import ConfigError, DataError
from tutelage.evaluate.contents import SECTIONS, facts, headline, logged, verdict
from tutelage.evaluate.page import PAGE, rebuild, render, shade, write_page


class Page(HTMLParser):
    """What of a page the tests ask for: tags, ids, attributes, text outside style and script."""

    VOID = frozenset({"meta", "link", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def html() -> str:
    return render(whole_report())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_every_tag_is_closed_and_every_id_stands_once(page: Page) -> None:
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_every_section_with_data_is_there_and_linked(page: Page) -> None:
    present = [attrs["id"] for attrs in page.all("section")]
    assert present == list(SECTIONS)
    assert [attrs["href"] for attrs in page.all("a")] == [f"#{name}" for name in SECTIONS]


def test_a_report_without_the_new_keys_makes_a_page_without_their_sections() -> None:
    page = Page(render(json.loads(KEPT.read_text(encoding="utf-8"))))
    assert [attrs["id"] for attrs in page.all("section")] == ["result", "training", "recipe"]


def test_the_least_report_makes_a_page() -> None:
    difference = {"mean": 0.1, "low": None, "high": None, "wins": 1, "ties": 0, "losses": 0}
    least = {
        "name": "least",
        "before": {"s": {"mrr@10": 0.1}},
        "after": {"s": {"mrr@10": 0.2}},
        "difference": {"s": {"mrr@10": difference}},
        "queries": {"s": 1},
    }
    page = Page(render(least))
    assert "unknown" in page.text
    assert [attrs["id"] for attrs in page.all("section")] == ["result"]


def test_titles_are_text_never_tags(html: str, page: Page) -> None:
    assert HOSTILE in page.text
    assert HOSTILE not in html
    assert len(page.all("script")) == 1


@pytest.mark.parametrize(
    "path",
    [
        ("name",),
        ("machine", "processor"),
        ("recipe", "model", "name"),
        ("general", "stsb-tr:dev", "metric"),
        ("languages", "rows", 0),
        ("worst", "talentclef:de", 0, "query"),
        ("worst", "talentclef:de", 0, "gold", 0, "text"),
        ("worst", "talentclef:de", 0, "predicted", 0, "text"),
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_hostile_words_from_anywhere_are_text(path: tuple[str | int, ...]) -> None:
    report = whole_report()
    *way, last = path
    inner = report
    for step in way:
        inner = inner[step]
    inner[last] = HOSTILE + "here"
    html = render(report)
    assert "<script>alert" not in html
    assert HOSTILE + "here" in Page(html).text


def test_a_hostile_set_name_is_text_in_tables_plots_and_labels() -> None:
    html = render(json.loads(json.dumps(whole_report()).replace("talentclef:en", json.dumps(HOSTILE)[1:-1])))
    assert "<script>alert" not in html
    assert len(Page(html).all("script")) == 1
    assert any(HOSTILE in (attrs["aria-label"] or "") for attrs in Page(html).all("svg"))
    assert Page(html).text.count(HOSTILE) > 20


def test_the_policy_names_the_hashes_of_the_style_and_the_script_and_forbids_all_else(html: str) -> None:
    policy = next(attrs["content"] for attrs in Page(html).all("meta") if attrs.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, of in (("style", "style-src"), ("script", "script-src")):
        ((inside,),) = [re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{of} 'sha256-{digest}'" in policy


def test_nothing_points_off_the_page(html: str, page: Page) -> None:
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html.replace("xmlns", ""))
    for _, attrs in page.tags:
        assert all((attrs.get(name) or "#").startswith(("#", "data:")) for name in ("src", "href"))
        assert not any(name == "style" or name.startswith("on") for name in attrs)


def test_the_page_tells_figures_verdicts_warnings_and_ranks_in_words(page: Page) -> None:
    for words in (
        "+0.0723", "+0.0637 +0.0807", "▲ better", "≈ unclear", "2374 / 382 / 456", "map: better on 4 of 5 sets",
        "f76ef139ee7f", "⚠ stsb-tr:dev", "⚠ fell", "✓ kept", "right:", "wrong:", "rank 2", "further down", "16 in all",
        "hairdresser", "To drop 1 %: -0.087 (absolute), none (relative).", "2.017",
        "esco-gender:de", "telecom-384d_cosine_accuracy", "learning_rate: 0.0003",
    ):  # fmt: skip
        assert words in page.text, words
    assert {attrs["aria-label"] for attrs in page.all("svg")} >= {"Training loss by step, from 1.223 to 0.494"}


def test_without_a_warning_the_page_says_so() -> None:
    report = whole_report()
    report["general"]["stsb-tr:dev"]["warn"] = False
    assert "✓ No general set fell by more than its interval." in Page(render(report)).text


def test_a_change_whose_spread_is_unknown_is_not_called_kept() -> None:
    report = whole_report()
    report["general"]["tquad:dev"] |= {"before": 0.75, "after": 0.5, "low": None, "high": None}
    text = Page(render(report)).text
    assert "✓ kept" not in text
    assert "unknown" in text


def test_corrected_p_values_are_shown_where_the_report_has_them() -> None:
    report = whole_report()
    assert "p (Holm)" not in render(report)
    report["difference"]["talentclef:en"]["map"]["p_holm"] = 0.0321
    text = Page(render(report)).text
    assert "p (Holm)" in text
    assert "0.0321" in text


def test_the_same_report_gives_the_same_page(html: str) -> None:
    assert render(whole_report()) == html


def test_a_page_is_whole_or_absent(tmp_path, monkeypatch) -> None:
    path = tmp_path / PAGE
    write_page(whole_report(), path)
    first = path.read_text(encoding="utf-8")
    with pytest.raises(KeyError):
        write_page({"name": "broken"}, path)
    assert path.read_text(encoding="utf-8") == first
    assert list(tmp_path.iterdir()) == [path]


def test_rebuild_needs_nothing_but_the_report(tmp_path) -> None:
    (tmp_path / "report.json").write_text(KEPT.read_text(encoding="utf-8"), encoding="utf-8")
    assert rebuild(tmp_path) == tmp_path / PAGE == rebuild(tmp_path / "report.json")
    assert "+0.0723" in (tmp_path / PAGE).read_text(encoding="utf-8")


def test_an_audit_in_the_runs_folder_is_shown_too(tmp_path) -> None:
    (tmp_path / "report.json").write_text(KEPT.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.json").write_text(json.dumps(whole_report()["audit"]))
    text = Page(rebuild(tmp_path).read_text(encoding="utf-8")).text
    assert "wind turbine technician" in text
    assert "What the guide does" in text


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, ConfigError, r"report .*: no report\.json there\. Give the folder of a finished run"),
        ("{", DataError, r"report .*report\.json: no JSON .* Wanted the file that a run or an audit writes"),
        ('{"name": "x"}', DataError, r"report .*report\.json: holds no before and after"),
        ("[]", DataError, r"report .*report\.json: holds no before and after"),
    ],
)
def test_what_is_no_report_is_refused(content, error, message, tmp_path) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(error, match=message):
        rebuild(tmp_path)
    assert not (tmp_path / PAGE).exists()


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, 0.2, "better"),
        (-0.2, -0.1, "worse"),
        (-0.1, 0.1, "unclear"),
        (0.0, 0.1, "unclear"),
        (None, None, "unclear"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low, high, word) -> None:
    assert verdict({"low": low, "high": high})[1] == word


@pytest.mark.parametrize(("p", "word"), [(0.049, "better"), (0.05, "unclear"), (0.858, "unclear"), (None, "better")])
def test_a_verdict_needs_the_corrected_p_value_too_where_there_is_one(p, word) -> None:
    assert verdict({"low": 0.001, "high": 0.02, "p_holm": p})[1] == word


def test_every_gain_has_its_interval_beside_it() -> None:
    report = whole_report()
    assert "unknown" not in render(report)
    for row in (report["triplets"]["telecom"]["telecom-384d_cosine_accuracy"], report["gender"]["esco-gender:de"]):
        text = Page(render(report)).text
        assert f"{row['low']:+.4f} {row['high']:+.4f}" in text
        del row["low"]  # reports from before intervals were kept
    assert Page(render(report)).text.count("unknown") == 2


def test_a_headline_counts_sets() -> None:
    report = whole_report()
    assert headline(report, "map") == "map: better on 4 of 5 sets, unclear on 1."
    assert headline(report, "unmeasured") == ""


def test_facts_leave_out_what_is_not_known() -> None:
    assert facts({}) == {}
    assert facts({"machine": {"processor": "", "cores": 2, "gpu": "H100"}}) == {"Machine": "2 cores, H100"}
    judged = {"judged": {"a": {"queries": 9}, "b": {"queries": 5}}}
    assert facts({**judged, "queries_seen": {"a": 4, "b": 0}}) == {"Queries also in training": "a 4 of 9"}
    assert facts({**judged, "queries_seen": {"a": 0, "b": 0}}) == {}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"name": "tfidf"}, {"Guide": "tfidf"}),
        ({"name": ["tfidf", "start"], "combine": None}, {"Guide": "mean of tfidf, start"}),
        ({"name": ["tfidf", "start"], "combine": "max"}, {"Guide": "max of tfidf, start"}),
        ({"name": None}, {}),
    ],
)
def test_one_guide_is_told_by_its_name_several_by_what_is_made_of_them(settings, told) -> None:
    assert facts({"recipe": {"guide": settings}}) == told


@pytest.mark.parametrize(("lines", "kept"), [(0, []), (1, [0]), (2, [0, 1]), (12, list(range(12)))])
def test_a_short_log_is_shown_whole(lines, kept) -> None:
    assert [entry["step"] for entry in logged([{"step": step} for step in range(lines)])] == kept


def test_a_long_log_is_thinned_with_its_ends_kept() -> None:
    steps = [entry["step"] for entry in logged([{"step": step} for step in range(100)])]
    assert (len(steps), steps[0], steps[-1]) == (12, 0, 99)


def test_shades_run_from_the_lowest_to_the_highest() -> None:
    matrix = [[0.1, None], [0.4, 1.0]]
    assert [shade(number, matrix) for number in (0.1, 0.4, 1.0)] == [0, 3, 9]
    assert shade(0.3, [[0.3]]) == 0
