"""What came through each source, as one row per source, written with each commit."""

from __future__ import annotations

from collections.abc import Mapping

import apsw

from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.row_reader import RowReader
from statecast.stores.sqlite.tables import sealed, table
from statecast.stores.totals import Totals

TOTALS = table("totals")


def read(connection: apsw.Connection, reader: RowReader) -> dict[str, Totals]:
    """The totals by source; those of a damaged row are not known."""
    found = reader.rows(connection, TOTALS, "ORDER BY source")
    return {source: Totals(*numbers) for source, *numbers, _ in found}


def add(connection: apsw.Connection, reader: RowReader, totals: Mapping[str, Totals]) -> None:
    """Add to the rows of sources; a damaged row begins at 0 again."""
    for source, one in totals.items():
        found = reader.rows(connection, TOTALS, "WHERE source = ?", (source,))
        before = Totals(*found[0][1:-1]) if found else Totals()
        rows(
            connection,
            TOTALS.replace,
            sealed(
                (
                    source,
                    *(before + one).numbers(),
                )
            ),
        )
        if not found:
            reader.clear(TOTALS, (source,))
