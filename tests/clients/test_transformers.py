"""Models of transformers as networks of several inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _trial import client
from torch.utils.data import StackDataset

from noisyfit import DLTClassifier, DynamicsLSTMDetector, MILDSelector

pytestmark = pytest.mark.slow

LABELS = np.arange(60) % 3


def tiny():
    """Return a model for sentences of tokens, frozen but for its classifier."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(
        vocab_size=30, intermediate_size=16, max_position_embeddings=8, num_labels=3, **sizes
    )
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config)
    model.base_model.requires_grad_(False)
    return model


def tokens():
    transformers = pytest.importorskip("transformers")
    ids = torch.randint(4, 30, (60, 6), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = torch.from_numpy(LABELS) + 1
    mask = torch.ones_like(ids)
    mask[::2, 4:] = 0
    return transformers.BatchEncoding({"input_ids": ids, "attention_mask": mask})


@client("transformers")
@pytest.mark.parametrize(
    "est",
    [MILDSelector(rounds=1), DynamicsLSTMDetector()],
    ids=lambda est: type(est).__name__,
)
def test_model(est):
    """A model of transformers as `module=`, frozen but for its classifier, of tokens and a mask."""
    model = tiny()
    est.set_params(
        module=model,
        max_epochs=10,
        judge_epochs=1,
        random_state=0,
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        iterator_train__num_workers=0,
        optimizer__param_groups=[("classifier.*", {"lr": 0.1})],
    )
    rows = StackDataset(**tokens())
    assert est.fit(rows, LABELS).score(rows, LABELS) > 0.9
    after = est.net_.module_.state_dict()
    changed = {name for name, value in model.state_dict().items() if not value.equal(after[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


@client("transformers")
def test_a_method_that_mixes(refused):
    """`DLTClassifier(model).fit(tokens)`."""
    with refused(TypeError, match="mixes and changes inputs"):
        DLTClassifier(tiny()).fit(StackDataset(**tokens()), LABELS)
