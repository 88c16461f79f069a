"""What is said to Mosquitto, from every state that it may be in."""

import itertools

import pytest

from devices.brokers.changes import Change
from devices.brokers.mosquitto import plans
from devices.brokers.mosquitto.accounts import DEFAULTS, Account, acls_of, acls_of_service, mark_of
from devices.brokers.mosquitto.book import Book
from devices.brokers.mosquitto.comparison import State, compare
from devices.brokers.mosquitto.plans import FOREIGN, UNKNOWN
from devices.credentials.tokens import digest_of
from devices.daemon.services import dispatcher, ingestor
from devices.mqtt.rights import Action, Right

ROLE = "device:dev-01"
OWN = [("t0", "dev-01")]
OLD, NEW = "the old token", "the new token"


def change(token="", *, admitted=True, gone=False, in_force=(NEW,), names=OWN):
    digests = {digest_of(each) for each in in_force} if admitted else ()
    return Change("dev-01", token, 1, 0, None, admitted, gone, names, digests)


def account(token=NEW, **fields):
    mark = mark_of(digest_of(token))
    return Account("dev-01", "dev-01", mark, frozenset([ROLE]))._replace(**fields)


def names(plan):
    return [command["command"] for command in plan.commands]


def role(names=OWN):
    """What the role of these devices says."""
    plan = plans.of_device(change(NEW, names=names), None, None)
    book = Book()
    book.do(plan.first[0])
    return book.state.roles[ROLE]


def test_a_right_to_publish_is_to_send_and_one_to_subscribe_is_to_receive_as_well():
    said = acls_of([Right(Action.PUBLISH, "a"), Right(Action.SUBSCRIBE, "b")])
    assert {each[:2] for each in said} == {
        ("publishClientSend", "a"),
        ("subscribeLiteral", "b"),
        ("publishClientReceive", "b"),
    }


def test_only_the_dispatcher_manages_accounts(settings):
    topics = [{each.topic for each in acls_of_service(who)} for who in (dispatcher(), ingestor())]
    assert [any(topic.startswith("$CONTROL") for topic in each) for each in topics] == [True, False]


def test_a_new_device_is_made_with_its_client_id_and_the_mark_of_its_token():
    made = plans.of_device(change(NEW), None, None)
    assert names(made) == ["createRole", "createClient"]
    said = made.first[1]
    assert (said["clientid"], said["password"], said["roles"]) == (
        "dev-01", NEW, [{"rolename": ROLE}],
    )  # fmt: skip
    assert NEW not in said["textdescription"]


@pytest.mark.parametrize(
    ("said", "known", "commands"),
    [
        (change(), account(), []),
        (change(NEW), account(), []),
        (change(NEW), account(OLD), ["modifyClient"]),
        (change(NEW), account(OLD, is_disabled=True), ["modifyClient", "enableClient"]),
        (change(), account(is_disabled=True), ["enableClient"]),
        (change(), account(client_id=""), ["modifyClient"]),
        (change(), account(groups=frozenset(["admins"])), ["modifyClient"]),
        (change(), account(roles=frozenset([ROLE, "admin"])), ["modifyClient"]),
        (change(names=[*OWN, ("t0", "dev-02")]), account(), ["modifyRole"]),
        (change(admitted=False), account(), ["disableClient"]),
        (change(admitted=False), account(is_disabled=True), []),
        (change(NEW, admitted=False), account(OLD), ["disableClient", "modifyClient"]),
        (change(gone=True, admitted=False), account(), ["deleteClient", "deleteRole"]),
    ],
)
def test_nothing_is_said_that_the_broker_knows_already(said, known, commands):
    plan = plans.of_device(said, known, role())
    assert (names(plan), plan.error) == (commands, "")


def test_a_device_is_let_in_again_only_after_its_new_password_was_taken():
    plan = plans.of_device(change(NEW), account(OLD, is_disabled=True), role())
    assert [each["command"] for each in plan.last] == ["enableClient"]


def test_a_disabled_device_is_shut_in_the_same_message_in_which_it_is_made():
    plan = plans.of_device(change(NEW, admitted=False), None, None)
    assert names(plan)[-2:] == ["createClient", "disableClient"]
    assert not plan.last


@pytest.mark.parametrize("known", [None, account(OLD)])
def test_an_unknown_token_is_for_people_to_replace_and_lets_nobody_in(known):
    plan = plans.of_device(change(), known, role())
    assert plan.error == UNKNOWN
    assert names(plan) == (["disableClient"] if known else ["deleteRole"])


def test_an_account_of_somebody_else_stays_as_it_is():
    theirs = Account("dev-01", roles=frozenset(["admin"]))
    for said in (change(NEW), change(), change(gone=True), change(admitted=False)):
        plan = plans.of_device(said, theirs, None)
        assert not plan.commands
        assert plan.error == ("" if said.is_gone or not said.is_admitted else FOREIGN)


STATES = [
    (known, there)
    for known, there in itertools.product(
        [None, account(), account(OLD), account(is_disabled=True),
         account(client_id="x", roles=frozenset(["device:x"]), groups=frozenset(["g"]))],
        [None, role(), role([*OWN, ("t0", "dev-02")])],
    )
]  # fmt: skip


@pytest.mark.parametrize("said", [change(NEW), change(NEW, admitted=False), change(gone=True)])
@pytest.mark.parametrize(("known", "there"), STATES)
def test_from_every_state_the_plan_leads_to_where_there_is_nothing_left_to_say(said, known, there):
    book = Book(content(known, there))
    for command in plans.of_device(said, known, there).commands:
        book.do(command)
    after = book.state
    again = plans.of_device(said, after.accounts.get("dev-01"), after.roles.get(ROLE))
    assert (again.commands, again.error) == ([], "")
    found = after.accounts.get("dev-01")
    assert (found is not None) == (not said.is_gone)
    if found and said.is_admitted:
        assert found == account()
        assert book.knows_password("dev-01", NEW) or known.mark == account().mark


def content(known, there):
    """The file of a broker with such an account and role."""
    roles = [{"rolename": ROLE, "acls": [each.as_json() for each in there]}] if there else []
    if not known:
        return {"clients": [], "roles": roles}
    client = {
        "username": "dev-01",
        "clientid": known.client_id,
        "textdescription": known.mark,
        "disabled": known.is_disabled,
        "roles": [{"rolename": each} for each in known.roles],
    }
    groups = [{"groupname": g, "clients": [{"username": "dev-01"}]} for g in known.groups]
    return {"clients": [client], "groups": groups, "roles": roles}


def test_what_passes_for_a_devices_account_and_is_none_goes():
    evil = Account("evil", roles=frozenset([ROLE]))
    state = State({"evil": evil, "admin": Account("admin")}, {"device:gone": role()}, DEFAULTS)
    found = compare(state, [], [])
    assert [(each.name, each.done) for each in found.differences] == [
        ("evil", ["removed"]),
        ("gone", ["stripped of rights"]),
    ]
    assert found.others == ["admin"]


def test_whoever_has_no_role_may_nothing():
    (found,) = compare(
        State({}, {}, {**DEFAULTS, "publishClientReceive": True}), [], []
    ).differences
    assert {"acltype": "publishClientReceive", "allow": False} in found.plan.first[0]["acls"]
