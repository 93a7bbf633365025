"""The model cache of a site: save, load, list; every save is atomic.

A *party model id* is ``<role>#<party>#<model id>``; a *version* is the id of the job that
trained it. A component's model is a set of buffers, stored under an alias.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.message import Message

from fate_flow.errors import NotFoundError
from fate_flow.models import layout, registry
from fate_flow.models.proto.pipeline_pb2 import Pipeline
from fate_flow.version import FATE_VERSION

_PIPELINE = "pipeline"
_DESCRIPTION = "This is the model definition meta"


class ModelExistsError(NotFoundError):
    """A model of this id and version is there already."""

    code = "model_exists"
    retcode = 100


@dataclass(frozen=True)
class ModelJson:
    """One component's model for reading by people.

    Attributes:
        param: the message whose buffer name ends with ``Param``, as JSON; None without one.
        meta: the same for ``Meta``.
        module: module name of the component.
    """

    param: dict[str, Any] | None
    meta: dict[str, Any] | None
    module: str


class ModelStore:
    """All models below one folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def folder(self, party_model_id: str, version: str) -> Path:
        """Where a model lies, or would lie.

        Raises:
            InvalidInputError: a name cannot be a folder name.
        """
        return layout.version_folder(self.root, party_model_id, version)

    def exists(self, party_model_id: str, version: str) -> bool:
        return (self.folder(party_model_id, version) / layout.DEFINE_META).is_file()

    def create(self, party_model_id: str, version: str) -> Path:
        """Make the folder of a new model.

        Raises:
            ModelExistsError: there is one.
        """
        folder = self.folder(party_model_id, version)
        if folder.exists():
            raise ModelExistsError(
                "Model creation failed because it has already been created, "
                f"model cache path is {folder}"
            )
        self._make(folder)
        return folder

    def _make(self, folder: Path) -> None:
        """Make the skeleton in one step; no harm when another process was faster."""
        aside = folder.parent / f".new-{uuid.uuid4().hex}"
        (aside / layout.DEFINE_PROTO).mkdir(parents=True)
        (aside / layout.INDEX).mkdir(parents=True)
        (aside / layout.DATA).mkdir(parents=True)
        for source in registry.proto_files():
            shutil.copyfile(source, aside / layout.DEFINE_PROTO / source.name)
        document = {"describe": _DESCRIPTION, "component_define": {}, "model_proto": {}}
        _write_define(aside, document)
        try:
            aside.rename(folder)
        except OSError:
            shutil.rmtree(aside, ignore_errors=True)
            if not folder.exists():
                raise

    def save(
        self,
        party_model_id: str,
        version: str,
        component: str,
        module: str,
        alias: str,
        buffers: Mapping[str, Message],
    ) -> None:
        """Store a component's model, replacing what the alias held.

        A reader sees all buffers of the old model or all of the new one. The model's folder
        is made when it is not there.

        Args:
            buffers: buffer name -> message.
        """
        folder = self.folder(party_model_id, version)
        target = layout.alias_folder(folder, component, alias)
        names = {layout.check_name("buffer", name): message for name, message in buffers.items()}
        if not folder.exists():
            self._make(folder)
        aside = folder / layout.DATA / f".new-{uuid.uuid4().hex}"
        aside.mkdir(parents=True)
        try:
            for name, message in names.items():
                (aside / name).write_bytes(registry.serialise(message))
            with layout.locked(folder):
                target.parent.mkdir(exist_ok=True)
                layout.replace_folder(aside, target)
                define = self.definition(folder)
                define["component_define"][component] = {"module_name": module}
                define["model_proto"].setdefault(component, {})[alias] = {
                    name: type(message).DESCRIPTOR.name for name, message in names.items()
                }
                _write_define(folder, define)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def load(
        self, party_model_id: str, version: str, component: str, alias: str
    ) -> dict[str, bytes]:
        """Buffer name -> stored bytes, in the order of the definition file.

        A message that was empty is returned as empty bytes, not as its filler.

        Raises:
            NotFoundError: no such model, component or alias.
        """
        return {
            name: b"" if data == registry.EMPTY_FILL else data
            for name, data, _ in self._stored(party_model_id, version, component, alias)
        }

    def _stored(
        self, party_model_id: str, version: str, component: str, alias: str
    ) -> list[tuple[str, bytes, str]]:
        """(buffer name, stored bytes, class name) of one alias."""
        folder = self._existing(party_model_id, version)
        target = layout.alias_folder(folder, component, alias)
        with layout.locked(folder, shared=True):
            if not target.is_dir():
                raise NotFoundError(
                    f"model {party_model_id} {version} has no {component}.{alias}",
                    remedy="Its parts: " + (", ".join(self._parts(folder)) or "none"),
                )
            classes = self.definition(folder)["model_proto"].get(component, {}).get(alias, {})
            found = {path.name: path.read_bytes() for path in sorted(target.iterdir())}
        ordered = [name for name in classes if name in found]
        ordered += [name for name in found if name not in classes]
        return [(name, found[name], str(classes.get(name, ""))) for name in ordered]

    def _existing(self, party_model_id: str, version: str) -> Path:
        folder = self.folder(party_model_id, version)
        if not (folder / layout.DEFINE_META).is_file():
            raise NotFoundError(f"Can not found {party_model_id} {version} model local cache")
        return folder

    @staticmethod
    def _parts(folder: Path) -> list[str]:
        return [
            f"{component.name}.{alias.name}"
            for component in sorted((folder / layout.DATA).iterdir())
            if not component.name.startswith(".")
            for alias in sorted(component.iterdir())
            if not alias.name.startswith(".")
        ]

    @staticmethod
    def definition(folder: Path) -> dict[str, Any]:
        """The definition file of a model folder: ``component_define`` and ``model_proto``.

        Raises:
            ModelFormatError: it is missing or damaged.
        """
        try:
            document = yaml.safe_load((folder / layout.DEFINE_META).read_text())
        except (OSError, yaml.YAMLError):
            document = None
        if not isinstance(document, dict):
            raise registry.ModelFormatError(f"{folder.name}/{layout.DEFINE_META} cannot be read")
        for key in ("component_define", "model_proto"):
            if not isinstance(document.get(key), dict):
                document[key] = {}
        return document

    def parts(self, party_model_id: str, version: str) -> list[str]:
        """``<component>.<alias>`` of all stored parts."""
        return self._parts(self._existing(party_model_id, version))

    def load_all(self, party_model_id: str, version: str) -> dict[str, bytes]:
        """``<component>.<alias>:<buffer>`` -> stored bytes (fillers kept), as FATE-Serving
        wants them, the pipeline included.

        Raises:
            NotFoundError: no such model.
        """
        found: dict[str, bytes] = {}
        for part in self.parts(party_model_id, version):
            component, _, alias = part.partition(".")
            for name, data, _ in self._stored(party_model_id, version, component, alias):
                found[f"{part}:{name}"] = data
        return found

    def read_json(self, party_model_id: str, version: str, component: str, alias: str) -> ModelJson:
        """A component's model as JSON objects.

        Raises:
            NotFoundError: nothing is stored under the alias.
            UnsupportedError, ModelFormatError: it cannot be read.
        """
        param: dict[str, Any] | None = None
        meta: dict[str, Any] | None = None
        for name, data, kind in self._stored(party_model_id, version, component, alias):
            if name.endswith("Param"):
                param = registry.to_json(registry.parse(name, data, kind))
            elif name.endswith("Meta"):
                meta = registry.to_json(registry.parse(name, data, kind))
        define = self.definition(self.folder(party_model_id, version))
        entry = define["component_define"].get(component) or {}
        return ModelJson(param, meta, str(entry.get("module_name", "")))

    # -- the pipeline ------------------------------------------------------------------------

    def save_pipeline(
        self,
        party_model_id: str,
        version: str,
        *,
        inference_dsl: Mapping[str, Any] | bytes,
        train_dsl: Mapping[str, Any] | bytes,
        train_runtime_conf: Mapping[str, Any] | bytes,
        model_id: str,
    ) -> None:
        """Store what is needed to predict with this model (documents, or their JSON texts).

        Args:
            model_id: without the role and party prefix.
        """
        message = Pipeline(
            inference_dsl=_json_bytes(inference_dsl),
            train_dsl=_json_bytes(train_dsl),
            train_runtime_conf=_json_bytes(train_runtime_conf),
            fate_version=FATE_VERSION,
            model_id=model_id,
            model_version=version,
        )
        self.save(party_model_id, version, _PIPELINE, "Pipeline", _PIPELINE, {"Pipeline": message})
        folder = self.folder(party_model_id, version)
        layout.write_file(folder / layout.PIPELINE, registry.serialise(message))

    def read_pipeline(self, party_model_id: str, version: str) -> Pipeline:
        """The stored pipeline message.

        Raises:
            NotFoundError: no such model, or a model whose job has not ended.
            ModelFormatError: it cannot be read.
        """
        data = self.load(party_model_id, version, _PIPELINE, _PIPELINE)
        message = registry.parse("Pipeline", data.get("Pipeline", b""))
        if not isinstance(message, Pipeline):  # pragma: no cover - the class is ours
            raise registry.ModelFormatError("the pipeline has another message class")
        return message

    def remove(self, party_model_id: str, version: str) -> bool:
        """Delete a model version; False when there was none."""
        folder = self.folder(party_model_id, version)
        if not folder.exists():
            return False
        old = folder.parent / f".old-{uuid.uuid4().hex}"
        folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)
        with contextlib.suppress(OSError):  # other versions are there
            folder.parent.rmdir()
        return True


def _json_bytes(document: Mapping[str, Any] | bytes) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def _write_define(folder: Path, document: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(document), sort_keys=False)
    layout.write_file(folder / layout.DEFINE_META, text.encode())
