"""What ingest tells of a batch, and what is understood of it."""

import pytest

from telemetry.telling import LIMIT, Span, Told, payloads

NOW = 1_768_392_000_000_000


def test_what_is_told_is_understood():
    heard = {1: (NOW, NOW), 2: (NOW, NOW + 5), 3: None}
    told = Told(payloads(heard, (10, 12)), wanted={1, 2, 3})
    assert told.devices == heard
    assert told.ids == (10, 12)


def test_nobody_hears_of_devices_that_are_not_wanted():
    assert Told(payloads({1: None, 2: None}, None), wanted={2}).devices == {2: None}


def test_batches_are_put_together():
    batches = [({1: (NOW, NOW + 9), 2: None}, (5, 6)), ({1: (NOW - 3, NOW), 2: (NOW, NOW)}, (1, 2))]
    texts = [text for batch in batches for text in payloads(*batch)]
    told = Told([*texts, *payloads({1: None}, None)], wanted={1, 2})
    assert told.devices == {1: Span(NOW - 3, NOW + 9), 2: Span(NOW, NOW)}
    assert told.ids == (1, 6)


def test_many_devices_take_as_few_payloads_as_fit():
    heard = {10**6 + number: (NOW, NOW + number) for number in range(2_000)}
    texts = list(payloads(heard, (10**9, 10**9 + 2_000)))
    assert max(map(len, texts)) < LIMIT
    assert len(texts) <= sum(map(len, texts)) // LIMIT + 2
    assert Told(texts, wanted=heard.keys()).devices == heard


@pytest.mark.parametrize("text", ["*", "", "a-b 1", "1-2 x", "1:x", "1:5", "1-2-3 4"])
def test_what_is_no_payload_is_noticed(text):
    with pytest.raises(ValueError, match=r".+"):
        Told([text], wanted={1})
