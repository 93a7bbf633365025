"""The Upload component; runs at role local only."""

from __future__ import annotations

import time

from fate_flow.components.upload.params import UploadParam
from fate_flow.data.paths import readable_file
from fate_flow.data.table import Table
from fate_flow.data.upload import UploadReport, upload
from fate_flow.runtime.component import Component


class Upload(Component[UploadParam]):
    """Imports a file and reports how many lines and rows there were."""

    param_class = UploadParam

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        param, tracker = self.param, self.context.tracker
        path = readable_file(param.file)
        # Without names FATE 1.4 takes the file's for the namespace and the time for the table.
        namespace = path.name if param.namespace is None else param.namespace
        name = time.strftime("%Y%m%d%H%M%S") if param.table_name is None else param.table_name
        report = upload(
            self.context.tables,
            path,
            namespace,
            name,
            head=bool(param.head),
            partitions=param.partition,
            delimiter=param.delimiter,
            drop=param.drop,
            in_version=param.in_version,
            progress=lambda share: tracker.progress(share, f"uploading {path.name}"),
        )
        self._tell(report)
        return None

    def _tell(self, report: UploadReport) -> None:
        table, tracker = report.table, self.context.tracker
        tracker.data_view(
            table_name=table.name,
            table_namespace=table.namespace,
            partition=table.partitions,
            table_count_upload=report.upload_count,
            table_count_actual=report.actual_count,
        )
        tracker.metrics(
            "upload",
            "data_access",
            [("count", report.actual_count)],
            {"name": "upload", "metric_type": "UPLOAD"},
        )
        self.note(
            f"table {table.name} of namespace {table.namespace}: {report.upload_count} lines read,"
            f" {report.actual_count} rows now, {report.overwritten} older rows overwritten"
        )
        for warning in report.warnings:
            self.context.log.warning(warning)
