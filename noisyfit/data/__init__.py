"""From what users pass as X, y, trusted, groups and pred_proba to batches of rows with ids."""

from noisyfit.data._array_checks import (
    as_numpy,
    check_channels_first,
    check_pixels,
    stacked,
)
from noisyfit.data._checks import (
    check_groups,
    check_labels,
    check_mask,
    check_trusted,
    check_X,
    check_X_y,
    encode_labels,
)
from noisyfit.data._columns import is_missing
from noisyfit.data._dataset_items import dataset_targets, first_input
from noisyfit.data._hf_rows import HFRows
from noisyfit.data._identifying import identifying_parts
from noisyfit.data._image_scaling import ImageScaler
from noisyfit.data._inputs import any_input, map_inputs
from noisyfit.data._labels import gap_rows, plain_labels
from noisyfit.data._loader import BatchLoader, batch_sizes
from noisyfit.data._make_rows import Scaler, fit_scaler, make_rows, row_shape, users_scaler
from noisyfit.data._near_copies import near_copy_groups
from noisyfit.data._parquet import parquet_dataset
from noisyfit.data._picture_paths import are_picture_paths, listed
from noisyfit.data._pred_proba import check_pred_proba
from noisyfit.data._refusals import unwrapped
from noisyfit.data._rows import Rows
from noisyfit.data._scaling import TableScaler
from noisyfit.data._select import check_selectable, select_rows
from noisyfit.data._sliceable import SliceableDataset
from noisyfit.data._sources import (
    SINGLE_READS,
    Source,
    SparseSource,
    StreamSource,
    TensorSource,
    View,
    as_tensor,
)
from noisyfit.data._stored import StoredSource
from noisyfit.data._telling_columns import TellingColumns, telling_columns

__all__ = [
    "BatchLoader",
    "HFRows",
    "ImageScaler",
    "Rows",
    "SliceableDataset",
    "SparseSource",
    "StreamSource",
    "TableScaler",
    "TensorSource",
    "check_labels",
    "check_trusted",
    "fit_scaler",
    "make_rows",
    "parquet_dataset",
]
