"""What is planted is found, what is found is not told, and no word says more than was looked at."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

from bench.api import BenchError
from bench.deidentify import folder as folder_module
from bench.deidentify.burnt_in import Detector, Mark, Marks
from bench.deidentify.command import main
from bench.deidentify.dicom_headers import basic_profile
from bench.deidentify.finding import Place, Report, gathered, masked
from bench.deidentify.folder import Wish, check
from bench.deidentify.page import page
from bench.deidentify.pixels import of_picture
from bench.deidentify.suspicions import hidden, suspicions
from bench.deidentify.words import NOTHING, as_data, lines
from bench.storage.image_reader import encode_png
from tests.deidentify.planted import OTHER, PLANTS, SECRETS, Plant, dicom, noise

CLAIMS = re.compile(r"(?i)\bclean|\bsafe|anonym|de-identif")
NO_TEXT = Wish(text=False)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def all_words(report: Report) -> str:
    return "\n".join([*lines(report), json.dumps(as_data(report), ensure_ascii=False), page(report)])


def found(report: Report) -> list[str]:
    return [f"{each.look}: {each.what}" for each in report.findings]


@pytest.mark.parametrize("plant", PLANTS, ids=[each.name.replace(" ", "_") for each in PLANTS])
def test_what_is_planted_is_found_and_never_told(plant: Plant, tmp_path: Path) -> None:
    plant.write(tmp_path)
    report = check(tmp_path, NO_TEXT)
    assert not report.unread
    assert [each for each in found(report) if plant.found in each], found(report)
    words = all_words(report)
    assert not [secret for secret in SECRETS if secret in words]
    assert not CLAIMS.search("\n".join(lines(report)))


def test_files_without_a_plant_have_no_finding(tmp_path: Path) -> None:
    Image.fromarray(noise(0)).save(tmp_path / "a.png")
    Image.fromarray(noise(1)).save(tmp_path / "b.jpg")
    Image.fromarray(noise(2)).save(tmp_path / "c.tif")
    dicom().save_as(tmp_path / "d.dcm", implicit_vr=False, little_endian=True, enforce_file_format=False)
    (tmp_path / "e.csv").write_text("x,y\n1,2\n")
    report = check(tmp_path, NO_TEXT)
    assert found(report) == [] and not report.something
    assert NOTHING in list(lines(report)) and as_data(report)["said"] == NOTHING and NOTHING in page(report)
    assert not CLAIMS.search(all_words(report))


def test_numbers_that_count_on_are_no_identifiers(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(noise(number)).save(tmp_path / f"image-{number:06d}.png")
    assert not check(tmp_path, NO_TEXT).something
    (tmp_path / "image-000001.png").unlink()
    assert [each.files for each in check(tmp_path, NO_TEXT).findings] == [2]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.dcm", "a.parquet", "a.nii", "a.json"])
def test_a_file_that_cannot_be_read_is_listed(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"Zebediah")
    Image.fromarray(noise()).save(tmp_path / "b.png")
    report = check(tmp_path, NO_TEXT)
    assert [place.path for place in report.unread] == [name] and report.something
    assert name in "\n".join(lines(report)) and name in page(report)
    assert "Zebediah" not in all_words(report)
    assert "could not be read: 1" in "\n".join(report.not_looked)


def test_a_damaged_picture_is_listed(tmp_path: Path) -> None:
    content = encode_png(noise())
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    report = check(tmp_path, NO_TEXT)
    assert [place.number for place in report.unread] == [1]


@pytest.mark.filterwarnings("always")
def test_values_that_libraries_warn_of_are_not_told(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    values = Dataset()
    values.add_new("StudyInstanceUID", "UI", "Zebediah")
    values.add_new("StudyDate", "DA", "Zebediah")
    written = dicom()
    written.update(values)
    written.save_as(tmp_path / "a.dcm", implicit_vr=False, little_endian=True, enforce_file_format=False)
    recwarn.clear(), caplog.clear(), capfd.readouterr()
    assert len(check(tmp_path, NO_TEXT).findings) == 2
    said = "".join(capfd.readouterr()) + caplog.text + "".join(str(each.message) for each in recwarn)
    assert "Zebediah" not in said


def test_a_limit_is_said_in_numbers(tmp_path: Path) -> None:
    for number in range(6):
        Image.fromarray(noise(number)).save(tmp_path / f"{number}.png")
    report = check(tmp_path, Wish(text=False, limit=4))
    assert "pixels of 2 of 6 pictures (--limit 4, spread evenly)" in report.not_looked
    assert any("4 of 6 pictures" in each for each in report.looked)


def test_rows_after_the_limit_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.deidentify.tables.ROWS", 2)
    (tmp_path / "a.csv").write_text("x\n1\n2\n3\n")
    assert found(check(tmp_path, NO_TEXT)) == [
        "tables and texts: more than 2 rows; those after these were not looked at"
    ]


def test_the_same_folder_gives_the_same_report(tmp_path: Path) -> None:
    for number, plant in enumerate(PLANTS[:30]):
        (tmp_path / f"{number:02d}").mkdir()
        plant.write(tmp_path / f"{number:02d}")
    assert all_words(check(tmp_path, NO_TEXT)) == all_words(check(tmp_path, NO_TEXT))


def test_without_the_detector_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(noise()).save(tmp_path / "a.png")
    monkeypatch.setattr(Detector, "installed", staticmethod(lambda: False))
    report = check(tmp_path, Wish())
    assert "burnt-in text: not looked for (pip install '.[ocr]')" in report.not_looked
    assert not any(each.startswith("burnt-in text") for each in report.looked)


def test_a_detector_without_weights_fetches_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rapidocr")
    monkeypatch.setattr("bench.deidentify.burnt_in._MODELS", ("absent.onnx",))
    with pytest.raises(BenchError, match=r"no absent\.onnx .* none is fetched"):
        Detector()


def test_burnt_in_names_are_found_and_not_told(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    pytest.importorskip("onnxruntime")
    picture = Image.fromarray(noise(0, 128))
    ImageDraw.Draw(picture).text((6, 60), "ZEBEDIAH", fill=230, font=ImageFont.load_default(16))
    picture.save(tmp_path / "a.png")
    report = check(tmp_path, Wish(pictures=True))
    (finding,) = report.findings
    assert finding.what == "text of 3 or more characters"
    assert re.fullmatch(r"box \d+,\d+ to \d+,\d+, [678] characters read", finding.places[0].within)
    left, top, right, bottom = map(int, re.findall(r"\d+", finding.places[0].within)[:4])
    assert left <= 12 and top <= 66 and right >= 80 and bottom >= 70
    assert "ZEBEDIAH" not in "\n".join([*lines(report), json.dumps(as_data(report))])
    assert "do not pass it on" in page(report) and "data:image/png" in page(report)


def test_a_page_holds_pictures_only_where_they_were_asked_for() -> None:
    for asked in (False, True):
        marks = Marks(asked)
        marks.add(Place(1, "a.png"), noise(), [Mark((2, 2, 30, 12), 9)])
        found = gathered(marks.sightings())
        shown = page(Report(1, (), (), found, ()))
        assert ("data:image/png" in shown) == asked and ("do not pass it on" in shown) == asked


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    Image.fromarray(noise()).save(tmp_path / "a.png")
    real = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("inner"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(BenchError, match="cannot be read"):
        check(tmp_path, NO_TEXT)


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "there").symlink_to(tmp_path)
    assert [each.what for each in check(tmp_path / "share", NO_TEXT).findings] == [
        "a link; where it leads stands in it",
        "a link to a folder, which was not followed",
    ]


def test_text_at_the_same_place_is_told_once() -> None:
    marks = Marks()
    image = np.zeros((64, 64), np.uint8)
    for number in range(1, 6):
        each = [Mark((2, 2, 30 + number % 2, 12), 9)]
        if number == 4:
            each.append(Mark((50, 50, 60, 60), 1))
        marks.add(Place(number, f"{number}.png"), image, each)
    seen = list(marks.sightings())
    assert len({each.what for each in seen}) == 2 and len(seen) == 6
    assert "at the same place, about 2,2 to 31,12, in pictures of 64 x 64" in seen[0].what
    assert seen[-1].what.startswith("1 or 2 characters") and seen[-1].place.number == 4


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        (Mark((0, 0, 60, 60), 1), False),
        (Mark((0, 0, 60, 60), 2), True),
        (Mark((0, 0, 60, 20), 0), True),
        (Mark((0, 0, 20, 60), 0), True),
    ],
)
def test_only_what_fills_the_picture_as_one_letter_is_left_out_and_counted(mark: Mark, told: bool) -> None:
    marks = Marks()
    marks.add(Place(1, "a.png"), noise(), [mark])
    assert len(list(marks.sightings())) == told and marks.left_out == (not told)


def test_shapes_left_out_are_said_in_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sees:
        def __call__(self, image: Any) -> list[Mark]:
            return [Mark((0, 0, 60, 60), 0)]

        @staticmethod
        def installed() -> bool:
            return True

    Image.fromarray(noise()).save(tmp_path / "a.png")
    monkeypatch.setattr(folder_module, "Detector", Sees)
    report = check(tmp_path, Wish())
    assert not report.findings and any(each.startswith("1 shapes that the detector") for each in report.not_looked)


def test_pixels_under_transparency_are_looked_at(tmp_path: Path) -> None:
    layers = np.zeros((32, 32, 4), np.uint8)
    layers[4:8, 4:20, :3] = 200
    Image.fromarray(layers, "RGBA").save(tmp_path / "a.png")
    (image,) = of_picture((tmp_path / "a.png").read_bytes())
    assert image.max() == 200


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("DOE^JANE", ["what may be a person's name"]),
        ("Infiltration|Pleural_Thickening", []),
        ("of Anna Svensson", ["what may be a person's name"]),
        ("19991332", ["a long number"]),
        ("2019-03-07", ["a date"]),
        ("7 Mar 2019", ["a date"]),
        ("MRN: 1234", ["a number said to be a person's or a study's"]),
        ("1.2.840.10008.1.2.3.9", ["a DICOM UID"]),
        ("078-05-1120", ["a social security number"]),
        ("PA AP L R 0.1234567", []),
        ("image 12", []),
    ],
)
def test_forms(text: str, kinds: list[str]) -> None:
    assert [each.kind for each in suspicions(text)] == kinds


def test_values_are_told_by_first_letter_and_length() -> None:
    assert masked("Zebediah") == "Z… (8 characters)"
    assert masked("F") == "… (1 character)" and masked("") == "… (0 characters)"
    assert hidden(f"a/{OTHER}.png") == "a/Q…[21].png"


def test_the_profile_is_that_of_the_standard() -> None:
    table = basic_profile()
    assert len(table) == 655
    assert table["0010", "0010"] == ("Z", "Patient's Name")
    assert table["0020", "000D"][0] == "U" and table["0018", "1000"][0] == "X/Z/D"
    assert ("60xx", "3000") in table and ("0028", "0010") not in table


@pytest.mark.parametrize(("plant", "code"), [(False, 0), (True, 3)])
def test_exit_codes(plant: bool, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    share, out = tmp_path / "share", tmp_path / "out.json"
    share.mkdir()
    Image.fromarray(noise()).save(share / ("Quillfeather_Zebediah.png" if plant else "a.png"))
    with pytest.raises(SystemExit) as ended:
        main([str(share), "--no-text", "--json", str(out), "--html", str(tmp_path / "out.html")])
    assert ended.value.code == code
    said = "".join(capsys.readouterr()) + out.read_text() + (tmp_path / "out.html").read_text()
    assert "looked at:" in said and "not looked at:" in said and not [word for word in SECRETS if word in said]
    assert ("a person should look at:" in said) == plant


@pytest.mark.parametrize("words", [["absent"], [".", "--pictures"], [".", "--json", "./inside.json"]])
def test_what_cannot_be_done_ends_with_1(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert isinstance(ended.value.code, str)  # which Python ends with 1


def test_every_look_at_files_is_made() -> None:
    assert set(folder_module._BY_KIND) == {"DICOM", "picture", "Parquet", "NIfTI", "table or text", "other"}
