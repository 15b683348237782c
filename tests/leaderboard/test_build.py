"""The site: complete, the same bytes every time, and harmless whatever the records say."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import random
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from bench.storage.record import MetricRow
from leaderboard.__main__ import main
from leaderboard.build import as_csv, build, guarded, tidy, write
from leaderboard.estimate import Estimate, loss
from leaderboard.read import read_runs
from leaderboard.wording import DASH, MINUS, TIMES, duration, interval, number, source


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(board: Path) -> Page:
    runs, problems = read_runs(board)
    return Page(build(runs, problems)["index.html"].decode())


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a record, and its digest in ``run.json`` with it."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    if path.name != "run.json":
        run = path.parents[1] / "run.json"
        entries = json.loads(run.read_text())
        entries["evaluators"][path.stem]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        run.write_text(json.dumps(entries))


def test_the_command_builds_a_site(board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "site"
    assert main(["build", "--runs", str(board), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'index.html'}: 8 runs\n"
    page = Page((out / "index.html").read_text())
    local = [each["href"] for each in page.all("a")] + [each["src"] for each in page.all("img") + page.all("script")]
    for address in local:
        assert address is not None
        parts = urlsplit(address)
        if parts.scheme == "https":
            assert parts.netloc in ("arxiv.org", "doi.org")
        elif parts.path:
            assert (out / unquote(parts.path)).is_file(), address
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {str(address)[1:] for address in local if str(address).startswith("#")} <= targets


def test_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--runs", str(tmp_path), "--out", str(tmp_path / "site")]) == 1
    assert "has no run: looked for" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_a_broken_record_is_named_and_the_rest_shown(
    board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (board / "phantom/pca/seed=0/run.json").write_text('{"schema": 1')
    out = tmp_path / "site"
    assert main(["build", "--runs", str(board), "--out", str(out)]) == 1
    assert capsys.readouterr().err.startswith("phantom/pca/seed=0/run.json: not strict JSON: ")
    text = Page((out / "index.html").read_text()).text
    assert "Records left out" in text
    assert "phantom/pca/seed=0/run.json" in text
    assert "Fréchet distance" in text


def test_check_and_schema_commands(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = board / "phantom/pca/seed=0/scores/fidelity.json"
    assert main(["check", str(good)]) == 0
    assert capsys.readouterr().out == f"{good}: ok\n"
    edit(good, lambda data: data["scores"][1].update(high=1.5))
    assert main(["check", str(good)]) == 1
    assert capsys.readouterr().out == f"{good}: /scores/1/high: 1.5 is outside the metric's bounds [0.0, 1.0]\n"
    assert main(["check", str(board / "none.json")]) == 1
    capsys.readouterr()
    assert main(["schema"]) == 0
    assert set(json.loads(capsys.readouterr().out)["$defs"]) >= {"Record", "RunRecord"}


def test_what_the_page_says(board: Path) -> None:
    text = " ".join(page_of(board).text.split())
    for words in (
        "refused: needs 50 images of each class, got 12",
        "failed: ValueError: singular covariance",
        "evaluator.folds: 5 here, 10 in protocol 1",
        "real images, not shown",
        "[0, 24]",
        "n = 24",
        "0.1.0 0123456789",
        "96 asked, 96 made, 0 blank",
    ):
        assert words in text
    assert "Traceback" not in text


def test_a_metric_that_only_describes_is_shown_but_neither_best_nor_sorted_nor_marked(board: Path) -> None:
    before = page_of(board)
    shown = [each for each in before.all("td") if "data-loss" in each]
    assert not [each for each in before.all("td") + before.all("th") if "describes" in (each.get("class") or "")]
    for path in board.glob("*/*/*/scores/fidelity.json"):
        edit(path, lambda data: data["metrics"][1].update(better="neither"))
    page = page_of(board)
    cells = [each for each in page.all("td") if each.get("class") == "describes"]
    assert [each for each in cells if "data-loss" in each] == []
    assert len(cells) == 6 and len([each for each in page.all("td") if "data-loss" in each]) == len(shown) - 6
    heads = [each for each in page.all("th") if each.get("class") == "metric describes"]
    assert [each["title"] for each in heads] == ["Coverage"] * 2
    text = " ".join(page.text.split())
    assert text.count("Coverage ○only describes, neither more nor less is better n = 24") == 2
    assert "Only describes, neither more nor less is better. Range 0 to 1." in text
    assert "0.850 [0.750, 0.950]" in text, "the value stays on the page"
    marks = [each["class"] for each in page.all("abbr")]
    assert len(marks) == len(before.all("abbr")) - 2
    rows = tidy(read_runs(board)[0])
    assert {row["better"] for row in rows if row["metric"] == "coverage"} == {"neither"}


def test_conditions_that_a_generator_does_not_read_are_named(board: Path) -> None:
    said = "asked for, but not read by the generator: masking_level, <b>age</b>"
    assert "asked for, but not read" not in page_of(board).text
    edit(
        board / "phantom/pca/seed=0/run.json",
        lambda data: data["facts"].update(conditions_unread=["masking_level", "<b>age</b>"]),
    )
    assert " ".join(page_of(board).text.split()).count(said) == 1


def test_real_images_are_published_only_where_allowed(board: Path) -> None:
    files = build(*read_runs(board))
    assert "records/phantom/pca/seed=0/sheet.png" in files
    assert "records/phantom/copy/seed=0/sheet.png" not in files
    edit(board / "phantom/copy/seed=0/run.json", lambda data: data["info"].update(redistributable=True))
    assert "records/phantom/copy/seed=0/sheet.png" in build(*read_runs(board))
    edit(board / "phantom/copy/seed=0/run.json", lambda data: data["info"].update(redistributable="yes"))
    assert "records/phantom/copy/seed=0/sheet.png" not in build(*read_runs(board))


def test_no_page_that_came_with_a_run_is_published(board: Path) -> None:
    """Under a policy of its own such a page can still lead away, by a refresh or by what it says."""
    evil = b'<!doctype html><meta http-equiv="refresh" content="0;url=https://evil.example/login">'
    (board / "phantom/pca/seed=0/card.html").write_bytes(evil)
    files = build(*read_runs(board))
    assert not [name for name in files if name.endswith(".html") and name != "index.html"]
    assert not [name for name, content in files.items() if b"evil.example" in content]
    addresses = [each["href"] for each in Page(files["index.html"].decode()).all("a")]
    for name in ("card.md", "card.json"):
        assert f"records/phantom/pca/seed%3D0/{name}" in addresses


def test_a_card_that_is_not_what_its_record_speaks_of_is_left_out_and_named(
    board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = "phantom/pca/seed=0"
    (board / place / "card.json").write_text('{"congruence": 0.999}')
    runs, problems = read_runs(board)
    assert [problem.file for problem in problems] == [f"{place}/card.json"]
    assert f"records/{place}/card.json" not in build(runs, problems) and len(runs) == 8
    assert main(["check", str(board / place / "run.json")]) == 1
    assert "is not the file its score record speaks of" in capsys.readouterr().out


def test_a_card_that_no_record_speaks_of_is_not_published(board: Path) -> None:
    path = board / "phantom/pca/seed=0/scores/fidelity.json"
    edit(path, lambda data: data.update(artifacts={}))
    files = build(*read_runs(board))
    assert "records/phantom/pca/seed=0/card.json" not in files
    assert "records/phantom/noise/seed=0/card.json" in files


def test_a_verdict_stands_as_words_in_the_cell(board: Path) -> None:
    def judge(words: str, data: Any) -> None:
        data["metrics"][0].update(better="neither", target=None)
        data["scores"][0].update(value=1.0, low=None, high=None, words=words, reason="a verdict has no interval")

    for seed, words in enumerate(("leak found (pixels)", "no leak found by this test")):
        edit(board / f"phantom/ldm/seed={seed}/scores/privacy.json", partial(judge, words))
    edit(board / "phantom/pca/seed=0/scores/privacy.json", partial(judge, "leak found (pixels)"))
    page = page_of(board)
    text = " ".join(page.text.split())
    assert "leak found (pixels) (seed 0); no leak found by this test (seed 1)" in text
    verdicts = [each for each in page.all("span") if each.get("class") == "verdict"]
    assert len(verdicts) == 2 and "leak found (pixels) 1 no interval" not in text
    assert not [each for each in page.all("td") if each.get("class") == "best" and "data-loss" not in each]
    rows = tidy(read_runs(board)[0])
    assert [row["words"] for row in rows if row["generator"] == "pca" and row["evaluator"] == "privacy"] == [
        "leak found (pixels)"
    ]


def test_the_sentence_on_intervals_is_true_of_every_number(board: Path) -> None:
    edit(
        board / "phantom/pca/seed=0/scores/fidelity.json",
        lambda data: data["scores"][0].update(low=None, high=None, reason="it would miss the truth"),
    )
    text = " ".join(page_of(board).text.split())
    assert "Every number has an interval or a note that says why it has none" in text
    assert "every number has a 95% interval" not in text.lower()
    assert "no interval: it would miss the truth" in text and "kernel distances held it 89 to 100 times" in text


def test_sizes_and_what_was_learned_from_are_shown(board: Path) -> None:
    sizes = {"working": [[64, 64]] * 2, "real": [[1024, 900], [1024, 1024]], "generated": [[512, 512]] * 2}
    edit(
        board / "phantom/pca/seed=0/run.json",
        lambda data: data.update(sizes=sizes, facts={"trained_on": "train", "trained_on_stated": "elsewhere"}),
    )
    text = " ".join(page_of(board).text.split())
    assert "64 x 64; own size 1024 x 900 to 1024 x 1024 (real), 512 x 512 (generated) train, as stated" in text
    assert text.count(f"{DASH} not recorded") == 7


SORT = """
const fs = require("fs"), vm = require("vm");
const [script, better, losses] = process.argv.slice(1);
const first = { lower: "ascending", higher: "descending", target: "other" }[better];
const rows = JSON.parse(losses).map((loss) => ({ cells: [null, { dataset: { loss: String(loss) } }], loss }));
let clicked;
const button = { append() {}, addEventListener: (_, act) => { clicked = act; } };
const head = {
  classList: { contains: () => false }, dataset: { best: first }, sorted: null,
  querySelector: () => ({ childNodes: [], append() {} }),
  setAttribute(name, value) { this.sorted = value; }, removeAttribute() { this.sorted = null; },
  getAttribute() { return this.sorted; },
};
const body = { rows, shown: rows, append(...given) { this.shown = given; } };
const table = { querySelector: () => body, querySelectorAll: () => [head] };
const document = { querySelectorAll: () => [table], createElement: () => button };
vm.runInNewContext(fs.readFileSync(script, "utf8"), { document, Number });
const seen = [];
for (let each = 0; each < 3; each++) { clicked(); seen.push([head.sorted, body.shown.map((row) => row.loss)]); }
console.log(JSON.stringify(seen));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, which runs the page's script")
@pytest.mark.parametrize("better", ["lower", "higher", "target"])
def test_the_announced_order_is_that_of_the_values(better: str) -> None:
    """Click three times on the head of a column with a script that has nothing but the page's own."""
    metric = MetricRow(key="m", title="M", better=better, target=0.5 if better == "target" else None, reference="")
    values = [0.3, 0.9, 0.1]
    found = {loss(metric, Estimate(value, None, None))[0]: value for value in values}
    script = resources.files("leaderboard") / "templates" / "leaderboard.js"
    run = subprocess.run(
        ["node", "-e", SORT, str(script), better, json.dumps(list(found))], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    (first, best_first), (second, worst_first), (third, as_it_was) = json.loads(run.stdout)
    assert best_first == sorted(found) == worst_first[::-1] and (third, as_it_was) == (None, list(found))
    for announced, order in ((first, best_first), (second, worst_first)):
        shown = [found[each] for each in order]
        if better == "target":
            assert announced == "other"
        else:
            assert shown == sorted(values, reverse=announced == "descending")
    assert first != second or better == "target"


def test_the_page_tells_the_script_in_which_order_the_values_stand(board: Path) -> None:
    heads = [each for each in page_of(board).all("th") if (each.get("class") or "").startswith("metric")]
    assert {each["title"]: each.get("data-best") for each in heads} == {
        "Distance of means.": "ascending",
        "Coverage": "descending",
        "Membership AUC": "other",
    }


def test_the_same_bytes_in_any_order(board: Path) -> None:
    runs, problems = read_runs(board)
    first = build(runs, problems)
    for seed in range(5):
        assert build(random.Random(seed).sample(runs, len(runs)), problems) == first
    assert build(*read_runs(Path(str(board) + "/../runs"))) == first


def test_writing_removes_what_an_earlier_build_left_and_nothing_else(board: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    runs, problems = read_runs(board)
    write(build(runs, problems), out)
    (out / "CNAME").write_text("example.org")
    (out / "records" / "mine.txt").write_text("kept")
    write(build([run for run in runs if run.record.generator != "pca"], problems), out)
    assert not (out / "records/phantom/pca/seed=0/run.json").exists()
    assert (out / "records/phantom/noise/seed=0/run.json").exists()
    assert (out / "CNAME").exists() and (out / "records/mine.txt").exists()
    assert not list(out.rglob(".leaderboard.*"))


def test_a_failed_write_leaves_the_old_page(board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "site"
    files = build(*read_runs(board))
    write(files, out)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="the disk is full"):
        write({**files, "index.html": b"half"}, out)
    assert (out / "index.html").read_bytes() == files["index.html"]
    assert not list(out.rglob(".leaderboard.*"))


def test_a_validity_report_is_copied_and_linked(board: Path, tmp_path: Path) -> None:
    reports = tmp_path / "validity"
    for name in ("phantom", "not_on_the_board"):
        (reports / name).mkdir(parents=True)
        (reports / name / "validity.html").write_text("<!doctype html><p>fd is blind to copies</p>")
    site = tmp_path / "site"
    arguments = ["build", "--runs", str(board), "--out", str(site), "--validity", str(reports)]
    assert main(arguments) == 0
    page = Page((site / "index.html").read_text(encoding="utf-8"))
    assert [a["href"] for a in page.all("a")].count("validity/phantom.html") == 2  # the section and the legend
    copied = (site / "validity" / "phantom.html").read_text()
    assert "fd is blind to copies" in copied and "Content-Security-Policy" in copied
    assert not (site / "validity" / "not_on_the_board.html").exists()
    shutil.rmtree(reports)
    assert main(arguments) == 0
    assert not (site / "validity" / "phantom.html").exists()
    assert "validity" not in (site / "index.html").read_text(encoding="utf-8")


def test_tidy_scores(board: Path) -> None:
    files = build(*read_runs(board))
    rows = list(csv.DictReader(io.StringIO(files["leaderboard.csv"].decode())))
    assert len(rows) == len(json.loads(files["leaderboard.json"])["scores"]) == 8 * 3 + 7 + 1
    mean = [float(row["value"]) for row in rows if row["generator"] == "ldm" and row["metric"] == "fd"]
    assert mean == [10, 10, 12, 12]
    failed = [row for row in rows if row["status"] == "failed"]
    assert [row["reason"] for row in failed] == ["ValueError: singular covariance"]


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<svg/onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)//https://doi.org/10.1000/1",
    "data:text/html,<script>alert(1)</script>",
    "//evil.example/x",
    "=HYPERLINK(1)",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\tx",
    "right\u202eleft",
    "zero\u200bwidth\u2066",
    "bell\u0007",
]
TEXTS: dict[str, Callable[[str, Any], object]] = {
    "title": lambda text, data: data["metrics"][0].update(title=text),
    "summary": lambda text, data: data["metrics"][0].update(summary=text),
    "reference": lambda text, data: data["metrics"][0].update(reference=text),
    "unit": lambda text, data: data["metrics"][0].update(unit=text),
    "words": lambda text, data: (data["metrics"][0].update(better="neither"), data["scores"][0].update(words=text)),
    "reason": lambda text, data: data["scores"][0].update(value=None, low=None, high=None, reason=text),
    "protocol": lambda text, data: data["protocol"].update({text: text}),
    "encoder": lambda text, data: data["scores"][0].update(encoder=text),
    "group": lambda text, data: data["scores"][2].update(group=text),
}
RUN_TEXTS: dict[str, Callable[[str, Any], object]] = {
    "generator": lambda text, data: data.update(generator=text),
    "info": lambda text, data: data["info"].update(title=text, licence=text, access=text, modality=text),
    "provenance": lambda text, data: data["provenance"].update(bench=text, commit=text),
    "split": lambda text, data: data["digests"].update(split=text),
    "images": lambda text, data: data["images"].update({text: 1}),
}


FORBIDDEN = {"base", "embed", "form", "iframe", "link", "object", "svg", "math", "template", "textarea", "input"}
ADDRESSES = ("#", "records/", "leaderboard.", "https://arxiv.org/", "https://doi.org/")


def hostile_board(board: Path, field: str) -> Path:
    """A run for each hostile text, with the text in ``field``."""
    root = board.parent / "hostile"
    for seed, text in enumerate(HOSTILE):
        folder = root / "phantom" / f"run{seed}" / "seed=0"
        shutil.copytree(board / "phantom/sana/seed=0", folder)
        edit(folder / "run.json", partial(rename, f"run{seed}"))
        if field in TEXTS:
            edit(folder / "scores/fidelity.json", partial(TEXTS[field], text))
        else:
            edit(folder / "run.json", partial(RUN_TEXTS[field], text))
    return root


def rename(name: str, data: Any) -> None:
    data.update(generator=name)


@pytest.mark.parametrize("field", [*TEXTS, *RUN_TEXTS])
def test_hostile_text_is_only_text(board: Path, field: str) -> None:
    runs, problems = read_runs(hostile_board(board, field))
    files = build(runs, problems)
    content = files["index.html"].decode()
    page = Page(content)
    assert not FORBIDDEN & {tag for tag, _ in page.elements}
    assert [each["src"] for each in page.all("script")] == ["leaderboard.js"]
    assert len(runs) + len(problems) >= len(HOSTILE)
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert all((attributes.get(name) or "#").startswith(ADDRESSES) for name in ("href", "src"))
    assert not set("\u202e\u200b\u2066\u0007") & set(content)
    for row in csv.reader(io.StringIO(files["leaderboard.csv"].decode())):
        assert not [cell for cell in row if cell.startswith(("=", "@", "\t", "\r", "+", "-2"))]


def test_direction_marks_in_a_name_are_refused(board: Path) -> None:
    edit(board / "phantom/sana/seed=0/run.json", lambda data: data.update(generator="sa\u202ena"))
    runs, problems = read_runs(board)
    assert [problem.pointer for problem in problems] == ["/generator"]
    assert "⟨U+202E⟩" in build(runs, problems)["index.html"].decode()


def test_a_hostile_report_can_run_nothing() -> None:
    card = guarded(b" <!DOCTYPE html><html><script>alert(1)</script>")
    assert card.startswith(b'<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src \'none\'')
    assert guarded(b"<script>alert(1)</script>").index(b"<meta") < guarded(b"<script>alert(1)</script>").index(
        b"<script"
    )


def test_the_policy_allows_no_inline_script(board: Path) -> None:
    (policy,) = [e["content"] for e in page_of(board).all("meta") if e.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy


def test_text_cells_of_the_csv_are_no_formulas(board: Path) -> None:
    rows = tidy(read_runs(board)[0])[:1]
    rows[0].update(generator="=1+1", reason="-x", value=-0.5)
    cells = next(csv.reader(io.StringIO(as_csv(rows).decode().split("\n", 1)[1])))
    assert "'=1+1" in cells and "'-x" in cells and "-0.5" in cells


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1.00"),
        (-0.12345, "-0.123"),
        (12.345, "12.3"),
        (1234, "1230"),
        (123456, "123000"),
        (0.00012345, "0.000123"),
        (0.0000123, "1.23x10⁻⁵"),
        (-12345678, "-1.23x10⁷"),
        (0.9996, "1.000"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
    ],
)
def test_three_digits(value: float, text: str) -> None:
    assert number(value) == text.replace("-", MINUS).replace("x", TIMES)


def test_an_interval_is_rounded_like_its_value() -> None:
    assert interval(Estimate(11, 0.04, 21.96)) == "[0, 22]"
    assert interval(Estimate(0.00012, -0.01, 0.02)) == f"[{MINUS}0.010, 0.020]"
    assert interval(Estimate(1, None, None)) == ""


def test_durations() -> None:
    assert [duration(each) for each in (None, 3.25, 75, 750, 16200)] == [DASH, "3.2 s", "75 s", "12 min", "4.5 h"]


@pytest.mark.parametrize(
    ("reference", "address"),
    [
        ("arXiv:1706.08500", "https://arxiv.org/abs/1706.08500"),
        ("10.1016/j.media.2020.101", "https://doi.org/10.1016/j.media.2020.101"),
        ("https://example.org/a", "https://example.org/a"),
        ("javascript:alert(1)", None),
        ("Tukey 1958", None),
        ('https://x.org/" onload=', None),
    ],
)
def test_only_web_addresses_become_links(reference: str, address: str | None) -> None:
    assert source(reference) == address
