"""What the processes tell of themselves: real ones, read as Prometheus does."""

import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from tests.acceptance.conftest import fresh_database, platform_between
from tests.acceptance.ledger import Ledger, wait_until
from tests.acceptance.processes import Process
from tests.forks import ROOT
from tests.servers import Mosquitto, free_port

pytestmark = pytest.mark.mosquitto

TOKEN = "a-token-of-whoever-looks-after-it"
ROW = re.compile(r"^\| `(\w+)` \| ([IDWB ]+) \|([`\w ]*)\|", re.MULTILINE)
WRITTEN = {
    name: (set(where.split()), set(re.findall(r"\w+", labels)))
    for name, where, labels in ROW.findall((ROOT / "docs/metrics.md").read_text())
}
"""By the name without its prefix: who tells it, and its labels, as docs/metrics.md says."""
LAW = "iotplatform_readings_received_total", "iotplatform_readings_total"


@pytest.fixture(scope="module")
def running(tmp_path_factory, server):
    """Broker, database, ingestor, dispatcher and a web server of two workers, each on a port."""
    directory = tmp_path_factory.mktemp("metrics")
    with (
        Mosquitto(directory) as broker,
        fresh_database(server) as database,
        platform_between(directory, server, database, broker) as platform,
    ):
        platform.variables["METRICS_TOKEN"] = TOKEN
        processes = {}
        for kind in ("ingestor", "dispatcher"):
            port = platform.variables["METRICS_PORT"] = str(free_port())
            processes[kind] = SimpleNamespace(process=platform.start(f"run_{kind}"), port=port)
        processes["web"] = web(directory, platform.variables)
        for kind in ("ingestor", "dispatcher"):
            processes[kind].process.wait_until_connected()
        wait_until(lambda: answers(processes["web"]), "the web server")
        yield SimpleNamespace(platform=platform, **processes)
        assert processes["web"].process.stop() == 0


def web(directory: Path, variables: dict[str, str]) -> SimpleNamespace:
    port = str(free_port())
    own = {**variables, "PORT": port, "WEB_WORKERS": "2"}
    served = "gunicorn", "-c", "python:iotplatform.serving", "iotplatform.wsgi"
    return SimpleNamespace(process=Process(directory / "web.log", own, "-m", *served), port=port)


def get(process: SimpleNamespace, path: str, **headers: str) -> tuple[int, str]:
    """Status and body; asked by a name that is none of ALLOWED_HOSTS, as in a network of Docker."""
    address = f"http://127.0.0.1:{process.port}{path}"
    request = urllib.request.Request(address, headers={"Host": "web:8000", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def answers(process: SimpleNamespace) -> bool:
    try:
        return get(process, "/healthz")[0] == 200
    except OSError:
        return False


def scraped(process: SimpleNamespace) -> dict[tuple[str, str], float]:
    """By name and the one label that tells values apart, or all of them."""
    status, text = get(process, "/metrics", Authorization=f"Bearer {TOKEN}")
    assert status == 200, text
    return {
        (sample.name, " ".join(sample.labels.values())): sample.value
        for family in families(text)
        for sample in family.samples
    }


def told(process: SimpleNamespace) -> dict[str, set[str]]:
    """The labels of each metric of ours that has a value, by its name without prefix."""
    _, text = get(process, "/metrics", Authorization=f"Bearer {TOKEN}")
    return {
        family.name.removeprefix("iotplatform_") + "_total" * (family.type == "counter"): {
            *family.samples[0].labels
        }
        - {"le"}
        for family in families(text)
        if family.samples and family.name.startswith("iotplatform_")
    }


@pytest.fixture(scope="module")
def published(running):
    """The ledger of what devices sent: readings, one of them twice, and what nobody can store."""
    with Ledger(running.platform.broker.port) as ledger:
        ledger.wait_for_subscriber()
        ledger.send_again(next(iter(ledger.publish(20))))
        ledger.send_bad("dev-01")
        ledger.publish_raw("nobody/devices/stray/telemetry", b"{}")
        ledger.settle()
        received = len(ledger.promised) + 3
        wait_until(lambda: scraped(running.ingestor)[LAW[0], ""] == received, "all of it")
        yield ledger


def test_the_ingestor_tells_what_became_of_every_reading(running, published):
    found = scraped(running.ingestor)
    outcomes = {label: value for (name, label), value in found.items() if name == LAW[1]}
    assert outcomes == {"stored": len(published.promised), "duplicate": 1, "rejected": 2}
    assert found[LAW[0], ""] == sum(outcomes.values())
    reasons = {label for name, label in found if name == "iotplatform_readings_rejected_total"}
    assert reasons == {"bad_msg_id", "unknown_tenant"}
    assert found["iotplatform_batch_readings_sum", ""] == found[LAW[0], ""]
    assert found["iotplatform_commit_seconds_count", ""] >= 1
    assert found["iotplatform_broker_connected", ""] == 1
    assert found["iotplatform_unacknowledged_messages", ""] == 0
    assert found["process_resident_memory_bytes", ""] > 0
    # The same by those who ask the database.
    assert scraped(running.web)["iotplatform_rejected_messages", "bad_msg_id"] == 1


def test_the_dispatcher_tells_what_became_of_commands(running, published):
    # The device is known by what it sent, and is not connected.
    uid, _msg_id = next(iter(published.promised))
    sent = running.platform.start("send_command", uid, "reboot")
    assert sent.wait() == 0, sent.said
    name = "iotplatform_commands_published_total"
    wait_until(lambda: scraped(running.dispatcher)[name, "no_subscriber"], "an attempt")
    assert scraped(running.dispatcher)[name, "taken"] == 0
    assert scraped(running.web)["iotplatform_commands", "queued"] == 1


def test_the_web_server_tells_of_all_its_workers(running):
    for _ in range(40):
        assert get(running.web, "/no/such/thing", Host="localhost")[0] == 404
    found = scraped(running.web)
    assert found["iotplatform_http_requests_total", "GET none 404"] == 40
    workers = psutil.Process(running.web.process.process.pid).children()
    workers[0].kill()
    workers[0].wait()
    found = scraped(running.web)
    assert found["iotplatform_http_requests_total", "GET none 404"] == 40
    assert found["iotplatform_http_requests_total", "GET /healthz 200"] >= 1
    assert found["iotplatform_http_request_seconds_count", "/metrics"] >= 1
    assert found["iotplatform_database_up", ""] == 1
    assert found["iotplatform_partitions_ahead_seconds", ""] > 7 * 86400
    assert (
        found["iotplatform_database_connections", ""]
        < found["iotplatform_database_connections_max", ""]
    )


def test_the_guide_names_all_that_is_told_and_nothing_else(running, published):
    # One that only maintain brings about.
    assert running.platform.start("maintain").wait() == 0
    beats = "telemetry_upkeep", "devices_heartbeat"
    wait_until(lambda: all(map(running.platform.count, beats)), "signs of life")
    letters = {"I": running.ingestor, "D": running.dispatcher, "W": running.web}
    for letter, process in letters.items():
        mine = {letter, "DB"} if letter == "W" else {letter}
        written = {name: labels for name, (where, labels) in WRITTEN.items() if mine & where}
        if letter == "W":
            # Nobody sent a reading by HTTP.
            del written["readings_rejected_total"]
        assert told(process) == written, letter


@pytest.mark.parametrize("kind", ["ingestor", "dispatcher", "web"])
def test_metrics_are_for_those_who_know_the_token(running, kind):
    process = getattr(running, kind)
    assert get(process, "/metrics")[0] == 401
    assert get(process, "/metrics", Authorization="Bearer wrong")[0] == 401
    assert get(process, "/metrics", Authorization=f"Basic {TOKEN}")[0] == 401
    assert get(process, "/healthz") == (200, '{"status": "ok"}')


def test_a_port_that_is_taken_is_named(running):
    second = running.platform.start("run_dispatcher")
    assert second.wait() == 1
    assert f"port {running.dispatcher.port}: " in second.said
    assert "METRICS_PORT of its own" in second.said


def test_a_database_that_is_away_silences_nobody(running):
    with running.platform.sql.refusing():
        found = scraped(running.web)
        assert found["iotplatform_database_up", ""] == 0
        assert found["iotplatform_http_requests_total", "GET /healthz 200"] >= 1
        assert ("iotplatform_database_bytes", "") not in found
        status, body = get(running.web, "/readyz")
        assert status == 503
        assert "PostgreSQL" in json.loads(body)["checks"]["database"]
        # To start it anew would not help.
        assert get(running.ingestor, "/healthz")[0] == 200


def test_the_platform_is_ready_until_a_process_is_missing(running):
    def checks():
        return json.loads(get(running.web, "/readyz")[1])["checks"]

    wait_until(lambda: get(running.web, "/readyz")[0] == 200, "a platform that is ready")
    everything = ("database", "migrations", "ingestor", "dispatcher")
    wait_until(lambda: checks() == dict.fromkeys(everything, "ok"), "the word of both workers")
    assert running.dispatcher.process.stop() == 0
    wait_until(lambda: "run_dispatcher" in checks()["dispatcher"], "the missing dispatcher")
    # Of the other worker too, a second later.
    wait_until(lambda: get(running.web, "/readyz")[0] == 503, "no")
    assert checks()["ingestor"] == "ok"
