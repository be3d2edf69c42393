"""Faults that were found by trying, each by its name: the right value, or a clear error."""

from __future__ import annotations


# --- C01 output of transformers ---


# --- C02 softmax at the end ---


# --- C03 labels of a data set ---


# --- C04 callbacks ---


# --- C05 imbalanced-learn ---


# --- C06 review, decisions of a frame ---


# --- C07 images ---


# --- C08 sparse and dense ---


# --- C09 frames ---


# --- C10 words ---


# --- C11 notebooks ---


# --- C12 others ---


# --- B01 offsets ---


# --- B02 other rows ---


# --- B03 a class lost ---


# --- B04 rare class ---


# --- B05 pair noise ---


# --- B06 row numbers ---


# --- B08 clean digits ---


# --- B09 X says nothing ---


# --- B10 review, labels beside gaps ---


# --- B11 nullable labels ---


# --- B12 EpochScoring ---


# --- B13 Dataset in cross-validation ---


# --- B14 IterableDataset ---


# --- B15 LRScheduler ---


# --- NaN noise rate ---


# --- frozen BatchNorm ---
