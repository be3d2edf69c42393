"""Settings for all tests."""

import torch

# The networks here are small: one thread is faster than two, and repeatable under load.
torch.set_num_threads(1)
