"""What all groups of calls share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fate_flow.client.answers import ApiError
from fate_flow.client.files import saved, unpack
from fate_flow.client.transport import Transport, envelope
from fate_flow.errors import RETCODE_NOT_FOUND, RETCODE_OK

Body = Mapping[str, Any]


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


class Calls:
    """Base of the groups of endpoints; ``transport`` sends."""

    transport: Transport

    def _call(self, path: str, body: Body, *, repeatable: bool = False) -> dict[str, Any]:
        return checked(self.transport.call(path, dict(body), repeatable=repeatable))

    def _ask(self, path: str, body: Body) -> dict[str, Any]:
        return self._call(path, body, repeatable=True)

    def _rows(self, path: str, body: Body) -> list[dict[str, Any]]:
        """Rows of a query; "nothing found" is an empty list."""
        answer = self.transport.call(path, dict(body), repeatable=True)
        if answer.get("retcode") == RETCODE_NOT_FOUND:
            return []
        rows: list[dict[str, Any]] = checked(answer).get("data") or []
        return rows

    def _download_archive(
        self,
        path: str,
        body: Body,
        folder: Path,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> list[Path]:
        """Fetch a tar.gz and unpack it below ``folder``; returns the files."""
        with self.transport.download(path, dict(body)) as response:
            refuse_json(response)
            with saved(response, folder, progress) as archive:
                return unpack(archive, folder)


def checked(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer itself.

    Raises:
        ApiError: its retcode is not 0.
    """
    retcode = answer.get("retcode")
    if retcode != RETCODE_OK:
        text = str(answer.get("retmsg") or f"the server answered with retcode {retcode}")
        code = retcode if isinstance(retcode, int) else 100
        raise ApiError(text, retcode=code, answer=answer)
    return answer


def refuse_json(response: Any) -> None:
    """File endpoints answer with JSON when something is wrong.

    Raises:
        ApiError: the answer is such a message.
    """
    kind = response.headers.get("Content-Type", "")
    if response.status_code != 200 or kind.startswith(("application/json", "text/html")):
        answer = envelope(response)
        text = str(answer.get("retmsg") or "the download failed")
        raise ApiError(text, retcode=int(answer.get("retcode") or 100), answer=answer)
