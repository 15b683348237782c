"""What gives away a secret or a person: names of settings, forms of tokens, absolute paths. Pure functions of text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

SECRET = "<secret>"
ABSOLUTE = re.compile(r"/[^/\s]+(?:/[^\n]*)?")  # a setting that is a path
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_STRONG = {"password", "passwd", "passphrase", "passcode", "pwd", "secret", "credential", "apikey", "authorization"}
_STRONG |= {"bearer", "cookie"}
_LAST = {"auth", "authentication", "token"}
# a key is a secret by what it opens
_KEYS = {"access", "account", "api", "auth", "aws", "client", "deploy", "encryption", "hf", "hub", "openai", "private"}
_KEYS |= {"secret", "signing", "ssh", "wandb"}
# tokens of a tokenizer, which are words
_SPOKEN = {"bos", "class", "cls", "end", "eos", "image", "initializer", "mask", "pad", "placeholder", "prompt", "sep"}
_SPOKEN |= {"special", "start", "stop", "text", "trigger", "unk", "unknown"}
_SPOKEN |= {"concept", "instance", "modifier", "new", "subject"}
_BRACKETED = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
_JOINED = re.compile(
    r"(?:[a-z]*(?:password|passwd|passphrase|secret|credential)|(?:api|access|auth|secret|private)key|"
    r"(?:basic|http|proxy)auth|(?:hf|hub|access|auth|api|refresh|session|wandb|github|gitlab)token)s?"
)
_MANY = {"access", "api", "auth", "bearer", "github", "hf", "hub", "refresh", "secret", "session", "wandb"}

# letters that may stand in base64 begin no token within a picture; after the escape of a new line a token may begin
_START, _END = r"(?:(?<![A-Za-z0-9+/_-])|(?<=\\[nrt]))", r"(?![A-Za-z0-9])"
_BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_LOGIN = re.compile(
    r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token)\s+)?)"
    r"(?!(?:bearer|basic|token)\b)(?![<\s$])[\w+/.=~-]{6,}"
)
_SIGNED = re.compile(
    r"(?i)([?&](?:x-amz-(?:signature|credential|security-token)|sig|signature|access_token|token|api_?key|password)=)"
    r"(?!<)[^&\s'\"<>]+"
)
# the key of an archive is the name of a file in it
_KEYED = re.compile(r"(?i)([?&]key=)(?=[\w%+-]*\d)[\w%+-]{16,}(?![\w%+./-])")
_HOST_LOGIN = r"(?<![\w.+/:-])()(?!mailto:)[\w.+-]+:[^\s@/:'\"<>]+(?=@[\w.-]+:\d+(?!\w))"
_ADDRESS = r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*://)(?!<secret>)[^\s/:@'\"<>]*:[^\s/'\"<>]+(?=@)"
_PEM = r"()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
_HUB = r"()(?:hf_|api_org_)(?:[A-Za-z0-9]{20,}|(?=[A-Za-z]*\d)[A-Za-z0-9]{10,})"
# drawn by chance: capitals and digits within words, or small letters and digits without an end; no words with hyphens
_SK = r"()sk-(?:(?=[\w-]*[a-z0-9][A-Z])(?=[\w-]*\d[A-Za-z])[\w-]{20,}|(?:[a-z0-9]+-)*(?=[a-z]*\d)[a-z0-9]{32,})"
# 40 hex digits alone are a commit
_WANDB = r"(?i)((?:api[_ -]?key|wandb(?: login)?|relogin)[\"']?\W{1,4})[0-9a-f]{40}"
# a form and what stands before the secret in it, which stays
FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an address with a password", re.compile(_ADDRESS)),
    ("an address with a password", re.compile(_HOST_LOGIN)),
    ("a signed address", _SIGNED),
    ("a signed address", _KEYED),
    ("a Hugging Face token", re.compile(_BEGIN + _HUB)),
    ("a GitHub token", re.compile(_BEGIN + r"()(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})")),
    ("a GitLab token", re.compile(_BEGIN + r"()glpat-[\w-]{16,}")),
    ("an AWS key", re.compile(_START + r"()(?:AKIA|ASIA)[0-9A-Z]{16}" + _END)),
    ("a Google key", re.compile(_START + r"()AIza[\w-]{35}")),
    ("a web token", re.compile(_START + r"()eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?")),
    ("a private key", re.compile(_PEM, re.DOTALL)),
    ("a Slack token", re.compile(_BEGIN + r"()xox[a-z]-[\w-]{10,}")),
    ("an OpenAI key", re.compile(_BEGIN + _SK)),
    ("a W&B key", re.compile(_WANDB + _END)),
    ("a W&B key", re.compile(_BEGIN + r"()(?:local-[0-9a-f]{40}|wandb_v1_\w{20,})")),
    ("a login", _LOGIN),
    ("a login", re.compile(r"(\b[Bb]earer )(?=[A-Za-z._-]*\d)[\w+/.=~-]{12,}")),
)
_ASSIGNED = re.compile(
    r"(?<![\w-])(?P<name>[A-Za-z][\w-]*)(?P<given>[\"']?(?:=|: ?)[\"']?)"
    r"(?P<value>(?<=[\"'])[^\"'\n<>$]{5,}(?=[\"'])|[^\s\"',;&(){}\[\]<>$]{5,})"
)
_STOPS = r"\s/'\"`<>*?;:()\[\]{}\\"
_PLACE = re.compile(
    # in quotes a path ends with them, elsewhere at a space
    r"(?<=\")/(?:[^\"/\n<>]+/)+[^\"/\n<>]*(?=\")|(?<=')/(?:[^'/\n<>]+/)+[^'/\n<>]*(?=')"
    rf"|(?:(?<=file://)|(?<![\w/.~<>+}}\\-])(?<!base64,)(?<!&gt;))/(?:[^{_STOPS}]+/)+[^{_STOPS}]*"
    r"|(?<=\")[A-Za-z]:\\+(?:[^\"\\/:\n<>]+\\+)+[^\"\\/:\n<>]*(?=\")|(?<=')[A-Za-z]:\\+(?:[^'\\/:\n<>]+\\+)+[^'\\/:\n<>]*(?=')"
    rf"|(?<![A-Za-z0-9])[A-Za-z]:\\+(?:[^{_STOPS}]+\\+)+[^{_STOPS}]*"
)


def names_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret: ``hf_token``, ``apiKey``, ``credentials``, not ``pad_token``."""
    words = [word.lower() for word in _WORDS.findall(name)]
    single = [word.removesuffix("s") for word in words]
    if not words:
        return False
    if _STRONG & {*words, *single} or any(_JOINED.fullmatch(word) for word in words):
        return True
    before = words[-2] if len(words) > 1 else ""
    pairs = zip(words, single[1:], strict=False)
    if any(second == "key" and first in _KEYS for first, second in pairs):
        return True
    if words[-1] in _LAST:
        return words[-1] != "token" or before not in _SPOKEN
    return words[-1] == "tokens" and before in _MANY


def is_secret(name: str, value: Any) -> bool:
    """Whether the single ``value`` of a setting of this name is to be hidden; a number of tokens is not."""
    if value is None or isinstance(value, bool) or value == "" or not names_secret(name):
        return False
    of_a_tokenizer = not isinstance(value, str) or (value != SECRET and bool(_BRACKETED.fullmatch(value)))
    return not (of_a_tokenizer and name.lower().endswith(("token", "tokens")))


def is_path(value: Any) -> bool:
    """Whether a setting is an absolute path."""
    return isinstance(value, str) and bool(ABSOLUTE.fullmatch(value))


def last_part(path: str) -> str:
    """What is told of an absolute path that lies in no folder with a name."""
    return f"<elsewhere>/{(PurePosixPath if path.startswith('/') else PureWindowsPath)(path).name}"


def forms_found(text: str) -> list[str]:
    """What kinds of secrets stand in a text."""
    kinds = [kind for kind, form in FORMS if form.search(text)]
    return kinds + ["the value of a secret"] * (_ASSIGNED.sub(_assigned, text) != text)


def without_secrets(text: str) -> str:
    """The text with everything of the form of a secret replaced."""
    for _, form in FORMS:
        text = form.sub(rf"\1{SECRET}", text)
    return _ASSIGNED.sub(_assigned, text)


def with_places(text: str, named: Callable[[str], str]) -> str:
    """The text with every absolute path of two parts or more replaced by what ``named`` makes of it."""

    def place(match: re.Match[str]) -> str:
        path = match[0].rstrip(".!,|=")
        return named(path) + match[0][len(path) :]

    return _PLACE.sub(place, text)


def _assigned(match: re.Match[str]) -> str:
    value = match["value"]
    # "token: expected a string" is a sentence
    spoken = "=" not in match["given"] and not (re.search(r"\d", value) and re.search(r"[A-Za-z]", value))
    if spoken or not is_secret(match["name"], value) or value.isdigit():
        return match[0]
    return f"{match['name']}{match['given']}{SECRET}"
