"""The dashboard's address and the way in, as printed."""

import pytest

from sweeps.cluster.connect import way_in


@pytest.mark.parametrize(
    ("mode", "printed"),
    [
        ("token", "open http://127.0.0.1:8265, paste the token from `ray get-auth-token`"),
        ("disabled", "open http://127.0.0.1:8265"),
    ],
)
def test_the_token_is_named_where_it_is_asked_for(monkeypatch, mode, printed):
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    assert way_in("127.0.0.1:8265") == printed


@pytest.mark.parametrize("url", [None, ""])
def test_without_a_dashboard_there_is_no_way_in(url):
    assert way_in(url) is None
