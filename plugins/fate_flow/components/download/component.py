"""The Download component; runs at role local only."""

from __future__ import annotations

from fate_flow.components.download.params import DownloadParam
from fate_flow.data.export import write_file
from fate_flow.data.paths import writable_file
from fate_flow.data.table import Table
from fate_flow.runtime.component import Component


class Download(Component[DownloadParam]):
    """Writes a table's rows as lines, without a header."""

    param_class = DownloadParam

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        param, tracker = self.param, self.context.tracker
        table = self.context.tables.open(param.namespace, param.table_name)
        path = writable_file(param.output_path)
        rows = write_file(
            table,
            path,
            delimiter=param.delimitor,
            progress=lambda share: tracker.progress(share, f"writing {path.name}"),
        )
        tracker.progress(1.0, f"{rows} rows written")
        tracker.metrics(
            "download",
            "data_access",
            [("count", rows)],
            {"name": "download", "metric_type": "DOWNLOAD"},
        )
        self.note(f"{rows} rows of table {table.name} were written to {path}")
        return None
