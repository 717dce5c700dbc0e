"""Secrets of the environment, kept out of what is written down: other people's libraries quote them in their errors."""

from __future__ import annotations

import os
import re

HIDDEN = "***"
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.IGNORECASE
)
_NO_SECRET = re.compile(r"_(PATH|FILE|MODE|NAME|URI|URL)$", re.IGNORECASE)
_SHORTEST = 8  # characters; shorter values stand in ordinary words
_USER = re.compile(r"(?<=://)[^\s/?#@]+(?=@)")  # of https://user:password@host
_SIGNATURE = re.compile(
    r"(?<=[?&])((?:X-Amz-)?(?:Signature|Credential|Security-Token)|sig|token|access_token|api_?key|AWSAccessKeyId)=[^\s&\"']+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text with `***` in place of passwords in addresses, and of values of variables such as WANDB_API_KEY."""
    for name, value in os.environ.items():
        if (
            len(value) >= _SHORTEST
            and _SECRET.search(name)
            and not _NO_SECRET.search(name)
            and value[0] != "/"
        ):
            text = text.replace(value, HIDDEN)
    return _SIGNATURE.sub(rf"\1={HIDDEN}", _USER.sub(HIDDEN, text))
