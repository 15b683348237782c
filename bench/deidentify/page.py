"""A report as one page to print: no script, no pictures unless they were asked for."""

from __future__ import annotations

import base64
from importlib import resources

from bench.deidentify.finding import Report
from bench.deidentify.words import NOTHING, counted


def page(report: Report) -> str:
    """The page; with pictures in the findings it holds what is readable in them and says so."""
    from jinja2 import Environment, StrictUndefined

    template = resources.files("bench.deidentify").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        report=report,
        nothing=NOTHING,
        counted=counted,
        inline=lambda png: "data:image/png;base64," + base64.b64encode(png).decode(),
        pictures=any(each.pictures for each in report.findings),
    )
