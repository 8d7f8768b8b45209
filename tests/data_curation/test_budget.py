import threading
import time

import pytest

from data_curation.asking.budget import Budget, BudgetSpent
from data_curation.asking.prices import listed_price, parse_price, text_tokens
from ski_lvlm.servers.pace import Pace


def test_a_budget_is_never_overdrawn_however_many_ask_at_once():
    budget, refused = Budget(limit=1.0), []

    def ask():
        try:
            with budget.reserve(0.1):
                time.sleep(0.001)
                budget.pay(0.09)
        except BudgetSpent:
            refused.append(1)

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.8 < budget.spent <= 1.0
    assert len(refused) == 40 - round(budget.spent / 0.09)


def test_what_a_request_held_back_comes_free_when_it_fails():
    budget = Budget(limit=0.1)
    for _ in range(3):
        with pytest.raises(OSError), budget.reserve(0.1):
            raise OSError
    with budget.reserve(0.1):
        budget.pay(0.1)
    with pytest.raises(BudgetSpent, match=r"\$0.1000 of --budget \$0.1 are spent"), budget.reserve(0.01):
        pass


def test_earlier_runs_count():
    with pytest.raises(BudgetSpent), Budget(limit=2.0, spent=1.95).reserve(0.1):
        pass
    with Budget(limit=None, spent=1e9).reserve(1e9):
        pass


def test_prices_are_openais_only_at_openai():
    assert listed_price("openai:gpt-3.5-turbo", own_server=False).dollars(1e6, 1e6) == 2.0
    assert listed_price("openai:gpt-3.5-turbo", own_server=True) is None
    assert listed_price("ollama:llama3.1", own_server=False) is None


@pytest.mark.parametrize("text", ["", "1", "a,b", "-1,2", "1,2,3", "nan,1", "1,inf"])
def test_a_nonsense_price_is_refused(text):
    with pytest.raises(ValueError, match="expected IN,OUT in dollars"):
        parse_price(text)


def test_tokens_are_rather_over_than_underestimated():
    # "The right hand rises to the head and stays there." has 11 tokens with GPT-3.5's own tokenizer
    assert 11 <= text_tokens("The right hand rises to the head and stays there.") <= 18


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "cost", "number", "least"),
    [
        ((1200, None), 1, 28, 0.4),  # 8 requests more than the bucket's 20, at 20 a second
        ((None, 6000), 1250, 5, 2.5),  # 250 tokens more than a minute's, at 100 a second
        ((1200, 6000), 1250, 5, 2.5),
    ],
    ids=["requests", "tokens", "both"],
)
def test_the_pace_is_kept_by_all_threads_together(limits, cost, number, least):
    pace = Pace(requests_per_minute=limits[0], tokens_per_minute=limits[1])
    started = time.monotonic()
    threads = [threading.Thread(target=pace.wait, args=(cost,)) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= least


def test_no_limits_do_not_wait_and_impossible_ones_say_so(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits"))
    monkeypatch.setattr(threading.Event, "wait", lambda event, seconds: pytest.fail("it waits"))
    for _ in range(1000):
        Pace(requests_per_minute=None, tokens_per_minute=None).wait(10_000)
    with pytest.raises(ValueError, match="may need 500 tokens, more than --tokens_per_minute 100"):
        Pace(requests_per_minute=None, tokens_per_minute=100).wait(500)
    with pytest.raises(ValueError, match="--requests_per_minute is 0"):
        Pace(requests_per_minute=0, tokens_per_minute=None)


@pytest.mark.slow
def test_all_wait_when_the_server_has_asked_one_to():
    pace = Pace(requests_per_minute=None, tokens_per_minute=None)
    started = time.monotonic()
    pace.hold(0.3)
    pace.hold(0.1)  # a shorter one does not shorten it
    threads = [threading.Thread(target=pace.wait, args=(1,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= 0.3
