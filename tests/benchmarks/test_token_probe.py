import numpy as np

from benchmarks.token_probe import most_frequent, probe, ridge


def test_a_probe_reads_what_tokens_tell_and_guesses_what_they_do_not():
    random = np.random.default_rng(0)
    values = random.integers(0, 4, 400).astype(str)
    x = np.concatenate([np.eye(4)[values.astype(int)], random.normal(size=(400, 6))], axis=1)
    is_training = np.arange(400) < 300
    assert probe(ridge(x, is_training, penalty=1.0), values, is_training) > 0.95
    assert probe(ridge(x[:, 4:], is_training, penalty=1.0), values, is_training) < 0.5


def test_the_guess_is_the_most_frequent_value_of_training():
    values, is_training = np.array(["a", "a", "b", "b", "a"]), np.array([True, True, True, False, False])
    assert most_frequent(values, is_training) == 0.5
