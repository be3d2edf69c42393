"""The page on which people review labels: one HTML file that works from disk."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from noisyfit.base import BaseNoisyClassifier

_TEMPLATE = "review_page.html"
_LARGEST_SIDE = 512


def write_page(
    est: BaseNoisyClassifier,
    report: Any,
    path: str | Path,
    *,
    texts: Sequence[str] | None,
    images: Any,
    table: Any,
    names: Sequence[str] | None,
) -> None:
    """Write the page for the lines of a label report.

    Parameters
    ----------
    est : fitted noisyfit estimator
    report : pandas.DataFrame
        Of `noisyfit.review.label_report`, or its first lines.
    path : str or Path
    texts, images, table, names
        As for `noisyfit.review.review_page`.
    """
    classes = [str(label) for label in est.classes_]
    code = {label: i for i, label in enumerate(est.classes_.tolist())}
    pairs = Counter(zip(report.given.tolist(), report.suggested.tolist(), strict=True))
    number = {pair: i for i, (pair, _) in enumerate(pairs.most_common())}
    rows = []
    for line in report.itertuples():
        row = {
            "row": int(line.row),
            "given": code[line.given],
            "suggested": code[line.suggested],
            "score": round(float(line.noise_score), 6),
            "rank": int(line.rank),
            "pair": number[line.given, line.suggested],
            "reason": line.reason,
        }
        if texts is not None:
            row["text"] = str(texts[line.row])
        if images is not None:
            row["image"] = _data_uri(images[line.row])
        if table is not None:
            row["values"] = [_written(v) for v in _values(table, line.row)]
        rows.append(row)
    data = {
        "title": f"Label review: {type(est).__name__}, {len(rows):,} of {len(est.noise_scores_):,}",
        "classes": classes,
        "names": None if names is None else [str(name) for name in names],
        "pairs": [[code[a], code[b], pairs[a, b]] for a, b in number],
        "rows": rows,
    }
    # In a script element nothing but these could end it or begin a comment.
    content = json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e")
    # The browser keeps the decisions under this name.
    name = hashlib.sha256(content.encode("ascii")).hexdigest()[:16]
    html = files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    html = html.replace("__NAME__", name).replace("__DATA__", content)
    Path(path).write_text(html, encoding="utf-8")


def _values(table: Any, row: int) -> Any:
    if sparse.issparse(table):
        return table[[row]].toarray()[0]
    return table.iloc[row] if hasattr(table, "iloc") else np.asarray(table[row])


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)


def _data_uri(image: Any) -> str:
    """Write an image, (height, width), (channels, height, width) or PIL, as the text of a PNG."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        pixels = np.asarray(image)
        pixels = pixels[None] if pixels.ndim == 2 else pixels
        if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
            raise ValueError(
                "An image must have the shape (height, width) or (channels, height, width) with "
                f"one or three channels. Got {pixels.shape}."
            )
        if pixels.dtype != np.uint8:
            low, high = float(pixels.min()), float(pixels.max())
            pixels = ((pixels - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
        pixels = pixels.transpose(1, 2, 0)
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image = image.convert("RGB" if image.mode not in ("L", "RGB") else image.mode)
    image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
