"""How long and how long ago, and what a login that failed says, in Vietnamese."""

from datetime import timedelta

import pytest
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.test import Client
from django.utils import timezone, translation
from django.utils.timesince import timesince

from tests import cast as people

LONG = {"minutes": 16, "hours": 5, "days": 3, "weeks": 2}
WORDS = {"minutes": "phút", "hours": "giờ", "days": "ngày", "weeks": "tuần"}


@pytest.mark.parametrize("unit", LONG)
@pytest.mark.parametrize("count", [1, None])
def test_a_duration_is_said_in_vietnamese(unit, count):
    now, long = timezone.now(), count or LONG[unit]
    then = now - timedelta(**{unit: long})
    with translation.override("vi"):
        assert timesince(then, now).replace("\xa0", " ") == f"{long} {WORDS[unit]}"
        ago = str(naturaltime(then)).replace("\xa0", " ")
        assert ago == f"{long} {WORDS[unit]} trước"


def test_an_alert_says_in_vietnamese_how_long_it_lasts(cast):
    then = timezone.now() - timedelta(minutes=16, seconds=5)
    people.alert(cast.device, since=then)
    client = people.console(cast.viewer)
    shown = client.get("/admin/devices/alert/", headers={"accept-language": "vi"}).text
    assert "16\xa0phút" in shown
    assert "minute" not in shown


@pytest.mark.django_db
def test_a_login_that_failed_says_so_in_vietnamese():
    form = {"username": "nobody@t0.example", "password": "wrong"}
    answer = Client().post("/admin/login/", form, headers={"accept-language": "vi"})
    assert "Hãy sửa các lỗi bên dưới." in answer.text
    assert "Please" not in answer.text
