"""``fate_flow lint``: check a job's two documents without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fate_flow.errors import InvalidInputError, NotFoundError


def read_document(path: Path) -> Any:
    """A JSON document.

    Raises:
        NotFoundError: no such file.
        InvalidInputError: not JSON; says line and column.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise InvalidInputError(
            f"{path}: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
