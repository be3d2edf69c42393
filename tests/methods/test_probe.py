"""The probe: balanced batches without end, and the choice of rows of low loss."""

import numpy as np
import torch

from noisyfit.data import Rows, StreamSource, TensorSource
from noisyfit.methods.meta_relabel._probe import ProbeBatches, balanced_order, lowest_loss_rows

CPU = torch.device("cpu")
X = np.arange(20, dtype=np.float32).reshape(10, 2)
Y = np.array([0, 1, 2, 0, 0, 1, 0, 2, 2, 0])


def probe_of(kept, view=None):
    rows = Rows(TensorSource(X, CPU), torch.from_numpy(Y))
    return ProbeBatches(rows.subset(np.isin(np.arange(10), kept)), view)


def test_batches_are_balanced_and_go_on_without_end():
    probe = probe_of([0, 1, 2, 3, 4])  # three rows of class 0, one each of the others
    seen = torch.cat([probe.draw(n)[1] for n in (4, 5, 9)])
    assert seen.tolist() == [0, 1, 2] * 6
    x, y = probe_of([0, 1, 2, 3, 4]).draw(9)
    assert x[:, 0].tolist() == [0, 2, 4, 6, 2, 4, 8, 2, 4]
    assert y.tolist() == [0, 1, 2] * 3


def test_more_rows_than_the_probe_has():
    x, y = probe_of([0, 1, 2]).draw(7)
    assert x[:, 0].tolist() == [0, 2, 4, 0, 2, 4, 0]
    assert y.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_a_view_is_drawn_anew_for_each_repetition():
    torch.manual_seed(0)
    x, _ = probe_of([0, 1, 2], view=lambda x: x + torch.rand_like(x)).draw(6)
    assert not torch.equal(x[:3], x[3:])
    assert torch.equal(x[:3].floor(), x[3:].floor())


def test_rows_of_a_streamed_data_set_are_read_once():
    read = []

    class Files(torch.utils.data.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, i):
            read.append(i)
            return torch.from_numpy(X[i]), int(Y[i])

    rows = Rows(StreamSource(Files(), CPU), torch.from_numpy(Y))
    probe = ProbeBatches(rows.subset(np.arange(10) < 3), None)
    for _ in range(3):
        x, y = probe.draw(3)
    assert x[:, 0].tolist() == [0, 2, 4]
    assert y.tolist() == [0, 1, 2]
    assert sorted(read) == [0, 1, 2]


def test_lowest_loss_rows_of_each_class():
    loss = np.array([5, 0, 1, 4, 3, 2, 0, 0, 3, 1], dtype=float)
    marked = lowest_loss_rows(loss, Y, 2)
    assert np.flatnonzero(marked).tolist() == [1, 6, 7, 9]  # half of two is one, of three is one
    assert lowest_loss_rows(loss, Y, 100).sum() == 1 + 1 + 2


def test_balanced_order_visits_every_row():
    order = balanced_order(Y)
    assert sorted(set(order.tolist())) == list(range(10))
    assert np.bincount(Y[order]).tolist() == [5, 5, 5]


def test_images_come_as_a_network_takes_them():
    images = np.full((10, 1, 4, 4), 51, dtype=np.uint8)
    rows = Rows(TensorSource(images, CPU), torch.from_numpy(Y))
    x, _ = ProbeBatches(rows, None).draw(5)
    assert x.dtype == torch.float32
    torch.testing.assert_close(x, torch.full((5, 1, 4, 4), 0.2))
