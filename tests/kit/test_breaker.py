"""The circuit breaker against its own rules: when it opens, for how long, and who may probe."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.breaker import FAILURES_TO_OPEN, FIRST_PAUSE_S, LONGEST_PAUSE_S, Breaker


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES_TO_OPEN):
        assert breaker.admit() == 0
        breaker.failed()
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(Clock())
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            breaker.failed()
        breaker.succeeded()
    assert breaker.admit() == 0


def test_an_open_breaker_says_how_long_to_wait() -> None:
    clock = Clock()
    breaker = opened(clock)
    assert breaker.admit() == FIRST_PAUSE_S
    clock.now_s = FIRST_PAUSE_S - 1
    assert breaker.admit() == 1


def test_one_probe_at_a_time_and_its_success_closes() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now_s = FIRST_PAUSE_S
    assert breaker.admit() == 0
    assert breaker.admit() > 0
    breaker.succeeded()
    assert breaker.admit() == 0
    assert not breaker.is_open


def test_a_failed_probe_waits_twice_as_long_up_to_a_limit() -> None:
    clock = Clock()
    breaker = opened(clock)
    pause_s = FIRST_PAUSE_S
    for _ in range(10):
        clock.now_s += pause_s
        assert breaker.admit() == 0
        breaker.failed()
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        assert breaker.admit() == pause_s


def test_a_probe_that_was_given_up_lets_the_next_one_through() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now_s = FIRST_PAUSE_S
    assert breaker.admit() == 0
    breaker.given_up()
    assert breaker.admit() == 0


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens, a breaker never stays shut for longer than its longest pause."""

    @initialize()
    def start(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker(self.clock)
        self.under_way = 0

    @rule()
    def ask(self) -> None:
        wait_s = self.breaker.admit()
        assert 0 <= wait_s <= LONGEST_PAUSE_S
        self.under_way += wait_s == 0

    @precondition(lambda self: self.under_way > 0)
    @rule(how=st.sampled_from(["succeeded", "failed", "given_up"]))
    def end(self, how: str) -> None:
        self.under_way -= 1
        getattr(self.breaker, how)()

    @rule(seconds=st.floats(0, 200))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @invariant()
    def it_recovers(self) -> None:
        if self.under_way == 0:
            later = Clock()
            later.now_s = self.clock.now_s + LONGEST_PAUSE_S
            before, self.breaker._now_s = self.breaker._now_s, later
            probing = self.breaker._probing
            assert self.breaker.admit() == 0
            self.breaker._now_s, self.breaker._probing = before, probing


TestAnyHistory = AnyHistory.TestCase
