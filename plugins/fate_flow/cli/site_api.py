"""The API of the site itself, as commands of its administrator use it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from typing import Any

import requests

from fate_flow.cli import airflow_config, site
from fate_flow.client.address import TOKEN_VARIABLE
from fate_flow.client.answers import ApiError, ServerUnreachableError
from fate_flow.client.transport import Transport
from fate_flow.errors import FateFlowError
from fate_flow.settings import Settings, default_home, load

_LOGIN_SECONDS = 30.0


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Settings of ``--home``.

    Raises:
        ConfigurationError: there is no site.
    """
    home = (arguments.home or default_home()).expanduser().resolve()
    site.require_site(home)
    return load(home)


def call(settings: Settings, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """``data`` of the answer.

    Raises:
        FateFlowError: no answer, or an answer that says no.
    """
    transport = Transport(settings.http_url, token=_token(settings))
    try:
        answer = transport.call(path, dict(body or {}))
    except ServerUnreachableError as error:
        if error.refused:
            raise FateFlowError(
                f"no site answers at {settings.http_url}",
                remedy=f"Run: fate_flow service start --home {settings.home}",
            ) from None
        raise
    finally:
        transport.close()
    if answer.get("retcode") != 0:
        retcode = int(answer.get("retcode", 100))
        raise ApiError(str(answer.get("retmsg", "no reason given")), retcode=retcode, answer=answer)
    return answer.get("data")


def _token(settings: Settings) -> str | None:
    """That of the environment, else one for the administrator whose password lies in the home."""
    if not settings.USE_AUTHENTICATION or os.environ.get(TOKEN_VARIABLE):
        return None
    try:
        passwords = json.loads(airflow_config.passwords_file(settings).read_text())
        name, password = next(iter(passwords.items()))
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                f"{settings.http_url}/auth/token",
                json={"username": name, "password": password},
                timeout=_LOGIN_SECONDS,
            )
        return str(answer.json()["access_token"])
    except (OSError, ValueError, StopIteration, KeyError, AttributeError):
        # The server's own answer says best what is missing.
        return None
