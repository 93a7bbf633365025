"""What handlers ask for: the session of the request and the settings of the site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from fate_flow.data.table import TableStore
from fate_flow.db.session import create_session
from fate_flow.models.store import ModelStore
from fate_flow.settings import Settings


def get_session() -> Iterator[Session]:
    """One transaction per request: committed before the answer is sent, rolled back on an error."""
    with create_session() as session:
        yield session


def get_settings(request: Request) -> Settings:
    """The settings that the app was made with."""
    settings: Settings = request.app.state.settings
    return settings


#: ``scope="function"`` makes the commit happen before the answer leaves.
DbSession = Annotated[Session, Depends(get_session, scope="function")]
SiteSettings = Annotated[Settings, Depends(get_settings)]


def get_tables(settings: SiteSettings) -> TableStore:
    return TableStore(settings.tables_dir)


def get_models(settings: SiteSettings) -> ModelStore:
    return ModelStore(settings.models_dir)


Tables = Annotated[TableStore, Depends(get_tables)]
Models = Annotated[ModelStore, Depends(get_models)]
