"""The two components; they run at role local only."""

from __future__ import annotations

from pathlib import Path

from fate_flow.components.model_archive.params import (
    ModelArchiveParam,
    ModelRestoreParam,
    ModelStoreParam,
)
from fate_flow.data.table import Table
from fate_flow.errors import UnsupportedError
from fate_flow.models.archive import export_model, import_model
from fate_flow.runtime.component import Component
from fate_flow.runtime.context import ModelAccess


class _ModelMover(Component[ModelArchiveParam]):
    """What both have in common."""

    @property
    def _models(self) -> ModelAccess:
        if self.context.models is None:
            raise UnsupportedError(f"{self.context.identity.module} was given no access to models")
        return self.context.models

    @property
    def _model(self) -> tuple[str, str]:
        return str(self.param.model_id), str(self.param.model_version)

    @property
    def _archive(self) -> Path:
        return Path(self.context.work_dir) / "model.zip"


class ModelStore(_ModelMover):
    """Zips a model of the cache and puts the archive into the store."""

    param_class = ModelStoreParam

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        models = self._models
        target = models.archives.open(self.param.store_address)
        archive = export_model(models.store, *self._model, self._archive)
        target.put(*self._model, archive)
        self.note(f"model {' '.join(self._model)}: {archive.stat().st_size} bytes stored")
        return None


class ModelRestore(_ModelMover):
    """Fetches an archive from the store and unpacks it as a model of the cache."""

    param_class = ModelRestoreParam

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        models = self._models
        models.archives.open(self.param.store_address).get(*self._model, self._archive)
        import_model(models.store, *self._model, self._archive)
        self.note(f"model {' '.join(self._model)} restored")
        return None
