"""
Fine-tuning a pretrained network
================================

A network that has learned elsewhere needs fewer rows, and parts that are frozen cannot memorise
wrong labels. Here it has learned the digits 0 to 4, its stem is frozen, and it is trained on few
images of the digits 5 to 9, of whose labels a third is wrong. Networks of torchvision, timm and
Hugging Face are used in the same way, see :doc:`fine-tuning </fine_tuning>`.
"""

# %%
# Two tasks that have nothing but strokes in common.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from noisyfit import MILDSelector
from noisyfit.data import ImageScaler
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix

X, y = load_digits(return_X_y=True)
X = (X * 15).astype(np.uint8).reshape(-1, 1, 8, 8)
elsewhere = y < 5
X_train, X_test, y_true, y_test = train_test_split(
    X[~elsewhere], y[~elsewhere], train_size=200, stratify=y[~elsewhere], random_state=0
)
y_given, is_wrong = corrupt_labels(y_true, transition_matrix("symmetric", 5, 0.4), random_state=0)


# %%
# The stem learns from right labels of the digits 0 to 4, by a plain loop of torch. What it was
# standardised by belongs to it: for networks trained on ImageNet that is
# ``ImageScaler((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))``.
class Network(nn.Module):
    """A stem of convolutions, and a head for the classes."""

    def __init__(self, n_classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, n_classes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 1, 8, 8) to logits."""
        return self.head(self.stem(x))


torch.manual_seed(0)
images, labels = torch.from_numpy(X[elsewhere]), torch.from_numpy(y[elsewhere])
scaler = ImageScaler.from_images(images)
pretrained = Network()
optimizer = torch.optim.SGD(pretrained.parameters(), lr=0.05, momentum=0.9)
for _ in range(8):
    for batch in torch.randperm(len(images)).split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(pretrained(scaler(images[batch])), labels[batch]).backward()
        optimizer.step()

# %%
# The stem is frozen, with the statistics of its batch normalisation, and gets a new head. Of the
# head, the last layer is trained at a higher rate than the one before.
fine_tuned = Network()
fine_tuned.stem.load_state_dict(pretrained.stem.state_dict())
fine_tuned.stem.requires_grad_(False)

settings = {"lr": 0.01, "max_epochs": 10, "augment": None, "random_state": 0}
pair = {
    "from scratch": MILDSelector(Network, **settings),
    "fine-tuned": MILDSelector(
        fine_tuned,
        optimizer__param_groups=[("head.3.*", {"lr": 0.03})],
        standardize=scaler,
        **settings,
    ),
}
for name, est in pair.items():
    est.fit(X_train, y_given)
    print(f"{name}: AUROC {auroc(is_wrong, est.noise_scores_):.3f}, ", end="")
    print(f"accuracy on new images {est.score(X_test, y_test):.3f}")

# %%
# Nothing of the stem has moved.
stem = pair["fine-tuned"].net_.module_.stem.state_dict()
assert all(torch.equal(stem[name], t) for name, t in pretrained.stem.state_dict().items())

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
for ax, (name, est) in zip(axes, pair.items(), strict=True):
    groups = [est.noise_scores_[~is_wrong], est.noise_scores_[is_wrong]]
    ax.hist(groups, bins=15, stacked=True, label=["right", "wrong"])
    ax.set_title(f"{name}, AUROC {auroc(is_wrong, est.noise_scores_):.2f}")
    ax.set_xlabel("noise score")
axes[0].set_ylabel("labels")
axes[0].legend()
plt.show()
