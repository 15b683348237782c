"""What a configuration may say outside the house, and that ordinary configurations are recorded as they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from bench.runtime.environment_use import leaves
from bench.runtime.identity import Identity
from bench.runtime.publication import Publication, telling
from bench.storage.private_text import SECRET
from tests.conftest import ROOT

HUSH = "correct-horse-9"


def of(text: str, **environment: str) -> Publication:
    return Publication(OmegaConf.create(text), environment)


def options() -> list[str]:
    found = [path.relative_to(ROOT / "conf") for path in sorted((ROOT / "conf").glob("*/*.yaml"))]
    return [str(path) for path in found if path.parts[0] != "experiment"]


@pytest.mark.parametrize("option", options())
def test_shipped_options_are_recorded_as_they_are(option: str) -> None:
    config: Any = OmegaConf.create(
        {"device": "auto", "blank_tolerance": 0, "part": OmegaConf.load(ROOT / "conf" / option)}
    )
    plain: Any = OmegaConf.to_container(config, resolve=True)
    publication = Publication(config)
    assert publication.recorded() == plain == publication.value(plain)
    for at_home in (False, True):
        identity = Identity(Path("nowhere")).settings(config.part, at_home)
        assert {"_target_": plain["part"].get("_target_"), **identity} == {"_target_": None, **plain["part"]}


def test_the_shipped_configuration_is_recorded_as_it_is() -> None:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config")
    config.name = "ldm"
    plain = OmegaConf.to_container(config, resolve=True)
    assert Publication(config).recorded() == plain == Publication(config).value(plain)


WAYS = {
    "plain": "note: ${oc.env:TOLD}",
    "within": "note: at ${oc.env:TOLD}!",
    "decoded": "note: ${oc.decode:${oc.env:TOLD}}",
    "by another": "{note: '${other}', other: '${oc.env:TOLD}'}",
    "by two": "{note: '${other.one}', other: {one: '${more}'}, more: '${oc.env:TOLD}'}",
    "with a default": "note: ${oc.env:TOLD,nothing}",
    "named by another": "{note: '${oc.env:${name}}', name: TOLD}",
    "a list": "note: [1, '${oc.env:TOLD}']",
    "below": "note: {a: {b: '${oc.env:TOLD}'}}",
    "a whole part": "{note: '${other}', other: {a: '${oc.env:TOLD}'}}",
    "selected": "{note: '${oc.select:other}', other: '${oc.env:TOLD}'}",
    "values": "{note: '${oc.dict.values:other}', other: {a: '${oc.env:TOLD}'}}",
    "created": "note: ${oc.create:{a:${oc.env:TOLD}}}",
}


@pytest.mark.parametrize("way", WAYS)
def test_what_came_from_the_environment_is_recorded_as_written(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLD", HUSH)
    publication = Publication(OmegaConf.create(WAYS[way]))
    recorded = publication.recorded()
    assert HUSH not in str(recorded) and "${" in str(recorded["note"])
    assert publication.text(f"bad value {HUSH!r}") == "bad value '${oc.env:TOLD}'"


def test_the_environment_is_noted_for_those_settings_alone_and_the_resolver_is_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOLD", "7")
    config = OmegaConf.create("{a: '${oc.env:TOLD}', b: '${c}', c: 3, d: '${oc.env:NOT_THERE,9}'}")
    assert {leaf.path[0]: (leaf.value, leaf.read) for leaf in leaves(config)} == {
        "a": ("7", True),
        "b": (3, False),
        "c": (3, False),
        "d": ("9", False),
    }
    monkeypatch.setenv("TOLD", "8")
    assert config.a == "8" and Publication(config).recorded() == {"a": "${oc.env:TOLD}", "b": 3, "c": 3, "d": "9"}


def test_what_cannot_be_resolved_is_recorded_as_written() -> None:
    publication = of("{a: '${oc.env:NOT_THERE}', b: '${nowhere}', c: '???'}")
    assert publication.recorded() == {"a": "${oc.env:NOT_THERE}", "b": "${nowhere}", "c": "???"}


def test_secrets_by_name_below_a_name_and_by_form() -> None:
    text = f"""
    credentials: {{user: alice, deep: {{code: {HUSH}}}, pin: 4321}}
    auth: [{HUSH}, true, null]
    hub: {{apiKey: {HUSH}, access-key: {HUSH}, tokens: 5, token: ''}}
    proxy: https://alice:password@host:80/x
    other: alice:password@host:3128
    note: {HUSH}
    """
    publication = of(text)
    assert publication.recorded() == {
        "credentials": {"user": SECRET, "deep": {"code": SECRET}, "pin": SECRET},
        "auth": [SECRET, True, None],
        "hub": {"apiKey": SECRET, "access-key": SECRET, "tokens": 5, "token": ""},
        "proxy": f"https://{SECRET}@host:80/x",
        "other": f"{SECRET}@host:3128",
        "note": SECRET,
    }
    for spelling in (HUSH, repr(HUSH), f"https://x/?q={HUSH}"):
        assert HUSH not in publication.text(spelling)


def test_a_variable_that_nobody_named_is_hidden_by_its_name_or_form() -> None:
    token = "hf_" + "Zq7" * 11
    publication = of("a: 1", WANDB_API_KEY="0a" * 20, ODD=token, PORT="1", DB_PASSWORD="x y+z/'9", SHELL="/bin/bash-5")
    found = publication.text(f"{'0a' * 20} {token} x y+z/'9 x%20y%2Bz%2F%279 \"x y+z/'9\" /bin/bash-5 1")
    assert found.count(SECRET) == 5 and "<elsewhere>/bash-5 1" in found, found


@pytest.mark.parametrize(("value", "found"), [
    ("1", False), ("true", False), ("2026", False), ("basic", False), ("1234567", False), ("12345678901", False),
    ("hunter2", True), ("correcthorse", True), ("123456789012", True), ("kerberos", True), ("ab-1", False),
])  # fmt: skip
def test_what_is_too_ordinary_to_be_sought_in_texts(value: str, found: bool) -> None:
    assert telling(value) == found
    assert (of(f"password: '{value}'").text(f"x {value} y") != f"x {value} y") == found


def test_a_short_value_from_the_environment_stays_in_text_but_not_in_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOLD", "1")
    publication = Publication(OmegaConf.create({"a": "${oc.env:TOLD}"}))
    assert publication.recorded() == {"a": "${oc.env:TOLD}"} and publication.text("1 of 10") == "1 of 10"


def test_a_word_from_the_environment_that_is_no_secret_stays_in_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINDING", "pneumonia")
    monkeypatch.setenv("LAB", "lab-7-of-us")
    publication = Publication(OmegaConf.create({"a": "${oc.env:FINDING}", "b": "${oc.env:LAB}"}))
    assert publication.text("pneumonia at lab-7-of-us") == "pneumonia at ${oc.env:LAB}"


def test_paths_are_written_from_named_folders(tmp_path: Path) -> None:
    text = f"{{dataset: {{root: /home/alice_smith/nih}}, runs: {tmp_path}/here/runs, cache: cache, a: data/x, b: ~/x}}"
    publication = of(text, HOME="/home/bob")
    assert publication.recorded() == {
        "dataset": {"root": "<data>"}, "runs": "<runs>", "cache": "cache", "a": "data/x", "b": "~/x",
    }  # fmt: skip
    lines = {
        "/home/alice_smith/nih/images/1.png": "<data>/images/1.png",
        "/home/alice_smith/nihilism/1.png": "<home>/nihilism/1.png",
        "/home/bob/x": "<home>/x",
        "/Users/carol/x": "<home>/x",
        "~carol/x": "<home>/x",
        f"{tmp_path}/here/runs/a/seed=0/run.json is missing": "<runs>/a/seed=0/run.json is missing",
        f"{Path.cwd()}/cache/fits": "<cache>/fits",
        f'File "{ROOT}/bench/api.py", line 3': 'File "<project>/bench/api.py", line 3',
        f'File "{os.__file__}", line 3': 'File "<python>/lib/python3.11/os.py", line 3',
        f'File "{pytest.__file__}", line 3': 'File "<packages>/pytest/__init__.py", line 3',
        "/mnt/carol/nih/1.png": "<elsewhere>/1.png",
        "/mnt": "<elsewhere>/mnt",
    }
    for line, expected in lines.items():
        assert publication.text(line) == expected
        assert publication.text(expected) == expected


def test_the_interpreter_is_no_path_of_a_machine() -> None:
    import sys

    assert of("").text(f"Replay: {sys.executable} -m bench") in (
        "Replay: <python>/bin/python -m bench",
        f"Replay: <python>/bin/{Path(sys.executable).name} -m bench",
    )


def test_names_that_are_no_words_are_taken_out_of_text() -> None:
    publication = of("a: 1", USER="alice_smith", LOGNAME="train")
    assert publication.text("by alice_smith, train part") == "by <user>, train part"


def test_an_override_is_hidden_by_any_part_of_its_key() -> None:
    publication = of("a: 1")
    for given, said in {
        "+evaluator.bad.hf_token=hush": f"+evaluator.bad.hf_token={SECRET}",
        "+credentials.user=alice": f"+credentials.user={SECRET}",
        "note=${oc.env:HF_TOKEN}": "note=${oc.env:HF_TOKEN}",
        "+hub.token=${oc.env:HF_TOKEN}": "+hub.token=${oc.env:HF_TOKEN}",
        "dataset.root=/home/alice_smith/nih": "dataset.root=<home>/nih",
        "seed=1": "seed=1",
        "~generator.images": "~generator.images",
    }.items():
        assert publication.override(given) == said


def test_keys_are_recorded_like_values(tmp_path: Path) -> None:
    publication = of(f"{{part: {{weights: {{/home/alice/w.pt: 0.5, /home/bob/w.pt: 1}}}}, runs: {tmp_path}}}")
    assert publication.recorded()["part"] == {"weights": {"<home>/w.pt": 0.5, "<home>/w.pt'": 1}}


def test_what_was_judged_as_a_name_is_no_secret() -> None:
    text = "{name: asmith3_ldm-big-2, lab: '${oc.env:KIND}', evaluator: {asmith3: {_target_: x.Y}}}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIND", "ldm-big-2")
        publication = of(text, USER="asmith3", KIND="ldm-big-2", MODEL_KEY="ldm-big-2")
        recorded = publication.recorded()
    assert recorded["name"] == "asmith3_ldm-big-2" and list(recorded["evaluator"]) == ["asmith3"]
    assert publication.text("asmith3_ldm-big-2 of asmith3") == "asmith3_ldm-big-2 of asmith3"
    assert of("name: ldm", USER="asmith3").text("of asmith3") == "of <user>"
    assert Publication(environment={"USER": "asmith3"}, names=("asmith3_set",)).text("asmith3_set") == "asmith3_set"


def test_words_of_variables_that_no_setting_names_stay_in_texts() -> None:
    publication = of("a: 1", BASIC_AUTH="disabled", SORT_KEY="patient_id", DB_PASSWORD="training")
    text = "a disabled patient by patient_id in training"
    assert publication.text(text) == text
    assert publication.recorded(OmegaConf.create({"a": text})) == {"a": text}


def test_a_short_secret_is_no_part_of_a_longer_word() -> None:
    publication = of("password: kerberos")
    assert publication.text("kerberosene kerberos") == f"kerberosene {SECRET}"
    assert publication.text(r"\nkerberos %2Fkerberos") == rf"\n{SECRET} %2F{SECRET}"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("no /data/site=A/patient=BobMiller/x.png", "no <elsewhere>/x.png"),
        ("no '/mnt/Study of Alice Smith/a/x.png' there", "no '<elsewhere>/x.png' there"),
        ('no "/mnt/Alice, O\'Hara|1/x.png"', 'no "<elsewhere>/x.png"'),
        (r"no C:\Users\alice\x.png", "no <elsewhere>/x.png"),
        (repr("C:\\Users\\alice smith\\x.png"), "'<elsewhere>/x.png'"),
    ],
)
def test_a_path_ends_where_it_ends(text: str, clean: str) -> None:
    assert of("a: 1").text(text) == clean == of("a: 1").text(clean)


def test_what_is_put_into_html_is_no_tag() -> None:
    publication = of("a: 1")
    assert publication.content("card.html", b"<p>/mnt/x/y</p>") == b"<p>&lt;elsewhere&gt;/y</p>"
    assert publication.content("card.html", b"<p>&lt;elsewhere&gt;/y</p>") == b"<p>&lt;elsewhere&gt;/y</p>"
    assert publication.content("card.md", b"/mnt/x/y") == b"<elsewhere>/y"
