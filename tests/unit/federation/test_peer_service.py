from __future__ import annotations

import pytest

from fate_flow.federation.peer_service import _reply
from fate_flow.federation.peers import SiteNotReadyError


def test_an_answer_is_handed_on() -> None:
    reply = _reply(200, b'{"retcode": 100, "retmsg": "no", "data": {"error": "x"}}')
    assert (reply.code, reply.text, reply.data) == (100, "no", b'{"error": "x"}')


@pytest.mark.parametrize("content", [b'{"retcode": 100, "retmsg": "the database"}', b"<html>"])
def test_trouble_of_the_site_is_not_its_refusal(content: bytes) -> None:
    with pytest.raises(SiteNotReadyError):
        _reply(503, content)
