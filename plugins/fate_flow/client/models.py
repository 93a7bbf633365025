"""Calls about trained models, and about privileges."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fate_flow.client.answers import Submission
from fate_flow.client.calls import Calls, checked, given, refuse_json
from fate_flow.client.files import name_of, saved
from fate_flow.errors import DataError, ProtocolError

#: Role -> party ids; texts, because the serving's messages carry texts.
Roles = Mapping[str, Sequence["int | str"]]


def _deployment(
    initiator: tuple[str, int | str], roles: Roles, model_id: str, model_version: str, mode: int
) -> dict[str, Any]:
    return {
        "initiator": {"role": initiator[0], "party_id": str(initiator[1])},
        "role": {role: [str(i) for i in ids] for role, ids in roles.items()},
        "job_parameters": {
            "work_mode": mode,
            "model_id": model_id,
            "model_version": model_version,
        },
    }


class ModelCalls(Calls):
    """``/v1/model`` and ``/v1/permission``."""

    def load_model(
        self,
        initiator: tuple[str, int | str],
        roles: Roles,
        model_id: str,
        model_version: str,
        *,
        work_mode: int = 0,
    ) -> dict[str, dict[str, int]]:
        """Publish to the servings of every party; returns role -> party -> retcode.

        The call succeeds when every party was asked; look at the retcodes.
        """
        body = _deployment(initiator, roles, model_id, model_version, work_mode)
        return dict(self._call("model/load", body).get("data") or {})

    def bind_model(
        self,
        service_id: str,
        initiator: tuple[str, int | str],
        roles: Roles,
        model_id: str,
        model_version: str,
        *,
        work_mode: int = 0,
        servings: Sequence[str] | None = None,
    ) -> str:
        """Let servings (``host:port``) answer requests for ``service_id`` with this model."""
        body = _deployment(initiator, roles, model_id, model_version, work_mode)
        body["service_id"] = service_id
        if servings:
            body["servings"] = list(servings)
        return str(self._call("model/bind", body).get("retmsg", ""))

    def transfer_model(self, party_model_id: str, model_version: str) -> dict[str, bytes]:
        """Every buffer of a model part: ``<component>.<alias>:<message name>`` -> bytes."""
        body = {"namespace": party_model_id, "name": model_version}
        data = self._ask("model/transfer", body).get("data") or {}
        try:
            return {key: base64.b64decode(text, validate=True) for key, text in data.items()}
        except (binascii.Error, TypeError, ValueError):
            raise ProtocolError("the server's answer holds a model that is not base64") from None

    def version_history(self, namespace: str) -> list[dict[str, Any]]:
        """At most ten version records, newest first."""
        return self._rows("model/version_history", {"namespace": namespace})

    def save_version(self, namespace: str, name: str, version_log: str = "") -> None:
        """Append a version record."""
        body = {"namespace": namespace, "name": name, "version_log": version_log}
        self._call("model/version/save", body)

    def store_model(
        self,
        party_model_id: str,
        model_version: str,
        store_address: Mapping[str, Any] | None = None,
    ) -> Submission:
        """Put a model part into the model store, as a job of its own."""
        body = given(
            model_id=party_model_id, model_version=model_version, store_address=store_address
        )
        return Submission.from_answer(self._call("model/store", body))

    def restore_model(
        self,
        party_model_id: str,
        model_version: str,
        store_address: Mapping[str, Any] | None = None,
    ) -> Submission:
        """Fetch a model part from the model store, as a job of its own."""
        body = given(
            model_id=party_model_id, model_version=model_version, store_address=store_address
        )
        return Submission.from_answer(self._call("model/restore", body))

    def export_model(
        self,
        party_model_id: str,
        model_version: str,
        folder: Path | str,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> Path:
        """Fetch a model part as a zip into ``folder``; returns the file."""
        body = {"model_id": party_model_id, "model_version": model_version}
        with self.transport.download("model/export", body) as response:
            refuse_json(response)
            name = name_of(response) or f"{party_model_id}_{model_version}.zip".replace("/", "_")
            with saved(response, Path(folder), on_progress) as temporary:
                return temporary.replace(Path(folder) / name)

    def import_model(
        self,
        party_model_id: str,
        model_version: str,
        file: Path | str,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> None:
        """Unpack an exported zip into the server's model cache.

        Raises:
            DataError: the file cannot be read.
            ApiError: the model is there already, or the archive is not accepted.
        """
        path = Path(file)
        fields = {"model_id": party_model_id, "model_version": model_version}
        try:
            content = path.open("rb")
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        with content:
            answer = self.transport.upload("model/import", fields, path.name, content, on_progress)
        checked(answer)

    def grant_privilege(
        self,
        src_party_id: int | str,
        src_role: str,
        *,
        roles: str | None = None,
        commands: str | None = None,
        components: str | None = None,
    ) -> None:
        """Allow a peer roles, commands and components: names with commas between, or ``all``."""
        self._privilege("grant", src_party_id, src_role, roles, commands, components)

    def delete_privilege(
        self,
        src_party_id: int | str,
        src_role: str,
        *,
        roles: str | None = None,
        commands: str | None = None,
        components: str | None = None,
    ) -> None:
        """Take privileges back."""
        self._privilege("delete", src_party_id, src_role, roles, commands, components)

    def query_privilege(self, src_party_id: int | str, src_role: str) -> dict[str, Any]:
        """What a peer may do."""
        body = {"src_party_id": str(src_party_id), "src_role": src_role}
        return dict(self._ask("permission/query/privilege", body).get("data") or {})

    def _privilege(
        self,
        operation: str,
        party_id: int | str,
        role: str,
        roles: str | None,
        commands: str | None,
        components: str | None,
    ) -> None:
        body = given(
            src_party_id=str(party_id),
            src_role=role,
            privilege_role=roles,
            privilege_command=commands,
            privilege_component=components,
        )
        self._call(f"permission/{operation}/privilege", body)
