"""What is taken for a secret, and what ordinary settings and texts are not."""

from __future__ import annotations

import pytest

from bench.storage.private_text import SECRET, is_secret, names_secret, with_places, without_secrets

# put together here, so that no scanner takes this file for a leak
WORD = "Zq7" * 14
TOKENS = {
    "hugging face": f"hf_{WORD[:34]}",
    "github": f"ghp_{WORD[:36]}",
    "github fine-grained": f"github_pat_{WORD[:22]}_{WORD[:40]}",
    "aws": "AKIA" + "Q7" * 8,
    "slack": f"xoxb-{WORD[:12]}-{WORD[:12]}",
    "openai": f"sk-proj-{WORD[:40]}",
    "openai by 48": f"sk-{WORD[:24]}T3BlbkFJ{WORD[:16]}",
    "openai's form elsewhere": f"sk-or-v1-{'0a3f' * 16}",
    "anthropic": f"sk-ant-api03-{'-'.join(WORD[:9] for _ in range(9))}",
    "google": f"AIza{WORD[:35]}",
    "gitlab": f"glpat-{WORD[:20]}",
    "web token": f"eyJ{WORD[:20]}.eyJ{WORD[:20]}.{WORD[:20]}",
    "private key": "-----BEGIN RSA " + f"PRIVATE KEY-----\n{WORD}\n-----END RSA " + "PRIVATE KEY-----",
    "self-hosted": "local-" + "0a" * 20,
}


@pytest.mark.parametrize(
    "name",
    [
        *("token", "hf_token", "hfToken", "HF_TOKEN", "hub.token", "credentials", "credential", "auth", "basic_auth"),
        *("secret", "secret_key", "client-secret", "apiKey", "api_key", "access-key", "AWS_SECRET_ACCESS_KEY", "pwd"),
        *("aws_access_key_id", "password", "PGPASSWORD", "dbPasswd", "passphrase", "WANDB_API_KEY", "apikey"),
        *("hftoken", "access_tokens", "private_key", "authorization", "session_cookie", "secrets"),
    ],
)  # fmt: skip
def test_the_name_of_a_secret(name: str) -> None:
    assert names_secret(name) and is_secret(name, "hush") and not is_secret(name, None)


@pytest.mark.parametrize(
    "name",
    [
        *("tokens", "answer_tokens", "max_tokens", "tokenizer", "tokenizer_2", "token_type", "pad_token", "eos_token"),
        *("author", "authors", "authority", "key", "keys", "monkey", "keep", "pass", "passes", "compass", "patient"),
        *("secretary", "access", "private", "privacy", "fit_key", "sha256", "revision", "id_column", "num_keys"),
        *("seed", "initializer_token", "placeholder_token", "bearing", "", "0"),
    ],
)  # fmt: skip
def test_the_name_of_no_secret(name: str) -> None:
    assert not names_secret(name)


def test_a_number_of_tokens_is_no_secret_and_a_number_as_a_password_is() -> None:
    assert not is_secret("token", 16) and not is_secret("auth", True) and is_secret("password", 1234)


@pytest.mark.parametrize("form", TOKENS)
def test_a_secret_is_known_by_its_form_wherever_it_stands(form: str) -> None:
    token = TOKENS[form]
    for text in (
        token,
        f"401 for {token!s}.",
        f'{{"note": "{token}"}}',
        f"https://hub/x?y={token}",
        f"({token})",
        rf"a\n{token}",
    ):
        clean = without_secrets(text)
        assert token not in clean and SECRET in clean and clean == without_secrets(clean), clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://alice:password@host/x", f"https://{SECRET}@host/x"),
        ("proxy socks5://a:b@c:1 failed", f"proxy socks5://{SECRET}@c:1 failed"),
        ("Authorization: Bearer abcdef123456", f"Authorization: Bearer {SECRET}"),
        ("GET /x?api_key=abcdef&y=1", f"GET /x?api_key={SECRET}&y=1"),
        (f"WANDB_API_KEY={'0a' * 20}", f"WANDB_API_KEY={SECRET}"),
        ("login(hf_token='open sesame1')", f"login(hf_token='{SECRET}')"),
        ('{"secret_key": "abc123"}', f'{{"secret_key": "{SECRET}"}}'),
    ],
)
def test_a_secret_is_known_by_what_stands_before_it(text: str, clean: str) -> None:
    assert without_secrets(text) == clean == without_secrets(clean)


@pytest.mark.parametrize(
    "text",
    [
        "110cbc18d5133582e320b43d53bf5c44e410c936",
        "revision: 110cbc18d5133582e320b43d53bf5c44e410c936",
        "dbfb9f54459c38773505de64a6ab7807bdcb392610fe1e697166342e43fb91ae",
        "https://github.com/mseitzer/pytorch-fid/releases/download/x-6726825d.pth",
        "https://doi.org/10.17044/scilifelab.14687271",
        "huggingface_hub.hf_hub_download(repo_id=x)",
        "the token: expected a string, got int",
        "max_tokens=16, tokenizer=slow, pad_token=[PAD]",
        "sklearn.linear_model, risk-free-and-long-enough-words",
        "password must be given",
        "sk-learn-random-forest-classifier-123",
        "sk-Learn-Random-Forest-V2-2024-11-30",
        "sk-anisotropicdiffusion2024",
        "git+https://git@github.com/x/y",
        "token=${oc.env:HF_TOKEN}",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert without_secrets(text) == text
    assert with_places(text, lambda path: "HIT") == text


OTHERS = (
    *("1/2/3", "and/or", "a / b", "image/png", "</td></tr>", "<home>/x/y", "data:image/jpeg;base64,/9j/4A/B"),
    *("https://a/b/c", "s3://a/b", "${oc.env:X}/a/b", "&lt;home&gt;/a/b", "~/a/b", "./a/b", "../a/b"),
)


def test_paths_in_text_and_what_is_none() -> None:
    def named(path: str) -> str:
        return f"<{path.rsplit('/', 1)[1]}>"

    assert with_places('File "/a/b/c.py", line 3', named) == 'File "<c.py>", line 3'
    assert with_places("/a/b is missing; root=/a/c, (/a/d).", named) == "<b> is missing; root=<c>, (<d>)."
    assert with_places("file:///a/b", named) == "file://<b>"
    for text in OTHERS:
        assert with_places(text, named) == text
