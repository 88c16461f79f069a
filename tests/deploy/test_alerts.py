"""What deploy/prometheus asks of the platform, when it alerts, and what the runbook says."""

import contextlib
import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest
import yaml
from django.db import connection
from django.utils import timezone

from devices.models import Heartbeat
from telemetry.models import Upkeep
from telemetry.upkeep.jobs import jobs
from tests.acceptance.web import serving
from tests.deploy.tls import adapted, database_url
from tests.forks import ROOT, fork
from tests.iotplatform.processes import wait_until
from tests.servers import free_port, wait_for_port

ALERTS = ROOT / "deploy/prometheus/alerts.yml"
RUNBOOK = ROOT / "docs/operations.md"
TOKEN = "a-token-that-only-prometheus-knows"
DAY = 86_400
WEB, INGESTOR = 'job="web",instance="web:8000"', 'job="ingestor",instance="ingestor:9100"'


class Case(NamedTuple):
    """Series with their values, minute by minute, after which an alert fires, or does not."""

    alert: str
    fires: bool
    minutes: int
    series: dict[str, str]


def requests(**rates: int) -> dict[str, str]:
    """Requests of each status a minute."""
    return {
        f'iotplatform_http_requests_total{{{WEB},route="/devices",status="{status[1:]}"}}': (
            f"0+{rate}x60"
        )
        for status, rate in rates.items()
    }


def slow(count: int) -> dict[str, str]:
    """Of 100 requests a minute, so many take longer than two seconds."""
    name = f'iotplatform_http_request_seconds_bucket{{{WEB},route="/devices",le='
    return {
        f'{name}"2"}}': f"0+{100 - count}x60",
        f'{name}"10"}}': "0+100x60",
        f'{name}"+Inf"}}': "0+100x60",
    }


def readings(**outcomes: int) -> dict[str, str]:
    """Readings a minute; `received` is what the ingestor says of their sum."""
    received = outcomes.pop("received", sum(outcomes.values()))
    return {
        f"iotplatform_readings_received_total{{{INGESTOR}}}": f"0+{received}x60",
        **{
            f'iotplatform_readings_total{{{INGESTOR},outcome="{outcome}"}}': f"0+{rate}x60"
            for outcome, rate in outcomes.items()
        },
    }


def known(*jobs: str) -> dict[str, str]:
    return {f'up{{job="{job}",instance="{job}"}}': "1x60" for job in jobs}


def started(*minutes: int) -> dict[str, str]:
    """An ingestor that is started anew at each of `minutes`, each time at another address."""
    ends = [*minutes[1:], minutes[-1] + 30]
    return {
        f'process_start_time_seconds{{job="ingestor",instance="10.0.0.{minute}:9100"}}': (
            f"_x{minute} {minute}x{end - minute - 1} stale"
        )
        for minute, end in zip(minutes, ends, strict=True)
    }


def on_two(series: str, values: str) -> dict[str, str]:
    """The same from each of two web servers."""
    return {series.replace("web:8000", f"10.0.0.{number}:8000"): values for number in (1, 2)}


BEAT = f'iotplatform_process_beat_age_seconds{{{WEB},kind="ingestor"}}'
OTHERS_BEAT = BEAT.replace('kind="ingestor"', 'kind="dispatcher"')
STARTED = f"process_start_time_seconds{{{INGESTOR}}}"
CONNECTED = f"iotplatform_broker_connected{{{INGESTOR}}}"
RECONNECTS = f"iotplatform_broker_reconnects_total{{{INGESTOR}}}"
LOST = f"iotplatform_broker_sessions_lost_total{{{INGESTOR}}}"
WAITING = f"iotplatform_broker_changes_waiting{{{WEB}}}"
EMQX = 'up{job="emqx",instance="emqx:18083"}'
DROPPED = 'emqx_delivery_dropped_queue_full{job="emqx",instance="emqx:18083"}'
UNACKNOWLEDGED = f"iotplatform_unacknowledged_age_seconds{{{INGESTOR}}}"
RECEIVED = f"iotplatform_readings_received_total{{{INGESTOR}}}"
OVERFLOW = f"iotplatform_rejected_overflow_total{{{WEB}}}"
DUE = f"iotplatform_commands_due_age_seconds{{{WEB}}}"
ANSWERS = f"iotplatform_database_up{{{WEB}}}"
FAILURES = f"iotplatform_database_failures_total{{{INGESTOR}}}"
TAKEN = f"iotplatform_database_connections{{{WEB}}}"
ROOM = f"iotplatform_database_connections_max{{{WEB}}}"
BYTES = f"iotplatform_database_bytes{{{WEB}}}"
AHEAD = f"iotplatform_partitions_ahead_seconds{{{WEB}}}"
UPKEEP = f"iotplatform_upkeep_age_seconds{{{WEB}}}"
MISSING = f"iotplatform_upkeep_jobs_missing{{{WEB}}}"
AWAY = f'iotplatform_http_requests_total{{{WEB},route="/live/telemetry",status="503"}}'
UNREADY = f'iotplatform_http_requests_total{{{WEB},route="/readyz",status="503"}}'

CASES = [
    Case("ProcessDown", True, 5, {f"up{{{WEB}}}": "1 1 0x10"}),
    Case("ProcessDown", False, 5, {f"up{{{WEB}}}": "1 0 1x10", EMQX: "0x10"}),
    Case("NothingScraped", True, 3, known("web", "ingestor", "dispatcher")),
    Case("NothingScraped", False, 3, known("web", "live", "ingestor", "dispatcher")),
    Case("ProcessSilent", True, 5, {BEAT: "10 70 130 190 250 310"}),
    # Forgotten after a day.
    Case("ProcessSilent", True, 5, {OTHERS_BEAT: "5x10", ANSWERS: "1x10"}),
    Case("ProcessSilent", False, 5, {OTHERS_BEAT: "5x10", BEAT: "5x10", ANSWERS: "1x10"}),
    Case("ProcessSilent", False, 5, {ANSWERS: "0x10"}),
    Case("ProcessSilent", False, 5, {BEAT: "10 59 9 70 10 10"}),
    Case("RestartsInALoop", True, 30, {STARTED: "100 200 300 400 500x30"}),
    Case("RestartsInALoop", True, 30, started(1, 6, 11, 16, 21)),
    Case("RestartsInALoop", False, 30, {STARTED: "100x10 200x30"}),
    Case("RestartsInALoop", False, 30, started(1, 11, 21)),
    Case("NotConnected", True, 5, {CONNECTED: "1 0x10"}),
    Case("NotConnected", False, 5, {CONNECTED: "1 1 1 1 1 0"}),
    Case("ConnectionUnsteady", True, 15, {RECONNECTS: "0+1x20"}),
    Case("ConnectionUnsteady", False, 15, {RECONNECTS: "0 0 1 2x20"}),
    Case("SessionLost", True, 30, {LOST: "0x5 1x30"}),
    Case("SessionLost", False, 30, {LOST: "1x35"}),
    Case("BrokerChangesWait", True, 10, {WAITING: "1x15"}),
    Case("BrokerChangesWait", False, 10, {WAITING: "3 1 0 5 2 1 0 0 0 0 0"}),
    Case("EmqxDown", True, 10, {EMQX: "1 1 0x10"}),
    Case("EmqxDown", True, 1500, {EMQX: "1 0x1500"}),
    Case("EmqxDown", False, 10, {EMQX: "0x15"}),
    Case("EmqxQueueFull", True, 10, {DROPPED: "0x5 100x10"}),
    Case("EmqxQueueFull", False, 10, {DROPPED: "100x15"}),
    Case("ReadingsWait", True, 5, {UNACKNOWLEDGED: "0+60x10"}),
    Case("ReadingsWait", False, 5, {UNACKNOWLEDGED: "0 50 0 61 0 3"}),
    Case("ReadingsStopped", True, 80, {RECEIVED: "0+100x60 6000x30"}),
    Case("ReadingsStopped", False, 80, {RECEIVED: "0+100x90"}),
    Case("ReadingsStopped", False, 80, {RECEIVED: "0x90"}),
    Case("RejectedMany", True, 40, readings(stored=90, rejected=10)),
    Case("RejectedMany", False, 40, readings(stored=970, rejected=30)),
    Case("RejectedMany", False, 40, readings(stored=2, rejected=1)),
    Case("RejectedOverflow", True, 30, on_two(OVERFLOW, "7x5 9x30")),
    Case("RejectedOverflow", False, 30, {OVERFLOW: "7x35"}),
    Case("NotConserved", True, 10, readings(received=11, stored=9, duplicate=1)),
    Case("NotConserved", False, 10, readings(stored=8, duplicate=1, rejected=1)),
    Case("CommandsLate", True, 5, {DUE: "0+60x10"}),
    Case("CommandsLate", False, 5, {DUE: "0 61 61 5 61 0"}),
    Case("DatabaseDown", True, 5, {ANSWERS: "1 0x10"}),
    Case("DatabaseDown", False, 5, {ANSWERS: "1 0 1x10"}),
    Case("DatabaseFailures", True, 10, {FAILURES: "0+1x15"}),
    Case("DatabaseFailures", False, 10, {FAILURES: "4 4 5 6x15"}),
    Case("ConnectionsFew", True, 10, {TAKEN: "85x15", ROOM: "100x15"}),
    Case("ConnectionsFew", False, 10, {TAKEN: "75x15", ROOM: "100x15"}),
    Case("DatabaseGrows", True, 25 * 60 + 70, on_two(BYTES, "20e9+10e6x1600")),
    Case("DatabaseGrows", False, 25 * 60 + 70, {BYTES: "200e9+10e6x1600"}),
    Case("PartitionsShort", True, 15, {AHEAD: f"{3 * DAY - 1}x20"}),
    Case("PartitionsShort", False, 15, {AHEAD: f"{8 * DAY}x20"}),
    Case("UpkeepLate", True, 70, {UPKEEP: f"{2 * DAY}+60x80"}),
    Case("UpkeepLate", True, 70, {UPKEEP: "5x80", MISSING: "1x80"}),
    Case("UpkeepLate", False, 70, {UPKEEP: f"{DAY}+60x80", MISSING: "20x30 0x50"}),
    Case("RequestsFail", True, 20, requests(_200=100, _500=3)),
    Case("RequestsFail", False, 20, requests(_200=1_000, _500=3, _404=100)),
    Case("RequestsFail", False, 20, {AWAY: "0+5x60", UNREADY: "0+5x60", **requests(_200=10)}),
    Case("RequestsSlow", True, 30, slow(5)),
    Case("RequestsSlow", False, 30, slow(0)),
    Case("StreamsFull", True, 10, {AWAY: "0+1x15"}),
    Case("StreamsFull", False, 10, {AWAY: "5x15"}),
]


def rules() -> list[dict[str, Any]]:
    found = yaml.safe_load(ALERTS.read_text())
    return [rule for group in found["groups"] for rule in group["rules"]]


def as_promtool_has_it(case: Case) -> dict[str, Any]:
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    firing = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}})'
    samples = [{"labels": "{}", "value": 1}] if case.fires else []
    at = f"{case.minutes}m"
    return {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": firing, "eval_time": at, "exp_samples": samples}],
    }


@pytest.mark.prometheus
def test_each_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    files = []
    # Optimization: in a file with no other rule, which would all be evaluated as well.
    for rule in rules():
        alone = tmp_path / f"{rule['alert']}.rules.yml"
        alone.write_text(yaml.safe_dump({"groups": [{"name": "alone", "rules": [rule]}]}))
        tests = [as_promtool_has_it(case) for case in CASES if case.alert == rule["alert"]]
        files.append(tmp_path / f"{rule['alert']}.yml")
        files[-1].write_text(yaml.safe_dump({"rule_files": [str(alone)], "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    names = {rule["alert"] for rule in rules()}
    for fires in (True, False):
        assert {case.alert for case in CASES if case.fires is fires} == names


def test_each_alert_says_what_it_means_and_has_its_heading_in_the_runbook() -> None:
    headings = re.findall(r"^### ([A-Z]\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        notes = rule["annotations"]
        assert notes["summary"].endswith(".")
        assert notes["description"].endswith(".")
        assert notes["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_links_of_the_runbook_lead_somewhere() -> None:
    for page, anchor in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", RUNBOOK.read_text()):
        target = (RUNBOOK.parent / page) if page else RUNBOOK
        text = target.read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
        assert not anchor or anchor in anchors, (page, anchor)


@pytest.mark.django_db
def test_statements_of_the_runbook_are_understood() -> None:
    pattern = r'psql -U postgres -d iotplatform -c "(select.+?)"'
    found = re.findall(pattern, RUNBOOK.read_text(), re.DOTALL)
    assert len(found) == 2
    with connection.cursor() as cursor:
        for statement in found:
            cursor.execute(statement)


def metrics_of_rules() -> set[str]:
    expressions = " ".join(rule["expr"] for rule in rules())
    return set(re.findall(r"\b(?:iotplatform|process)_\w+", expressions))


def test_alerts_ask_for_metrics_that_are_documented() -> None:
    names = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    asked = {name.removesuffix("_bucket") for name in metrics_of_rules()}
    asked -= {"process_start_time_seconds"}
    assert asked <= {f"iotplatform_{name}" for name in names}


class Prometheus:
    """A real one with our configuration, but for addresses, haste and the token's place."""

    def __init__(self, directory: Path, targets: dict[str, str]) -> None:
        self._directory = directory
        self._port = free_port()
        token = directory / "metrics_token"
        token.write_text(f"{TOKEN}\n")
        own = {
            r"/run/secrets/metrics_token": str(token),
            r"_interval: 15s": "_interval: 1s",
            **{
                re.escape(asked): f"static_configs: [{{targets: ['{ours}']}}]"
                for asked, ours in targets.items()
            },
        }
        (directory / "alerts.yml").write_text(ALERTS.read_text())
        self._config = directory / "prometheus.yml"
        self._config.write_text(adapted("deploy/prometheus/prometheus.yml", own))

    def check(self) -> str:
        """What promtool says of the configuration and its rules."""
        command = ["promtool", "check", "config", self._config]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        log = self._directory / "prometheus.log"
        command = [
            *("prometheus", f"--config.file={self._config}"),
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        with (
            log.open("wb") as output,
            subprocess.Popen(command, stdout=output, stderr=output) as process,
        ):
            try:
                wait_for_port(self._port, process, log)
                wait_until(self._is_ready)
                yield
            finally:
                process.kill()

    def _is_ready(self) -> bool:
        with contextlib.suppress(HTTPError):
            return bool(self._get("-/ready"))
        return False

    def labels(self, expression: str) -> list[dict[str, str]]:
        """Those of each series that is there now."""
        answer = json.loads(self._get(f"api/v1/query?{urlencode({'query': expression})}"))
        return [each["metric"] for each in answer["data"]["result"]]

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=10) as answer:
            return bytes(answer.read())


@pytest.fixture(scope="module")
def upkeep(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A platform on which “maintain” has run, for other processes to see."""
    with django_db_blocker.unblock():
        for job in jobs(timezone.now()):
            Upkeep.objects.create(job=job.name, ended_at=timezone.now(), seconds=1, count=0)
        yield
        Upkeep.objects.all().delete()
        Heartbeat.objects.all().delete()


@contextlib.contextmanager
def ingesting(directory: Path, port: str, broker: str) -> Iterator[None]:
    """An ingestor that tells its metrics at `port`, and finds no `broker`."""
    own = {"DATABASE_URL": database_url(), "MQTT__HOST": "127.0.0.1", "MQTT__PORT": broker}
    metrics = {"METRICS_TOKEN": TOKEN, "METRICS_PORT": port}
    log = directory / "ingestor.log"
    process = fork(log, {**os.environ, **own, **metrics}, "manage.py", "run_ingestor")
    try:
        yield
    finally:
        process.terminate()
        process.join()


@pytest.mark.prometheus
@pytest.mark.django_db
def test_prometheus_is_let_in_by_its_token_and_finds_what_alerts_ask_for(
    tmp_path: Path, upkeep: None
) -> None:
    ours, nobodys = str(free_port()), str(free_port())
    with ingesting(tmp_path, ours, nobodys), serving(tmp_path, METRICS_TOKEN=TOKEN) as address:
        web, nobody = address.removeprefix("http://"), f"127.0.0.1:{nobodys}"
        prometheus = Prometheus(tmp_path, {
            by_name("web", 8000): web, by_name("live", 8000): web,
            by_name("ingestor", 9100): f"127.0.0.1:{ours}", by_name("dispatcher", 9100): nobody,
        })  # fmt: skip
        assert f"SUCCESS: {len(rules())} rules found" in prometheus.check()
        with prometheus.running():
            # One scrape is the first request that the next one tells of.
            wait_until(lambda: metrics_of_rules() <= names_in(prometheus))
            assert jobs_that_answer(prometheus) == {"web", "live", "ingestor"}
            # There is no broker, and no dispatcher.
            expected = {"NotConnected", "ProcessDown", "ProcessSilent"}
            wait_until(lambda: pending(prometheus) == expected)


def by_name(service: str, port: int) -> str:
    """How prometheus.yml has that all containers of a service are asked."""
    return f"dns_sd_configs: [{{names: [{service}], type: A, port: {port}}}]"


def jobs_that_answer(prometheus: Prometheus) -> set[str]:
    return {each["job"] for each in prometheus.labels("up == 1")}


def names_in(prometheus: Prometheus) -> set[str]:
    series = prometheus.labels('{__name__=~"(iotplatform|process)_.+"}')
    return {each["__name__"] for each in series}


def pending(prometheus: Prometheus) -> set[str]:
    return {each["alertname"] for each in prometheus.labels("ALERTS")}
