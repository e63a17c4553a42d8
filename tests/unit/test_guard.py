"""Which requests the guard before visdom and TensorBoard refuses."""

from __future__ import annotations

import pytest

from labkit.services import guard


@pytest.mark.parametrize("host", ["127.0.0.1:8097", "localhost", "LOCALHOST:1", "[::1]:8097", "visdom:8097"])
def test_our_own_names(host):
    assert guard.refusal("GET", {"Host": host}, ["visdom"]) == ""
    assert guard.refusal("POST", {"Host": host, "Origin": f"http://{host}"}, ["visdom"]) == ""


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example", "[", "127.0.0.2"])
def test_names_of_others(host):
    assert "for the host" in guard.refusal("GET", {"Host": host}, ["visdom"])
    assert guard.refusal("GET", {"Host": host}, [], is_public=True) == ""


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:8098", "http://127.0.0.1"])
@pytest.mark.parametrize("is_public", [False, True])
def test_pages_of_others(origin, is_public):
    headers = {"Host": "127.0.0.1:8097", "Origin": origin}
    assert "from a page of" in guard.refusal("POST", headers, [], is_public)


def test_a_browser_that_says_another_site_without_an_origin():
    headers = {"Host": "127.0.0.1:8097", "Sec-Fetch-Site": "cross-site"}
    assert guard.refusal("POST", headers, []) and not guard.refusal("GET", headers, [])  # a link may lead here


@pytest.mark.parametrize("dest", ["iframe", "frame", "object", "embed", "script", "image", "empty"])
@pytest.mark.parametrize("is_public", [False, True])
def test_a_page_of_another_site_does_not_have_ours_within_itself(dest, is_public):
    """One would press buttons in it, such as the one that deletes, and believe to press those of the other page."""
    headers = {"Host": "127.0.0.1:8097", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": dest}
    assert "from another site" in guard.refusal("GET", headers, [], is_public)
    assert not guard.refusal("GET", {**headers, "Sec-Fetch-Site": "same-origin"}, [], is_public)
    assert not guard.refusal("GET", {**headers, "Sec-Fetch-Dest": "document"}, [], is_public)


def test_a_few_tries_to_log_in_and_then_one_a_second():
    clock = [0.0]
    logins = guard.Logins(lambda: clock[0])
    for _ in range(5):
        assert logins.wait_s() == 0.0
        logins.wrong()
    assert logins.wait_s() == 5.0
    clock[0] = 4.0
    assert logins.wait_s() == 1.0
    clock[0] = 5.0
    assert logins.wait_s() == 0.0
