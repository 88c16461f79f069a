"""The grammar of topics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.mqtt import topics
from devices.mqtt.topics import Topic, TopicError

names = st.from_regex(topics.NAME, fullmatch=True)


@given(tenant=names, uid=names, kind=st.sampled_from(topics.KINDS))
def test_a_topic_that_was_built_parses_into_its_parts(tenant: str, uid: str, kind: str) -> None:
    assert topics.parse(topics.build(tenant, uid, kind)) == Topic(tenant, uid, kind)


@given(st.text())
def test_any_text_is_parsed_exactly_or_refused(text: str) -> None:
    try:
        assert str(topics.parse(text)) == text
    except TopicError as error:
        assert repr(text) in str(error)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "t0/devices/dev-01",
        "t0/devices/dev-01/telemetry/more",
        "/t0/devices/dev-01/telemetry",
        "t0/devices/dev-01/telemetry\n",
        "t0/device/dev-01/telemetry",
        "t0/devices//telemetry",
        "t0/devices/dev 01/telemetry",
        "t0/devices/größe/telemetry",
        "t0/devices/+/telemetry",
        f"t0/devices/{'x' * 129}/telemetry",
        "t0/devices/dev-01/readings",
    ],
)
def test_a_topic_outside_the_grammar_is_refused(topic: str) -> None:
    with pytest.raises(TopicError):
        topics.parse(topic)


def test_case_and_punctuation_of_names_are_kept() -> None:
    assert topics.parse("A.b/devices/00:1A_x-Y/replies") == Topic("A.b", "00:1A_x-Y", "replies")


@pytest.mark.parametrize(
    "parts",
    [("t0", "a/b", "status"), ("", "a", "status"), ("t0", "+", "status"), ("t0", "a", "other")],
)
def test_a_topic_is_not_built_of_wrong_parts(parts: tuple[str, str, str]) -> None:
    with pytest.raises(TopicError):
        topics.build(*parts)


def test_the_filter_of_another_kind_differs_in_its_last_level() -> None:
    assert topics.filter_for("t0/devices/+/telemetry", "status") == "t0/devices/+/status"


@pytest.mark.parametrize(
    "text",
    ["+/devices/+/telemetry", "t0/devices/+/telemetry", "+/devices/dev-01/telemetry"],
)
def test_a_filter_inside_the_grammar_passes(text: str) -> None:
    topics.check_filter(text)


@pytest.mark.parametrize(
    "text",
    [
        "#",
        "+/devices/#",
        "$share/group/+/devices/+/telemetry",
        "+/+/+/telemetry",
        "+/devices/+/+",
        "+/devices/+/status",
        "/devices/+/telemetry",
        "+/devices/dev+/telemetry",
    ],
)
def test_a_filter_outside_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(TopicError):
        topics.check_filter(text)
