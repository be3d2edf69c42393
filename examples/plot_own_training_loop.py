"""
Scores from your own training loop
==================================

The network is trained already, by a loop of your own, or by skorch? Two ways lead to noise scores
without another training: hand the probabilities of the given labels, epoch by epoch, to the
detector that ships, or let `DynamicsRecorder` listen to a skorch net.
"""

# %%
# Digits with a fifth of the labels wrong, and a plain loop in torch that keeps what the network
# thought of the given labels after each epoch.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier
from torch import nn

from noisyfit import DynamicsLSTM
from noisyfit.display import NoiseScoreDisplay, TrainingDynamicsDisplay
from noisyfit.dynamics import DynamicsRecorder
from noisyfit.metrics import auroc
from noisyfit.noise import corrupt_labels, transition_matrix

pixels, y_true = load_digits(return_X_y=True)
y, is_wrong = corrupt_labels(y_true, transition_matrix("symmetric", 10, 0.2), random_state=0)
X = torch.tensor(pixels / 16, dtype=torch.float32)
target = torch.tensor(y)


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


network = make_network()
optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
recorded = []
for _ in range(30):
    for ids in torch.randperm(len(X)).split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(X[ids]), target[ids]).backward()
        optimizer.step()
    with torch.no_grad():
        proba = network(X).softmax(1)
    recorded.append(proba[torch.arange(len(X)), target].numpy())

# %%
# One column an epoch, of any number of epochs. The detector has never seen digits.
sequences = np.stack(recorded, axis=1)
scores = DynamicsLSTM.pretrained().predict_proba(sequences)
print(f"AUROC of the detector's scores: {auroc(is_wrong, scores):.4f}")
print(f"AUROC of the last epoch alone:  {auroc(is_wrong, 1 - sequences[:, -1]):.4f}")
NoiseScoreDisplay.from_predictions(scores, scores <= 0.5, is_noisy=is_wrong)

# %%
# With skorch the recording is a callback. Its metrics are those of the literature: the area under
# the margin, confidence and variability, forgetting events.
recorder = DynamicsRecorder(record=["given_prob", "margin"], mode="evaluation")
net = NeuralNetClassifier(
    make_network(),
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.SGD,
    optimizer__momentum=0.9,
    lr=0.1,
    batch_size=32,
    max_epochs=30,
    iterator_train__shuffle=True,
    train_split=None,
    callbacks=[recorder],
    verbose=0,
).fit(X, target)

dynamics = recorder.dynamics_
scores = DynamicsLSTM.pretrained().predict_proba(dynamics)
print(f"AUROC of the detector's scores:     {auroc(is_wrong, scores):.4f}")
print(f"AUROC of the area under the margin: {auroc(is_wrong, -dynamics.aum()):.4f}")
TrainingDynamicsDisplay(
    dynamics.given_prob, ~is_wrong, "given_prob", groups=("right", "wrong")
).plot()
plt.show()
