"""How methods settle their noise rate from estimates that err for different reasons."""

import numpy as np
import pytest

from noisyfit.methods.dynamics_lstm._noise_rate import detector_noise_rate
from noisyfit.methods.mild._noise_rate import combine_noise_rates


@pytest.mark.parametrize(
    ("contradicted", "noisy_weight", "wrong_share", "rate"),
    [
        (0.3, 0.4, 0.9, 0.3),  # few errors: the mixture splits clean rows
        (0.5, 0.4, 0.0, 0.5),  # easy rows: the network is to be believed
        (0.5, 0.4, 0.125, 0.475),
        (0.5, 0.4, 0.5, 0.4),  # hard rows: it is not
        (0.5, 0.4, 0.8, 0.4),
        (0.5, np.nan, 0.5, 0.5),  # no mixture
    ],
)
def test_the_noise_rate_trusts_the_network_where_clean_rows_are_easy(
    contradicted, noisy_weight, wrong_share, rate
):
    assert combine_noise_rates(contradicted, noisy_weight, wrong_share) == pytest.approx(rate)


def test_the_noise_rate_trusts_the_gap_of_losses_once_groups_are_separated():
    rates = [detector_noise_rate(0.2, 0.4, separation) for separation in (0, 2, 2.5, 3, 4, 9)]
    np.testing.assert_allclose(rates, [0.2, 0.2, 0.25, 0.3, 0.4, 0.4])
