"""POST /import/devices: what a file does, and what it is refused for."""

from codecs import BOM_UTF8

import pytest

from devices.bulk import files
from devices.models import TAKEN, Device
from tests import cast as people
from tests.devices.bulk.conftest import faults, rows, send

HEAD = "device_uid,name,tenant,type,is_enabled,labels\n"


def stored(uid: str) -> tuple:
    device = Device.objects.select_related("type", "tenant").get(device_uid=uid)
    kind = device.type.name if device.type else None
    return device.name, device.tenant.slug, kind, device.is_enabled, device.labels


def test_a_new_device_is_created_and_one_that_exists_is_updated(cast, types):
    new = 'new-1,Roof,t0,boiler,false,"{""site"": ""Hanoi""}"\n'
    answer = send(cast.operator, f"{HEAD}{new}dev-01,Cellar,t0,thermometer,1,\n")
    assert rows(answer) == [(2, "new-1", "created"), (3, "dev-01", "updated")]
    assert stored("new-1") == ("Roof", "t0", "boiler", False, {"site": "Hanoi"})
    assert stored("dev-01") == ("Cellar", "t0", "thermometer", True, {})


def test_json_does_the_same(cast, types):
    created = {"device_uid": "new-1", "type": "boiler", "labels": {"site": "Hanoi"}}
    answer = send(cast.operator, [created, {"device_uid": "dev-01", "is_enabled": False}])
    assert rows(answer) == [(1, "new-1", "created"), (2, "dev-01", "updated")]
    assert stored("new-1") == ("", "t0", "boiler", True, {"site": "Hanoi"})
    assert stored("dev-01") == ("Device dev-01", "t0", None, False, {})


def test_the_report_counts_and_says_what_changes(cast):
    people.device("dev-02", cast.t0)
    answer = send(cast.operator, "device_uid,name,is_enabled\ndev-01,A,0\ndev-02,Device dev-02,1\n")
    report = answer.json()
    assert [report["rows"][0][key] for key in ("outcome", "fields")] == [
        "updated",
        ["name", "is_enabled"],
    ]
    assert rows(answer)[1] == (3, "dev-02", "unchanged")
    counts = {key: report[key] for key in ("dry_run", "created", "updated", "unchanged", "error")}
    assert counts == {"dry_run": False, "created": 0, "updated": 1, "unchanged": 1, "error": 0}


def test_a_column_that_is_absent_leaves_what_is_there(cast, types):
    Device.objects.filter(pk=cast.device.pk).update(
        type=types.own, is_enabled=False, labels={"site": "Hanoi"}
    )
    send(cast.operator, "device_uid,name\ndev-01,Roof\n")
    assert stored("dev-01") == ("Roof", "t0", "boiler", False, {"site": "Hanoi"})


def test_rows_that_change_different_things_do_not_touch_the_others(cast, types):
    people.device("dev-02", cast.t0)
    send(
        cast.operator,
        [{"device_uid": "dev-01", "name": "Roof"}, {"device_uid": "dev-02", "type": "boiler"}],
    )
    assert stored("dev-01") == ("Roof", "t0", None, True, {})
    assert stored("dev-02") == ("Device dev-02", "t0", "boiler", True, {})


def test_an_empty_cell_is_no_type_no_name_and_no_labels(cast, types):
    Device.objects.filter(pk=cast.device.pk).update(type=types.own, labels={"site": "Hanoi"})
    send(cast.operator, "device_uid,name,type,labels\ndev-01,,,\n")
    assert stored("dev-01") == ("", "t0", None, True, {})


def test_an_empty_cell_is_ones_own_tenant_or_the_one_that_is_there(cast):
    send(cast.operator, "device_uid,tenant\nnew-1,\n")
    answer = send(cast.staff, "device_uid,tenant\nforeign-01,\nnew-2,\n")
    assert rows(answer) == [(2, "foreign-01", "unchanged"), (3, "new-2", "error")]
    assert stored("new-1")[1] == "t0"


def test_nothing_is_written_if_one_row_has_an_error(cast):
    answer = send(cast.operator, "device_uid,name\nnew-1,A\na/b,B\ndev-01,C\n")
    assert [outcome for *_, outcome in rows(answer)] == ["created", "error", "updated"]
    assert faults(answer)[0][0] == "3.device_uid"
    assert answer["Content-Type"] == "application/problem+json"
    assert not Device.objects.filter(device_uid="new-1").exists()
    assert stored("dev-01")[0] == "Device dev-01"


@pytest.mark.parametrize("uid", ["new-1", "dev-01", "a/b"])
def test_a_dry_run_says_what_would_be_done_and_does_nothing(cast, uid):
    file = f"device_uid,name\n{uid},Roof\nnew-2,Cellar\n"
    before = list(Device.objects.values())
    tried = send(cast.operator, file, dry_run="true")
    assert list(Device.objects.values()) == before
    done = send(cast.operator, file)
    assert (tried.status_code, rows(tried)) == (done.status_code, rows(done))
    assert b'"dry_run":true' in tried.content


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"device_uid": "a/b"}, "1.device_uid", "Use 1 to 128 letters"),
        ({"device_uid": "x" * 129}, "1.device_uid", "Use 1 to 128 letters"),
        ({"device_uid": ""}, "1.device_uid", "This field may not be blank."),
        ({"name": "nameless"}, "1.device_uid", "This field is required."),
        ({"device_uid": "x", "name": "n" * 256}, "1.name", "Ensure this field has no more than"),
        ({"device_uid": "x", "is_enabled": "maybe"}, "1.is_enabled", "Use true or false."),
        ({"device_uid": "x", "is_enabled": None}, "1.is_enabled", "This field may not be null."),
        ({"device_uid": "x", "type": "turbine"}, "1.type", "Tenant t0 has no device type"),
        ({"device_uid": "x", "type": ""}, "1.type", "This field may not be blank."),
        ({"device_uid": "x", "labels": {"a": 1}}, "1.labels", "a: put the value in quotes"),
        ({"device_uid": "x", "labels": ["a"]}, "1.labels", "Use an object such as"),
        ({"device_uid": "x", "tenant": "nobody"}, "1.tenant", "There is no tenant “nobody”"),
        ({"device_uid": "x", "session": "online"}, "1.session", "It cannot be set. Leave it out"),
        ({"device_uid": "x", "nmae": "x"}, "1.nmae", "There is no such field to set"),
        (["x"], "1", "Expected a dictionary"),
        (None, "1", "This field may not be null."),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_place_and_field(
    cast, types, fields, field, said
):
    found = faults(send(cast.operator, [fields]))
    assert {place for place, _ in found} == {field}
    assert said in found[0][1]


@pytest.mark.parametrize(
    ("cells", "field", "said"),
    [
        ("x,,t0,,maybe,", "2.is_enabled", "Use true or false."),
        ("x,,t0,,,", "2.is_enabled", "Use true or false."),
        ("x,,t0,,1,nonsense", "2.labels", "Use an object such as"),
        ('x,,t0,,1,"{""a"": ' + "[" * 900 + "]" * 900 + '}"', "2.labels", "Use an object such as"),
        ("x,,t0,,1," + "[" * 99_999, "2.labels", "Use an object such as"),
        ('x,,t0,,1,"{""a"": ""\\u0000""}"', "2.labels", "remove the characters that are not text"),
        ("x,\0,t0,,1,", "2.name", "Null characters are not allowed."),
        ("x,,t0,,1", "2", "The row has 5 cells, the first line of the file 6."),
        ("x,,t0,,1,,", "2", "The row has 7 cells, the first line of the file 6."),
    ],
)
def test_what_is_wrong_with_a_cell_is_said_with_line_and_column(cast, cells, field, said):
    ((place, sentence),) = faults(send(cast.operator, f"{HEAD}{cells}\n"))
    assert place == field
    assert said in sentence


def test_a_row_can_have_several_faults(cast):
    answer = send(cast.operator, [{"device_uid": "a/b", "is_enabled": "maybe"}])
    assert [field for field, _ in faults(answer)] == ["1.device_uid", "1.is_enabled"]
    assert answer.json()["detail"].endswith("(1 more in “errors”.)")


def test_the_second_row_of_a_device_is_an_error(cast):
    answer = send(cast.operator, "device_uid\nnew-1\ndev-01\nnew-1\ndev-01\n")
    assert faults(answer) == [
        ("4.device_uid", "Line 2 has it already. Remove one."),
        ("5.device_uid", "Line 3 has it already. Remove one."),
    ]


def test_lines_are_those_of_the_file(cast):
    answer = send(cast.operator, 'device_uid,name\r\n\r\nnew-1,"two\r\nlines"\r\na/b,B\r\n')
    assert rows(answer) == [(3, "new-1", "created"), (5, "a/b", "error")]


def test_a_deleted_device_is_taken_and_stays_deleted(cast):
    Device.objects.filter(pk=cast.device.pk).retire()
    answer = send(cast.operator, [{"device_uid": "dev-01", "is_enabled": True}])
    assert faults(answer) == [("1.device_uid", TAKEN)]
    assert Device.objects.get(pk=cast.device.pk).deleted_at


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("", "The first line has to name the columns"),
        ("name\nx\n", "The first line has to name the columns, with device_uid"),
        ("device_uid,nmae\n", "There is no column “nmae” to set. Possible, separated by commas: "),
        ("device_uid;name\n", "There is no column “device_uid;name” to set."),
        ("device_uid,session\n", "There is no column “session” to set."),
        ("device_uid,name,name\n", "There are two columns “name”. Remove one."),
        (b"device_uid,name\nx,\xe9t\xe9\n", "Byte 18 is not UTF-8. Save the file as UTF-8."),
        ("device_uid\n".encode("utf-16"), "Byte 0 is not UTF-8"),
        ('device_uid,name\nx,y\nz,"open\n', "Line 3 is not CSV: unexpected end of data."),
        ('device_uid\n"a"b\n', "Line 2 is not CSV"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(cast, file, said):
    answer = send(cast.operator, file or "\n")
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


def test_json_that_is_no_array_is_refused(cast):
    answer = people.api(cast.operator).post("/import/devices", {"device_uid": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Send an array of devices.")


@pytest.mark.parametrize(
    ("kind", "file"), [("text/csv", "device_uid\nx\n"), ("application/json", "[]")]
)
def test_a_byte_order_mark_is_no_part_of_the_file(cast, kind, file):
    client = people.api(cast.operator)
    sent = file.encode("utf-8-sig")
    assert client.generic("POST", "/import/devices", sent, content_type=kind).status_code == 200


@pytest.mark.parametrize("file", ["device_uid\n", []])
def test_a_file_of_no_device_does_nothing(cast, file):
    assert send(cast.operator, file).json()["rows"] == []


def test_too_many_rows_are_refused(cast, monkeypatch):
    monkeypatch.setattr(files, "MOST_ROWS", 2)
    assert send(cast.operator, "device_uid\na\nb\n").status_code == 200
    answer = send(cast.operator, "device_uid\na\nb\nc\n")
    assert answer.json()["detail"] == "There are more than 2 devices. Split the file."


@pytest.mark.parametrize("mark", [b"", BOM_UTF8])
@pytest.mark.parametrize("start", ["device_uid\n", "["])
def test_a_file_that_is_too_large_is_refused(cast, mark, start):
    content_type = "text/csv" if start[0] == "d" else "application/json"
    body = mark + start.encode() + b" " * files.LARGEST_FILE
    client = people.api(cast.operator)
    answer = client.generic("POST", "/import/devices", body, content_type=content_type)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_another_media_type_is_refused(cast):
    client = people.api(cast.operator)
    answer = client.generic("POST", "/import/devices", "x", content_type="text/plain")
    assert answer.status_code == 415


@pytest.mark.parametrize("query", [{"dry_run": "perhaps"}, {"dryrun": "true"}, {"dry_run": ""}])
def test_a_parameter_that_is_not_understood_is_never_a_real_run(cast, query):
    assert send(cast.operator, [{"device_uid": "new-1"}], **query).status_code == 400
    assert not Device.objects.filter(device_uid="new-1").exists()


def test_a_refusal_has_the_whole_report(cast):
    body = send(cast.operator, "device_uid\nnew-1\na/b\n").json()
    good, bad = body["report"]["rows"]
    assert good == {
        "line": 2,
        "device_uid": "new-1",
        "outcome": "created",
        "fields": [],
        "errors": [],
    }
    assert (bad["line"], bad["device_uid"], bad["outcome"]) == (3, "a/b", "error")
    assert [f"3.{fault['field']}" for fault in bad["errors"]] == [
        fault["field"] for fault in body["errors"]
    ]
