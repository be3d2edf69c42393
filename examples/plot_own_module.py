"""
A network of your own
=====================

Any torch module that returns logits will do: a class whose ``__init__`` takes ``n_classes`` and, if
it likes, ``n_features`` or ``n_channels``, or an instance. Here one for short sequences of letters,
which reads integers, and fits into `cross_val_score` like any other.
"""

# %%
# Words of three languages made up of syllables, as padded letter numbers; three labels in ten are
# wrong.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import nn

from noisyfit import MILDSelector
from noisyfit.display import TrainingDynamicsDisplay, TransitionMatrixDisplay
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix

LETTERS = " abcdefghijklmnopqrstuvwxyz"
SYLLABLES = {
    "elvish": ["la", "riel", "tho", "nim", "ae", "lor"],
    "dwarvish": ["gar", "kh", "zum", "dor", "bar", "ak"],
    "orcish": ["ug", "shra", "gor", "lug", "az", "nakh"],
}
rng = np.random.default_rng(0)


def make_word(language: str) -> str:
    return "".join(rng.choice(SYLLABLES[language], size=rng.integers(2, 5)))


y_true = rng.choice(list(SYLLABLES), size=3_000)
words = np.array([make_word(language) for language in y_true])
X = np.array([[LETTERS.index(c) for c in word[:16].ljust(16)] for word in words])
X, X_test, y_true, y_test, words, _ = train_test_split(
    X, y_true, words, test_size=1_000, random_state=0
)
y, is_wrong = corrupt_labels(y_true, transition_matrix("symmetric", 3, 0.3), random_state=0)


# %%
# The module gets floats, as every network here does, and makes letter numbers of them.
class WordNet(nn.Module):
    """Letters to vectors, two convolutions, the maximum over the word."""

    def __init__(self, n_classes: int, width: int = 32) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), width, padding_idx=0)
        self.layers = nn.Sequential(
            nn.Conv1d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool1d(1),
            nn.Flatten(),
            nn.Linear(2 * width, n_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map letter numbers (n, length) to logits."""
        return self.layers(self.letters(x.long()).transpose(1, 2))


est = MILDSelector(
    WordNet,
    module__width=16,
    max_epochs=20,
    lr=0.05,
    standardize=False,  # letter numbers are no measurements
    record=("given_prob",),
    random_state=0,
).fit(X, y)

# %%
# The rest is as always.
print(est.summary())
print(f"AUROC {auroc(is_wrong, est.noise_scores_):.3f}, {is_wrong.mean():.1%} wrong in truth")
print(f"accuracy on new words with right labels: {est.score(X_test, y_test):.3f}")
for row in est.noise_scores_.argsort()[::-1][:5]:
    print(f"{words[row]:16s} given {y[row]:9s} suggested {est.corrected_labels_[row]}")

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
TrainingDynamicsDisplay.from_estimator(est, ax=left)
TransitionMatrixDisplay.from_estimator(est, ax=right)
plt.show()
