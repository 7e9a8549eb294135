"""Who tries keys and passwords is slowed down, and no one beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from statecast.access.credentials import Credentials, GuessKind
from statecast.access.identity import Identity
from statecast.access.policy import AccessPolicy, Rules
from statecast.access.records import AccessRecord, RecordKind
from statecast.access.secret_tokens import SECRET_CHARACTERS, digest
from statecast.errors import NotAuthenticated, TooManyGuesses
from statecast.http.guess_limiter import (
    ADDRESS_BURST,
    ADDRESS_PER_MINUTE,
    NAME_BURST,
    NAME_PER_MINUTE,
    PAIR_BURST,
    PAIR_PER_MINUTE,
    SENTENCE,
    GuessLimiter,
)
from statecast.http.shared_guesses import LASTS, MOST
from statecast.runtime import Runtime
from statecast.settings import Settings

ATTACKER, NEIGHBOUR, HOME = "192.0.2.66", "192.0.2.7", "198.51.100.1"


class Attempts:
    """A limiter with a clock that stands."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.limiter = GuessLimiter(lambda: self.now)

    def wait(self, address: str, name: str, kind: GuessKind = "password") -> int:
        """Seconds that the next attempt must wait; 0: it was taken."""
        try:
            self.limiter.attempt(kind, address, name)
        except TooManyGuesses as slowed:
            assert str(slowed) == SENTENCE
            return slowed.retry_after
        return 0

    def sign_in(self, address: str, name: str) -> int:
        """The same with a right password."""
        if (seconds := self.wait(address, name)) == 0:
            self.limiter.succeeded("password", address, name)
        return seconds

    def guess(self, times: int, address: str, name: str, kind: GuessKind = "password") -> None:
        for _ in range(times):
            self.wait(address, name, kind)


def test_one_who_tries_one_name_is_slowed_down() -> None:
    # Given five wrong attempts
    at = Attempts()
    assert [at.wait(ATTACKER, "ada") for _ in range(PAIR_BURST)] == [0] * PAIR_BURST
    # Then there is one in ten seconds, and asking meanwhile makes it no longer
    assert [at.wait(ATTACKER, "ada") for _ in range(100)] == [60 // PAIR_PER_MINUTE] * 100
    at.now += 60 / PAIR_PER_MINUTE
    assert at.wait(ATTACKER, "ada") == 0 and at.wait(ATTACKER, "ada") > 0


@pytest.mark.parametrize(
    ("address", "name", "kind"),
    [
        (ATTACKER, "bob", "password"),  # another name, also behind the same address
        (NEIGHBOUR, "ada", "password"),  # the same name elsewhere
        (NEIGHBOUR, "bob", "password"),
        (ATTACKER, "ada", "key"),  # a key of that name
        ("2001:db8::1", "ada", "password"),
    ],
)
def test_its_neighbours_are_not(address: str, name: str, kind: GuessKind) -> None:
    at = Attempts()
    at.guess(100, ATTACKER, "ada")
    assert at.wait(ATTACKER, "ada") > 0
    assert at.wait(address, name, kind) == 0


def test_one_who_tries_many_names_is_slowed_down() -> None:
    at = Attempts()
    waits = [at.wait(ATTACKER, f"user-{n}") for n in range(ADDRESS_BURST + 10)]
    assert waits == [0] * ADDRESS_BURST + [60 // ADDRESS_PER_MINUTE] * 10
    assert at.wait(NEIGHBOUR, "user-99") == 0


def test_an_ipv6_network_is_one_address() -> None:
    at = Attempts()
    waits = [at.wait(f"2001:db8::{n:x}", f"user-{n}") for n in range(ADDRESS_BURST + 1)]
    assert waits[-1] > 0 and at.wait("2001:db8:0:1::1", "user-1") == 0


def test_one_who_tries_from_many_addresses_is_slowed_down() -> None:
    at = Attempts()
    waits = [at.wait(f"203.0.113.{n}", "ada") for n in range(NAME_BURST + 10)]
    assert waits[:NAME_BURST] == [0] * NAME_BURST and all(waits[NAME_BURST:])
    assert at.wait("203.0.113.200", "bob") == 0


def test_an_attacker_does_not_lock_a_user_out_of_where_that_user_signs_in() -> None:
    # Given a user who has signed in at home
    at = Attempts()
    assert at.sign_in(HOME, "ada") == 0
    # When an attacker tries that name from everywhere, and from the user's network many names
    for n in range(200):
        at.wait(f"203.0.113.{n}", "ada")
    for n in range(200):
        at.wait(HOME, f"user-{n}")
    assert at.wait("203.0.113.201", "ada") > 0 and at.wait(HOME, "user-1") > 0
    # Then the user signs in at home at once, and also after a wrong password
    assert at.sign_in(HOME, "ada") == 0
    assert at.wait(HOME, "ada") == 0
    assert at.sign_in(HOME, "ada") == 0
    # And elsewhere after some seconds
    at.now += 60 / ADDRESS_PER_MINUTE
    assert at.sign_in("198.51.100.77", "ada") == 0


def test_who_signs_in_rightly_is_never_slowed_down() -> None:
    """Also a hundred people of one office, one after the other."""
    at = Attempts()
    assert [at.sign_in(HOME, f"user-{n % 100}") for n in range(1_000)] == [0] * 1_000


def test_a_right_password_does_not_help_an_attacker() -> None:
    # Given an attacker with an account, who signs in between the guesses
    at, taken = Attempts(), 0
    for n in range(1_000):
        if n % 4 == 0:
            assert at.sign_in(ATTACKER, "eve") == 0
        taken += at.wait(ATTACKER, "ada") == 0
    assert taken == PAIR_BURST
    # And who tries many names that way gets no more than the burst of the address
    tried = 0
    for n in range(1_000):
        if n % 4 == 0:
            assert at.sign_in(ATTACKER, "eve") == 0
        tried += at.wait(ATTACKER, f"user-{n}") == 0
    assert tried == ADDRESS_BURST - PAIR_BURST


def test_the_address_of_a_proxy_beside_us_is_no_ones_address() -> None:
    """Without ``trusted_proxy`` all clients have it; names are limited all the same."""
    at = Attempts()
    assert [at.wait("127.0.0.1", f"user-{n}") for n in range(200)] == [0] * 200
    at.guess(PAIR_BURST, "127.0.0.1", "ada")
    assert at.wait("127.0.0.1", "ada") > 0


def test_its_memory_is_bounded() -> None:
    at = Attempts()
    for n in range(12_000):
        at.wait(f"10.{n >> 16}.{(n >> 8) & 255}.{n & 255}", "x" * 100_000 + str(n))
        at.sign_in(f"10.{n >> 16}.{(n >> 8) & 255}.{n & 255}", f"user-{n}")
    limiter = at.limiter
    sizes = [
        *(len(one._full_at) for one in (limiter._pairs, limiter._addresses, limiter._names)),
        len(limiter._right),
    ]
    assert max(sizes) <= 10_000
    assert max(map(len, limiter._names._full_at)) < 200


def test_attempts_at_the_same_time_are_counted_one_by_one() -> None:
    at, taken, start = Attempts(), list[int](), threading.Barrier(8)

    def guess() -> None:
        start.wait(30)
        taken.extend(at.wait(ATTACKER, "ada") for _ in range(50))

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert taken.count(0) == PAIR_BURST and len(taken) == 400


# Several processes


class Processes:
    """Limiters that tell each other every two seconds what they have counted."""

    def __init__(self, number: int) -> None:
        self.now = 1_000.0
        self.limiters = [GuessLimiter(lambda: self.now) for _ in range(number)]

    def exchange(self) -> None:
        said = {str(n): one.report() for n, one in enumerate(self.limiters)}
        for n, one in enumerate(self.limiters):
            one.take({process: counts for process, counts in said.items() if process != str(n)})

    def try_(self, process: int, address: str, name: str) -> bool:
        try:
            self.limiters[process].attempt("password", address, name)
        except TooManyGuesses:
            return False
        return True


@pytest.mark.parametrize("number", [1, 2, 4, 12])
@pytest.mark.parametrize(
    ("address", "name", "burst", "per_minute"),
    [
        (lambda n: ATTACKER, lambda n: "ada", PAIR_BURST, PAIR_PER_MINUTE),
        (lambda n: ATTACKER, lambda n: f"user-{n}", ADDRESS_BURST, ADDRESS_PER_MINUTE),
        (lambda n: f"203.0.{n >> 8 & 255}.{n & 255}", lambda n: "ada", NAME_BURST, NAME_PER_MINUTE),
    ],
    ids=["a name", "many names", "many addresses"],
)
def test_several_processes_allow_what_one_would(
    number: int,
    address: Callable[[int], str],
    name: Callable[[int], str],
    burst: int,
    per_minute: int,
) -> None:
    # When someone tries at each process in turn, as often as may be, for ten minutes
    at, taken, tried = Processes(number), 0, 0
    for second in range(600):
        for process in range(number):
            while at.try_(process, address(tried), name(tried)):
                taken += 1
                tried += 1
            tried += 1
        at.now += 1
        if second % 2:
            at.exchange()
    # Then each process allows its burst once, and all together the rate of one
    assert taken <= number * burst + 10 * per_minute + number
    assert taken >= burst + 10 * per_minute - number


def test_a_process_that_starts_learns_what_was_counted() -> None:
    at = Processes(1)
    for _ in range(PAIR_BURST):
        assert at.try_(0, ATTACKER, "ada")
    at.limiters.append(GuessLimiter(lambda: at.now))
    at.exchange()
    assert not at.try_(1, ATTACKER, "ada")
    # and once only: later the same report means nothing new
    at.now += 60
    for _ in range(10):
        at.exchange()
    assert [at.try_(1, ATTACKER, "ada") for _ in range(PAIR_BURST + 1)] == [
        *[True] * PAIR_BURST,
        False,
    ]


def test_what_was_right_is_not_announced_and_silence_costs_nothing() -> None:
    at = Processes(2)
    for _ in range(20):
        assert at.try_(0, HOME, "ada")
        at.limiters[0].succeeded("password", HOME, "ada")
    assert at.limiters[0].report() == {}
    # A wrong one is announced by digests, for some minutes
    at.try_(0, HOME, "ada")
    announced = at.limiters[0].report()
    assert list(announced.values()) == [1]
    assert HOME not in str(announced) and "ada" not in str(announced)
    at.now += LASTS
    assert at.limiters[0].report() == {}


def test_what_a_process_announces_is_bounded() -> None:
    at = Processes(2)
    for n in range(5_000):
        at.now += 10
        at.try_(0, f"10.0.{n >> 8}.{n & 255}", f"user-{n}")
        assert len(at.limiters[0].report()) <= MOST
    # and what another program would say of buckets that do not exist here counts nothing
    at.limiters[1].take({"other": {"": 5, "x": 7, "zzz": 9}})
    assert at.try_(1, HOME, "ada")


def test_the_serving_processes_of_a_store_share_their_counts(tmp_path: Path) -> None:
    # given two processes on one store
    settings = Settings(store=f"sqlite:///{tmp_path / 'store.db'}")
    first, second = Runtime(settings), Runtime(settings)
    for runtime in (first, second):
        runtime.process_reports.exchange()
        assert "guesses" not in runtime.own_report()
    # when someone guesses in one of them
    for _ in range(PAIR_BURST):
        first.rights.guesses.attempt("password", ATTACKER, "ada")
    for runtime in (first, second):
        runtime.process_reports.exchange()
    # then the other one counts that too
    with pytest.raises(TooManyGuesses):
        second.rights.guesses.attempt("password", ATTACKER, "ada")
    for runtime in (first, second):
        runtime.stop()


# Keys


SECRET, WRONG = "s" * SECRET_CHARACTERS, "w" * SECRET_CHARACTERS


class OneKey:
    def access_record(self, kind: RecordKind, id_: str, /) -> AccessRecord | None:
        body = {"digest": digest(SECRET), "grants": {"pillow": "send"}}
        return AccessRecord(kind, id_, body, 1) if (kind, id_) == ("key", "pillow-1") else None


def test_wrong_keys_are_slowed_down_and_right_ones_never() -> None:
    # Given a policy that counts wrong tokens
    at, notes = Attempts(), list[str]()
    policy = AccessPolicy(
        Rules(),
        OneKey,
        lambda: 0,
        attempt=at.limiter.attempt,
        note=lambda address, sentence: notes.append(sentence),
    )

    def identify(bearer: str, address: str = HOME) -> Identity:
        return policy.identify(Credentials(bearer=bearer, address=address))

    # When someone guesses, also from the place of the device, that one must wait
    refused: list[NotAuthenticated] = []
    for _ in range(PAIR_BURST + 3):
        with pytest.raises(NotAuthenticated) as error:
            identify(f"sk_pillow-1_{WRONG}")
        refused.append(error.value)
    kinds = [isinstance(one, TooManyGuesses) for one in refused]
    assert kinds == [False] * PAIR_BURST + [True] * 3
    assert len(notes) == len(refused)
    # Then the device itself goes on, and other wrong keys of the place are answered as before
    assert identify(f"sk_pillow-1_{SECRET}").name == "pillow-1"
    with pytest.raises(NotAuthenticated) as other:
        identify(f"sk_other_{WRONG}")
    assert not isinstance(other.value, TooManyGuesses)
    # And who tries many keys is slowed down for them
    for n in range(ADDRESS_BURST):
        with pytest.raises(NotAuthenticated):
            identify(f"sk_{n}_{WRONG}", ATTACKER)
    with pytest.raises(TooManyGuesses):
        identify(f"sk_last_{WRONG}", ATTACKER)
    assert identify(f"sk_pillow-1_{SECRET}", ATTACKER).name == "pillow-1"


def test_a_token_that_was_good_once_is_no_guess() -> None:
    """A device goes on with its expired key; those of its network may mistype."""

    class Expired:
        def verify(self, token: str) -> Identity:
            raise NotAuthenticated("It has expired.", is_guess=False)

    class ExpiredKey:
        def access_record(self, kind: RecordKind, id_: str, /) -> AccessRecord:
            return AccessRecord(kind, id_, {"digest": digest(SECRET), "expires_at": 1}, 1)

    at = Attempts()
    policy = AccessPolicy(Rules(), ExpiredKey, lambda: 1, attempt=at.limiter.attempt)
    for _ in range(200):
        with pytest.raises(NotAuthenticated, match="has expired"):
            policy.identify(Credentials(bearer=f"sk_old_{SECRET}", address=ATTACKER))
    policy = AccessPolicy(
        Rules(), OneKey, lambda: 0, verifier=Expired(), attempt=at.limiter.attempt
    )
    for _ in range(200):
        with pytest.raises(NotAuthenticated, match=r"^It has expired\.$"):
            policy.identify(Credentials(bearer="a.b.c", address=ATTACKER))
