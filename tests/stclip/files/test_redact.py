"""What is written down holds no password, token or key."""

import pytest

from stclip.errors import DataError
from stclip.files.addresses import open_address
from stclip.files.redact import redacted


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "WANDB_API_KEY", "HF_TOKEN", "RAY_AUTH_TOKEN",
     "MLFLOW_TRACKING_PASSWORD", "RAY_REDIS_PASSWORD", "my_secret", "AZURE_STORAGE_ACCESSKEY"],
)  # fmt: skip
def test_the_value_of_a_secret_variable_is_hidden(name, monkeypatch):
    monkeypatch.setenv(name, "s3cr3t/+value")
    assert redacted("request with key=s3cr3t/+value, refused") == "request with key=***, refused"


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_AUTH_TOKEN_PATH", "elsewhere"), ("GOOGLE_APPLICATION_CREDENTIALS", "/home/me/key.json"), ("HOME", "elsewhere"),
     ("API_KEY", "a"), ("API_KEY", "")],
)  # fmt: skip
def test_what_is_no_secret_stays(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    assert redacted("elsewhere /home/me/key.json a") == "elsewhere /home/me/key.json a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("POST https://me:pa-ss@h.org/api failed", "POST https://***@h.org/api failed"),
        (
            "postgresql+psycopg2://u:p@h/db and http://t0ken@h",
            "postgresql+psycopg2://***@h/db and http://***@h",
        ),
        ("https://h/x?X-Amz-Signature=abc&y=1", "https://h/x?X-Amz-Signature=***&y=1"),
        ("https://h/x?a=1&sig=q%2B", "https://h/x?a=1&sig=***"),
        (
            "me@h.org, s3://bucket/a@b, https://h/x?design=3",
            "me@h.org, s3://bucket/a@b, https://h/x?design=3",
        ),
    ],
)
def test_passwords_in_addresses_are_hidden(text, expected):
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "address", ["https://me:s3cret@h.org/slides", "ftp://me@h/slides", "https://h/s?token=s3cret"]
)
def test_an_address_with_a_password_is_refused_and_not_repeated(address):
    with pytest.raises(DataError, match="an address holds no password or token") as caught:
        open_address(address)
    assert "s3cret" not in str(caught.value)
