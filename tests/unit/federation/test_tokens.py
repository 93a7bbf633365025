from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fate_flow.entities import Party
from fate_flow.errors import FateFlowError
from fate_flow.federation import tokens
from fate_flow.federation.tokens import TokenError

SECRET = bytes(range(32))


def _token(ttl: float = 60.0) -> str:
    return tokens.issue(SECRET, job_id="J", component="lr_0", role="guest", party_id=9999, ttl=ttl)


def test_what_is_issued_is_verified() -> None:
    claims = tokens.verify(SECRET, _token())
    assert (claims.job_id, claims.component, claims.party) == ("J", "lr_0", Party("guest", 9999))
    assert claims.expires == pytest.approx(time.time() + 60, abs=2)
    assert claims.who == "guest 9999 in lr_0 of job J"


@pytest.mark.parametrize("token", ["", "x", ".", "a.b", "a.b.c", "ä.b", "a" * 9000, "a.b\n"])
def test_forms_that_are_not_tokens(token: str) -> None:
    with pytest.raises(TokenError):
        tokens.verify(SECRET, token)


def test_expired_says_since_when() -> None:
    with pytest.raises(TokenError, match="expired 5 s ago"):
        tokens.verify(SECRET, _token(ttl=-5))


def test_kinds_and_secrets_do_not_mix() -> None:
    site = tokens.issue_site(SECRET)
    tokens.verify_site(SECRET, site)
    for wrong in (
        lambda: tokens.verify(SECRET, site),
        lambda: tokens.verify_site(SECRET, _token()),
    ):
        with pytest.raises(TokenError, match="not signed by this site, or is of another kind"):
            wrong()
    with pytest.raises(TokenError):
        tokens.verify(b"x" * 32, _token())
    with pytest.raises(ValueError, match="empty"):
        tokens.issue_site(b"")


@given(st.integers(0, 200), st.integers(1, 127))
def test_no_changed_token_passes(position: int, change: int) -> None:
    token = _token()
    position %= len(token)
    changed = token[:position] + chr(ord(token[position]) ^ change) + token[position + 1 :]
    with pytest.raises(FateFlowError) as caught:
        tokens.verify(SECRET, changed)
    assert token not in str(caught.value)


def test_a_role_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="role 'boss'"):
        tokens.issue(SECRET, job_id="J", component="c", role="boss", party_id=1, ttl=1)


def test_a_ticket_is_for_one_job_and_its_parties() -> None:
    parties = [Party("host", 10000), Party("arbiter", 10000)]
    text = tokens.issue_ticket(SECRET, job_id="J", parties=parties, ttl=60)
    ticket = tokens.verify_ticket(SECRET, text)
    assert (ticket.job_id, ticket.parties) == ("J", frozenset(parties))
    for wrong in (
        lambda: tokens.verify(SECRET, text),
        lambda: tokens.verify_ticket(SECRET, _token()),
        lambda: tokens.verify_ticket(b"other", text),
    ):
        with pytest.raises(TokenError, match="not signed by this site"):
            wrong()
    with pytest.raises(TokenError, match="expired"):
        tokens.verify_ticket(
            SECRET, tokens.issue_ticket(SECRET, job_id="J", parties=parties, ttl=-1)
        )
