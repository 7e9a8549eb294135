"""Which viewers watch which devices, found by the device that changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from statecast import names
from statecast.broadcast.subscriptions import Audience, Audiences

DEVICES = ["a", "b", "f/a", "f/b", "f/g/c", "fa"]
patterns = st.sets(st.sampled_from(["*", "f/*", "f/g/*", *DEVICES]), min_size=1, max_size=4)


@given(patterns)
def test_an_audience_matches_what_its_patterns_do(chosen: set[str]) -> None:
    audience = Audience(tuple(sorted(chosen)))
    for device in DEVICES:
        assert audience.matches(device) == any(names.match(pattern, device) for pattern in chosen)


@given(st.lists(patterns, max_size=6), st.sets(st.sampled_from(DEVICES)))
def test_a_change_finds_the_audiences_that_watch_the_device(
    lists: list[set[str]], changed: set[str]
) -> None:
    audiences = Audiences()
    viewers = [object() for _ in lists]
    joined = [audiences.join(tuple(sorted(chosen))) for chosen in lists]
    assert len(audiences) == len({frozenset(chosen) for chosen in lists})
    order = sorted(changed, reverse=True)
    assert audiences.watching(order) == {
        audience: matched
        for audience in joined
        if (matched := [device for device in order if audience.matches(device)])
    }
    # when all have left, nothing remains
    for audience, viewer in zip(joined, viewers, strict=True):
        audiences.leave(audience, viewer)  # type: ignore[arg-type]
    assert (len(audiences), audiences.watching(DEVICES)) == (0, {})
    assert audiences._by_device == audiences._by_prefix == {}
