"""What the home page says while there is no device."""

from html import unescape

import pytest

from tests import cast as people


def test_an_empty_platform_shows_how_to_send_a_first_message(cast, settings):
    cast.foreign.delete()
    settings.MQTT_DEVICES = "broker.example:1883"
    page = people.console(cast.stranger).get("/admin/").text
    assert (
        "mosquitto_pub -h broker.example -p 1883 -q 1 -t other/devices/other-first-device/" in page
    )
    assert "One appears here with its first message" in page


def test_it_waits_for_the_message_and_python_is_enough_to_send_it(cast, settings):
    cast.foreign.delete()
    settings.MQTT_DEVICES = "broker.example:1883"
    page = unescape(people.console(cast.stranger).get("/admin/").text)
    assert "Waiting for the first message…" in page
    assert 'c.connect("broker.example", 1883)' in page
    settings.MQTT_ACCESS = "emqx"
    assert "python3 -c" not in people.console(cast.stranger).get("/admin/").text


def test_a_broker_without_a_name_is_where_the_console_is(cast, settings):
    cast.foreign.delete()
    settings.MQTT_DEVICES = ":1883"
    page = people.console(cast.stranger).get("/admin/").text
    assert "mosquitto_pub -h testserver -p 1883 " in page


def test_without_registration_the_device_is_to_be_created_first(cast, settings):
    cast.foreign.delete()
    settings.AUTO_REGISTER = False
    page = people.console(cast.stranger).get("/admin/").text
    assert "Create the device “other-first-device”" in page


@pytest.mark.parametrize("access", ["emqx", "mosquitto"])
def test_where_a_token_is_asked_for_it_is_shown_how_to_come_by_one(cast, settings, access):
    cast.foreign.delete()
    settings.MQTT_ACCESS = access
    page = unescape(people.console(cast.stranger).get("/admin/").text)
    assert "“New credential” on its page" in page
    assert "-u other-first-device -i other-first-device -P … -q 1 -t other/devices/" in page


def test_where_devices_enrol_it_is_shown_how(cast, settings):
    cast.foreign.delete()
    settings.ENROLMENT, settings.AUTO_REGISTER = True, False
    page = unescape(people.console(cast.stranger).get("/admin/").text)
    assert "Make an enrolment key" in page
    assert "curl http://testserver/enroll -H" in page
    assert "mosquitto_pub" not in page


def test_a_platform_with_devices_shows_no_such_hint(cast):
    assert "mosquitto_pub" not in people.console(cast.viewer).get("/admin/").text


def test_a_command_is_copied_by_the_script_that_the_page_brings(cast, settings):
    cast.foreign.delete()
    page = people.console(cast.stranger).get("/admin/").text
    assert 'data-copy="home-first"' in page
    assert "devices/copy.js" in page
    assert "x-on:click" not in page.partition('id="home-first"')[2].partition("</section>")[0]


@pytest.mark.parametrize(
    ("ca", "option"), [("", "--tls-use-os-certs"), ("/etc/my ca.pem", "--cafile '/etc/my ca.pem'")]
)
def test_an_encrypted_broker_is_spoken_to_encrypted(cast, settings, ca, option):
    cast.foreign.delete()
    settings.MQTT_TLS, settings.MQTT_CA = True, ca
    assert f" {option} -q 1 " in unescape(people.console(cast.stranger).get("/admin/").text)


def test_devices_come_encrypted_where_a_proxy_does_that_for_a_broker_that_does_not(cast, settings):
    cast.foreign.delete()
    settings.MQTT_DEVICES = ":8883"
    page = people.console(cast.stranger).get("/admin/").text
    assert "mosquitto_pub -h testserver -p 8883 --cafile certs/ca.pem -q 1 " in page
    assert "python3 -c" not in page
