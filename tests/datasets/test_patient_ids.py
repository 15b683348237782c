"""Ids of patients: what is none is refused with its row, and two spellings of one person are said."""

from __future__ import annotations

import logging

import pytest

from bench.api import BenchError
from bench.datasets.patient_ids import check_patient_ids, id_fault


def check(*ids: str) -> None:
    check_patient_ids([(each, f"table.csv line {place}") for place, each in enumerate(ids, start=2)], "mine")


@pytest.mark.parametrize(
    "text",
    [
        "P1 ",
        " P1",
        "P1\u200b",
        "P\u00ad1",
        "P1\t",
        "nan",
        "NaN",
        "NA",
        "n/a",
        "None",
        "-",
        "61.0",
        "61.",
        "6.1E+01",
        "6e-1",
    ],
)
def test_what_is_no_id_is_refused_with_its_row(text: str) -> None:
    with pytest.raises(BenchError, match=r"mine: 1 patient ids are no ids.*\n  table.csv line 3: patient id"):
        check("A", text, "B", text)


@pytest.mark.parametrize(
    "text", ["61", "00000061", "P-61", "p 61", "1.2.840.113619.2", "12E45", "Nana", "Müller", "2021-03-04", "0", "x.5"]
)
def test_what_may_be_an_id_passes(text: str) -> None:
    assert id_fault(text) is None


@pytest.mark.parametrize(("one", "other"), [("1", "01"), ("p1", "P1"), ("P01", "P1"), ("\uff11", "1"), ("0", "00")])
def test_ids_that_may_be_one_person_are_warned_of_with_rows(
    one: str, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        check("A", one, "B", other)
    assert "may be the same person's" in caplog.text
    assert "table.csv line 3" in caplog.text and "table.csv line 5" in caplog.text


def test_different_people_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check("1", "10", "100", "P1", "P10", "1-0", "10-", "1", "P1")
    assert not caplog.text


def test_many_faults_are_counted_and_ten_are_named() -> None:
    with pytest.raises(BenchError, match="and 15 more") as told:
        check(*(f"{each}.0" for each in range(25)))
    assert str(told.value).count("table.csv line") == 10
