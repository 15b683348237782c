"""From a request to the words a pipeline is given, and how many of them it can hear."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.api import BenchError, Label, Request


def fields(template: str) -> tuple[str, ...]:
    """The names in braces, in order, each once."""
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise BenchError(f"generator.prompt: {template!r} is not a template ({error}); e.g. '{{prompt}}'") from error
    return tuple(dict.fromkeys(names))


def prompt_text(template: str, request: Request, labels: Mapping[str, Label]) -> str:
    """The template with the request's prompt, label names and attributes in place of the names in braces.

    Raises:
        BenchError: the request has no such column, or no prompt.
    """
    words: dict[str, str] = {}
    for name in fields(template):
        if name == "prompt":
            if request.prompt is None:
                raise BenchError(
                    f"request {request.request_id} has no prompt; set generator.prompt to a sentence made of its "
                    f"labels, e.g. 'a mammogram with {{{next(iter(request.labels), 'label')}}}'"
                )
            words[name] = request.prompt
        elif name in request.labels:
            value = request.labels[name]
            words[name] = labels[name].text(value) if name in labels else str(value)
        elif name in request.attributes:
            words[name] = request.attributes[name] or "unknown"
        else:
            there = ["prompt", *request.labels, *request.attributes]
            raise BenchError(f"generator.prompt names {{{name}}}; a request has {', '.join(there)}")
    return template.format(**words)


def token_counts(pipeline: Any, texts: Sequence[str], call: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """For each tokenizer: the most tokens it passes on, the longest prompt, and how many prompts it cuts.

    Counted with special tokens, and with the pipeline's own system prompt where it has one.
    """
    repeats = Counter(texts)
    system = call.get("system_prompt") or getattr(pipeline, "system_prompt", "")
    start = f"{system} <Prompt Start> " if system else ""
    report = {}
    for name, tokenizer in pipeline.components.items():
        if not name.startswith("tokenizer") or tokenizer is None:
            continue
        limit = token_limit(tokenizer, call)
        lengths = [len(ids) for ids in tokenizer([start + text for text in repeats], truncation=False)["input_ids"]]
        cut = sum(count for length, count in zip(lengths, repeats.values(), strict=True) if length > limit)
        report[name] = {"limit": limit, "longest": max(lengths), "prompts": len(texts), "truncated": cut}
    return report


def token_limit(tokenizer: Any, call: Mapping[str, Any]) -> int:
    """Tokens a pipeline passes on: a CLIP encoder has its own limit, others that of ``max_sequence_length``."""
    own = int(tokenizer.model_max_length)
    asked = call.get("max_sequence_length")
    if asked is None or type(tokenizer).__name__.startswith("CLIP"):
        return own
    return int(asked)
