"""POST /import/credentials: tokens of another system, and that nothing of them is told back."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from devices.credentials.authenticating import authenticate
from devices.credentials.importing import Plan
from devices.models import Credential, Device, Origin
from tests import cast as people

TOKEN = "old-system/token:" + "x" * 32
OTHER = "old-system/token:" + "y" * 32
LATER = "2100-01-01T00:00:00+00:00"


@pytest.fixture(autouse=True)
def emqx(settings):
    settings.MQTT_ACCESS = "emqx"


def send(user, file, query=""):
    """The answer to a file: CSV if it is a text, JSON if it is a list."""
    client, address = people.api(user), f"/import/credentials{query}"
    if isinstance(file, str | bytes):
        return client.generic("POST", address, file, content_type="text/csv")
    return client.post(address, file)


def row(uid="dev-01", token=TOKEN, **fields) -> dict:
    return {"device_uid": uid, "token": token, **fields}


def outcomes(answer) -> list[tuple[int, str, str]]:
    report = answer.json().get("report", answer.json())
    return [(each["line"], each["device_uid"], each["outcome"]) for each in report["rows"]]


def faults(answer) -> dict[str, str]:
    assert answer.status_code == 400, answer.content
    return {each["field"]: each["detail"] for each in answer.json()["errors"]}


def test_a_device_goes_on_with_the_token_that_it_has(cast):
    people.device("dev-02", cast.t0)
    file = f"device_uid,token,expires_at\ndev-01,{TOKEN},{LATER}\ndev-02,{OTHER},\n"
    assert outcomes(send(cast.operator, file)) == [
        (2, "dev-01", "created"),
        (3, "dev-02", "created"),
    ]
    first, second = (authenticate(u, t) for u, t in (("dev-01", TOKEN), ("dev-02", OTHER)))
    assert first.expires_at
    assert second.expires_at is None
    made = Credential.objects.get(device=cast.device)
    assert (made.origin, made.created_by) == (Origin.IMPORTED, cast.operator)


def test_json_does_the_same(cast):
    answer = send(cast.operator, [row(expires_at=LATER)])
    assert outcomes(answer) == [(1, "dev-01", "created")]
    assert authenticate("dev-01", TOKEN)


def test_a_former_credential_ends(cast):
    former = people.token(cast.device)
    assert outcomes(send(cast.operator, [row()])) == [(1, "dev-01", "updated")]
    assert authenticate("dev-01", former) is None


def test_a_file_that_comes_again_changes_nothing(cast):
    send(cast.operator, [row(expires_at=LATER)])
    for file in ([row(expires_at=LATER)], [row()]):
        assert outcomes(send(cast.operator, file)) == [(1, "dev-01", "unchanged")]
    assert Credential.objects.count() == LogEntry.objects.count() == 1


def test_a_dry_run_says_what_would_be_done_and_does_nothing(cast):
    people.device("dev-02", cast.t0)
    people.token(cast.device)
    file = [row(), row("dev-02", OTHER)]
    tried = send(cast.operator, file, "?dry_run=true")
    assert Credential.objects.count() == 1
    done = send(cast.operator, file)
    assert outcomes(tried) == outcomes(done) == [(1, "dev-01", "updated"), (2, "dev-02", "created")]
    assert (tried.json()["dry_run"], done.json()["dry_run"]) == (True, False)


def test_nothing_is_written_if_one_row_has_an_error(cast):
    answer = send(cast.operator, [row(), row("nobody", OTHER)])
    assert outcomes(answer) == [(1, "dev-01", "created"), (2, "", "error")]
    assert not Credential.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"token": "x" * 31}, "token", "32 to 128 characters"),
        ({"token": "x" * 129}, "token", "32 to 128 characters"),
        ({"token": ""}, "token", "32 to 128 characters"),
        ({"token": "x" * 31 + " "}, "token", "without spaces"),
        ({"token": "x" * 16 + "\n" + "x" * 16}, "token", "without spaces"),
        ({"token": "x" * 32 + "\n"}, "token", "without spaces"),
        ({"token": "ü" * 32}, "token", "of ASCII"),
        ({"token": 10**40}, "token", "Put it in quotes"),
        ({"token": None}, "token", "may not be null"),
        ({"token": ["x" * 32]}, "token", "32 to 128 characters"),
        ({"uid": "nobody"}, "device_uid", "There is no such device."),
        ({"uid": "foreign-01"}, "device_uid", "There is no such device."),
        ({"uid": ""}, "device_uid", "may not be blank"),
        ({"uid": 5}, "device_uid", "Put it in quotes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "This is past."),
        ({"expires_at": "soon"}, "expires_at", "This is no time."),
        ({"name": "Roof"}, "name", "There is no such field to set."),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_place(cast, fields, field, said):
    found = faults(send(cast.operator, [row(**fields)]))
    assert list(found) == [f"1.{field}"]
    assert said in found[f"1.{field}"]


def test_the_second_row_of_a_device_and_of_a_token_are_errors(cast):
    people.device("dev-02", cast.t0)
    found = faults(send(cast.operator, [row(), row(token=OTHER), row("dev-02")]))
    assert "Line 1 has it already." in found["2.device_uid"]
    assert "Line 1 has the same token." in found["3.token"]


@pytest.mark.parametrize("uid", ["dev-02", "foreign-01"])
def test_a_token_that_another_device_has_or_had_is_refused(cast, uid):
    people.device("dev-02", cast.t0)
    send(cast.staff, [row(uid)])
    for _ in range(2):
        answer = send(cast.operator, [row()])
        assert "Another device has, or had, this token." in faults(answer)["1.token"]
        assert uid not in answer.text
        Credential.objects.update(revoked_at=timezone.now())


@pytest.mark.parametrize("how", ["revoked_at", "expires_at"])
def test_a_token_that_has_ended_does_not_come_back(cast, how):
    send(cast.operator, [row()])
    Credential.objects.update(**{how: timezone.now() - timedelta(seconds=1)})
    assert "it has ended" in faults(send(cast.operator, [row()]))["1.token"]


def test_the_end_of_a_token_never_changes(cast):
    send(cast.operator, [row()])
    assert "never changes" in faults(send(cast.operator, [row(expires_at=LATER)]))["1.expires_at"]


def test_a_client_id_of_the_platform_is_no_uid_for_a_token(cast, settings):
    people.device(f"{settings.MQTT_CLIENT_ID}-ingest", cast.t0)
    found = faults(send(cast.operator, [row(f"{settings.MQTT_CLIENT_ID}-ingest")]))
    assert "another uid" in found["1.device_uid"]


def test_no_answer_and_no_log_repeats_a_token_wherever_it_stands(cast, caplog):
    people.device("dev-02", cast.t0)
    people.token(people.device("dev-03", cast.t0))
    send(cast.operator, [row("dev-03")])
    files = [
        [row()],
        [row("dev-02"), row("dev-01")],
        [row(TOKEN, "dev-01")],
        [row(token=f"{TOKEN} ")],
        [row(expires_at=TOKEN)],
        [TOKEN],
        TOKEN,
        f"{TOKEN}\n",
        f"dev-01,{TOKEN}\n",
        f"device_uid,token\n{TOKEN},dev-01\n",
        f"device_uid,token\ndev-01,{TOKEN},{TOKEN}\n",
        f"device_uid,token,expires_at\ndev-01,{OTHER},{TOKEN}\n",
        f'device_uid,token\ndev-01,"{TOKEN}\n',
    ]
    for file in files:
        for query in ("", "?dry_run=true"):
            answer = send(cast.operator, file, query)
            assert answer.status_code == 400, file
            assert TOKEN not in answer.text, file
    assert TOKEN not in caplog.text
    assert TOKEN not in str(list(LogEntry.objects.values()))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("device_uid,password\n", "There is no column number 2. Possible"),
        ("device_uid\n", "with device_uid and token. Possible"),
        ("device_uid,token,token\n", "There are two columns “token”."),
        (b"device_uid,token\nx,\xe9\n", "is not UTF-8"),
        ({"device_uid": "dev-01"}, "Send an array of tokens."),
        ("", "Send an array of tokens."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(cast, file, said):
    answer = send(cast.operator, file)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


def test_a_token_in_csv_keeps_its_apostrophe_and_a_uid_loses_that_of_a_spreadsheet(cast):
    people.device("-1", cast.t0)
    token = "'=" + "x" * 32
    assert send(cast.operator, f"device_uid,token\n'-1,{token}\n").status_code == 200
    assert authenticate("-1", token)


@pytest.mark.parametrize("file", ["device_uid,token\n", []])
def test_a_file_of_nobody_does_nothing(cast, file):
    assert send(cast.operator, file).json()["rows"] == []


def test_a_deleted_device_is_none_and_a_viewer_imports_nothing(cast):
    assert send(cast.viewer, [row()]).status_code == 403
    Device.objects.filter(pk=cast.device.pk).retire()
    assert "no such device" in faults(send(cast.operator, [row()]))["1.device_uid"]


def test_a_token_that_is_taken_at_the_same_moment_is_found_out(cast, monkeypatch):
    people.device("dev-02", cast.t0)
    send(cast.operator, [row("dev-02")])
    holders = [{}]

    def blind_at_first(plan, right, see=Plan._holders):
        return holders.pop() if holders else see(plan, right)

    monkeypatch.setattr(Plan, "_holders", blind_at_first)
    assert "Another device" in faults(send(cast.operator, [row()]))["1.token"]
    assert not holders
