"""Promise: arrivals are those of the process that the terms say, and one that explodes is refused.

Oracles: the closed form of the mean rate, and the time-rescaling theorem: in the time in which the
intensity is 1, waits are exponential. Its integral is computed from the definition, event by event.
"""

import numpy as np
import pytest
from scipy.stats import kstest

from venues.lob.engine.flow import VENUES, hawkes_terms, spells
from venues.lob.engine.hawkes import Arrivals, HawkesTerms, arrivals

ONE = np.zeros(1, np.int64)


def single(mu: float, n: float, *, beta: float = 3.0, until_s: float = 4_000.0) -> HawkesTerms:
    return HawkesTerms(
        np.array([[mu]]), np.array([until_s]), np.array([[n]]), beta, ONE, np.array([0.1])
    )


def two(until_s: float = 2_000.0) -> HawkesTerms:
    """Two groups of one type; the second hears of the first after 0.4 s."""
    return HawkesTerms(
        np.array([[1.0, 0.3], [3.0, 0.3]]), np.array([until_s / 2, until_s]),
        np.array([[0.4, 0.0], [0.5, 0.2]]), 2.0, np.array([0, 1]), np.array([0.3, 0.4]),
    )  # fmt: skip


def draw(terms: HawkesTerms, seed: int) -> Arrivals:
    return arrivals(terms, np.random.Generator(np.random.PCG64(seed)))


@pytest.mark.parametrize(("mu", "n"), [(1.0, 0.0), (1.0, 0.5), (0.4, 0.8)])
def test_mean_rate_is_that_of_the_closed_form(mu: float, n: float) -> None:
    terms = single(mu, n)
    found = draw(terms, 1).at_s.size / terms.until_s[-1]
    expected = mu / (1.0 - n)
    assert terms.rates_hz(0)[0] == pytest.approx(expected)
    # Variance of the count over a long time T: T mu / (1 - n)^3.
    deviation = (mu / (1.0 - n) ** 3 / terms.until_s[-1]) ** 0.5
    assert abs(found - expected) < 3.5 * deviation


def test_rates_of_the_simulated_market() -> None:
    random = np.random.Generator(np.random.PCG64(5))
    terms = hawkes_terms(VENUES, spells(random, 1_800.0, calm_only=True))
    assert 0.5 < terms.branching_ratio < 0.8
    found = draw(terms, 2)
    rates = np.bincount(found.type, minlength=18) / 1_800.0
    assert rates == pytest.approx(terms.rates_hz(0), rel=0.10)


def rescaled(terms: HawkesTerms, found: Arrivals, of: int) -> np.ndarray:
    """Integral of the intensity of a type between its events, from the definition."""
    at_s, beta = found.at_s, terms.decay_hz
    mine = at_s[found.type == of]
    edges = np.concatenate([[0.0], terms.until_s])
    base = np.array([
        sum(terms.base_hz[k, of] * max(0.0, min(t, edges[k + 1]) - edges[k])
            for k in range(terms.until_s.size))
        for t in mine
    ])  # fmt: skip
    for source in range(terms.branching.shape[0]):
        n = terms.branching[of, source]
        own = terms.group[source] == terms.group[of]
        starts = at_s[found.type == source] + (0.0 if own else terms.lag_s[terms.group[of]])
        for k, t in enumerate(mine):
            past = starts[starts < t]
            base[k] += n * np.sum(1.0 - np.exp(-beta * (t - past)))
    waits: np.ndarray = np.diff(base, prepend=0.0)
    return waits


@pytest.mark.parametrize(
    ("terms", "of"),
    [(single(1.0, 0.6, until_s=800.0), 0), (two(), 0), (two(), 1)],
    ids=["alone", "leads, and its base changes", "follows with a lag"],
)
def test_rescaled_waits_are_exponential(terms: HawkesTerms, of: int) -> None:
    waits = rescaled(terms, draw(terms, 3), of)
    assert waits.size > 500
    assert kstest(waits, "expon").pvalue > 0.02


def test_rescaling_sees_a_wrong_lag() -> None:
    """The oracle can fail: without the lag the waits are not exponential."""
    terms = two()
    wrong = HawkesTerms(
        terms.base_hz, terms.until_s, terms.branching, terms.decay_hz, terms.group,
        np.array([0.3, 2.0]),
    )  # fmt: skip
    assert kstest(rescaled(wrong, draw(terms, 3), 1), "expon").pvalue < 0.02


def test_times_rise_and_repeat() -> None:
    first, again = draw(two(), 4), draw(two(), 4)
    assert (np.diff(first.at_s) > 0.0).all()
    assert first.at_s.tobytes() == again.at_s.tobytes()
    assert first.type.tobytes() == again.type.tobytes()
    assert first.at_s.size != draw(two(), 5).at_s.size


def test_what_makes_no_process_is_refused() -> None:
    with pytest.raises(ValueError, match=r"branching ratio must be below 1, was 1\.000"):
        single(1.0, 1.0)
    with pytest.raises(ValueError, match="must not be negative"):
        single(-1.0, 0.5)
    with pytest.raises(ValueError, match="do not fit"):
        HawkesTerms(np.ones((1, 2)), np.ones(1), np.eye(1), 1.0, ONE, np.ones(1))
    with pytest.raises(ValueError, match="until_s must rise"):
        HawkesTerms(np.ones((2, 1)), np.ones(2), np.zeros((1, 1)), 1.0, ONE, np.ones(1))
