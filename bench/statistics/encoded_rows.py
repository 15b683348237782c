"""Rows of features that know what gave them, so that whoever compares them need not be told."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bench.api import ColumnUnits, Rows


class EncodedRows(np.ndarray[Any, np.dtype[np.float32]]):
    """``(N, D)`` float32 features with the ``id`` of their encoder and the units of its columns.

    A selection of rows knows the same; what is computed from rows with other arrays knows what the first of them knew.
    """

    encoder_id: str | None = None
    column_units: ColumnUnits | None = None

    @classmethod
    def of(cls, rows: Rows, encoder_id: str, units: ColumnUnits) -> EncodedRows:
        """The rows of an encoder."""
        found = np.asarray(rows, np.float32).view(cls)
        found.encoder_id, found.column_units = encoder_id, units
        return found

    def __array_finalize__(self, source: npt.NDArray[Any] | None) -> None:
        self.encoder_id = getattr(source, "encoder_id", None)
        self.column_units = getattr(source, "column_units", None)

    def __reduce__(self) -> Any:
        return EncodedRows.of, (np.asarray(self), self.encoder_id, self.column_units)
