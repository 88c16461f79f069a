"""The platform behind its proxy, by HTTPS: what comes through, what does not, and as whose."""

import http.client
import http.cookiejar
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import LoginAttempt
from devices.bulk.files import LARGEST_FILE
from devices.credentials.issuing import issue
from iotplatform.rest.problems import CONTENT_TYPE, problem
from tests import cast as people
from tests.acceptance.ledger import wait_until
from tests.acceptance.web import serving
from tests.deploy.tls import HOST, Certificates, Nginx, opener
from tests.iotplatform.processes import ROOT

# What tests change is done for all of them, in “site”: others see it.
pytestmark = [pytest.mark.nginx, pytest.mark.django_db]

METRICS_TOKEN = "m" * 43
MEBIBYTE = 1024 * 1024
READINGS = 3000


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, cast_of_all: Any
) -> Iterator[SimpleNamespace]:
    """The proxy with a web server behind it, and who there is."""
    directory = tmp_path_factory.mktemp("site")
    cast = cast_of_all
    cast.viewer.set_password(people.PASSWORD)
    cast.viewer.save()
    cast.token = issue([cast.device], None)[0].token
    people.readings(cast.device, READINGS)
    variables = {
        "ALLOWED_HOSTS": HOST,
        "NUM_PROXIES": "1",
        "METRICS_TOKEN": METRICS_TOKEN,
        "DJANGO_SETTINGS_MODULE": "tests.deploy.plain_files",
    }
    with (
        serving(directory, **variables) as web,
        Nginx(directory, certificates, web=int(web.rpartition(":")[2])).running() as proxy,
    ):
        yield SimpleNamespace(web=web, proxy=proxy, cast=cast, trust=certificates.trust)


def ask(
    site: SimpleNamespace, path: str, data: bytes | None = None, *, to: str = "", **headers: str
) -> Any:
    """The answer to a request, through the proxy unless it goes `to` another address."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request((to or site.proxy.address) + path, data, named)
    return opener(site.trust).open(request, timeout=20)


def token_of(person: Any) -> str:
    return f"Bearer {AccessToken.for_user(person)}"


def assert_is_problem(answer: Any, status: int, code: str) -> str:
    """It has the shape of all errors of the API; returns what it says."""
    body = json.load(answer)
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert (answer.status, body) == (status, problem(status, code, body["detail"], []))
    return str(body["detail"])


def test_it_is_reached_by_whoever_trusts_the_authority_and_by_nobody_else(site):
    assert ask(site, "/healthz").status == 200
    with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
        urllib.request.urlopen(f"{site.proxy.address}/healthz")


def test_browsers_get_http_2(site):
    site.trust.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((HOST, site.proxy.https)) as plain,
        site.trust.wrap_socket(plain, server_hostname=HOST) as encrypted,
    ):
        assert (encrypted.version(), encrypted.selected_alpn_protocol()) == ("TLSv1.3", "h2")
    site.trust.set_alpn_protocols(["http/1.1"])


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("port", ["https", "mqtts"])
def test_tls_1_1_is_refused(site, certificates, port):
    old = certificates.trust
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    # Or our side would refuse it.
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection((HOST, getattr(site.proxy, port))) as plain,
        pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"),
    ):
        old.wrap_socket(plain, server_hostname=HOST)


def test_plain_http_leads_to_https_but_takes_nothing(site):
    plain = f"http://{HOST}:{site.proxy.http}"
    answer = ask(site, "/admin/?a=b", to=plain)
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{HOST}/admin/?a=b")
    refused = ask(site, "/telemetry/dev-01", b"{}", to=plain)
    assert "replace the token" in assert_is_problem(refused, 403, "https_only")


def test_plain_http_at_the_port_of_https_leads_to_https(site):
    answer = ask(site, "/admin/", to=f"http://{HOST}:{site.proxy.https}")
    assert (answer.status, answer.headers["Location"]) == (301, f"{site.proxy.address}/admin/")


def test_certbot_can_show_that_the_name_is_ours(site):
    (site.proxy.acme / "a-token").write_text("its answer")
    answer = ask(site, "/.well-known/acme-challenge/a-token", to=f"http://{HOST}:{site.proxy.http}")
    assert (answer.status, answer.read()) == (200, b"its answer")


@pytest.mark.parametrize(("origin", "status"), [("", 302), ("https://evil.example", 403)])
def test_people_log_in_by_our_own_form_and_by_cookies_for_https(site, origin, status):
    jar = http.cookiejar.CookieJar()
    browser = opener(site.trust, urllib.request.HTTPCookieProcessor(jar))
    address = site.proxy.address + reverse("admin:login")
    page = browser.open(address).read().decode()
    token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token
    fields = {"username": site.cast.viewer.email, "password": people.PASSWORD}
    form = urllib.parse.urlencode(fields | {"csrfmiddlewaretoken": token[1]}).encode()
    headers = {"Origin": origin or site.proxy.address}
    assert browser.open(urllib.request.Request(address, form, headers)).status == status
    assert ("sessionid" in {cookie.name for cookie in jar}) == (status == 302)
    assert all(cookie.secure for cookie in jar)


def test_nobody_says_himself_where_he_comes_from(site):
    wrong = json.dumps({"email": "nobody@example.com", "password": "wrong"}).encode()
    claims = {"X_Forwarded_For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    answer = ask(site, "/auth/login", wrong, Content_Type="application/json", **claims)
    assert answer.status == 401
    assert LoginAttempt.objects.latest("at").address == "127.0.0.1"


@pytest.mark.parametrize(
    "path",
    ["/internal/mqtt/auth", "//internal/mqtt/auth", "/%69nternal/mqtt/auth", "/metrics", "/Metrics",
     "/a/../internal/mqtt/auth", "/metrics/", "/metrics?a=b"],
)  # fmt: skip
def test_what_is_for_the_broker_and_prometheus_is_not_there_for_others(site, path):
    answer = ask(site, path, Authorization=f"Bearer {METRICS_TOKEN}")
    assert "no such thing" in assert_is_problem(answer, 404, "not_found")


def test_behind_the_proxy_prometheus_is_answered(site):
    key = f"Bearer {METRICS_TOKEN}"
    assert ask(site, "/metrics", to=site.web, Authorization=key, Host=HOST).status == 200


def test_a_reading_is_seen_live_at_once(site):
    live = ask(site, "/live/telemetry?devices=dev-01", Authorization=token_of(site.cast.viewer))
    assert next(line for line in live if line == b"event: ready\n")
    stored = ask(
        site,
        "/telemetry/dev-01",
        b'{"msg_id": "a", "t": 1}',
        Authorization=f"Bearer {site.cast.token}",
    )
    assert stored.status == 201, stored.read()
    assert next(line for line in live if line == b"event: telemetry\n")
    live.close()


def test_an_export_comes_as_a_whole_without_being_held_back(site):
    path = "/telemetry/dev-01/export?from=2026-01-01T00:00:00Z&to=2026-01-31T00:00:00Z"
    answer = ask(site, path, Authorization=token_of(site.cast.viewer))
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert len(answer.read().splitlines()) == READINGS + 1


def test_what_is_too_large_the_platform_says_itself(site):
    answer = ask(
        site, "/telemetry/dev-01", bytes(MEBIBYTE + 1), Authorization=f"Bearer {site.cast.token}"
    )
    assert "1,048,576 bytes" in assert_is_problem(answer, 413, "too_large")


def test_whoever_still_sends_what_is_refused_hears_why(site):
    half = bytes(8 * MEBIBYTE)
    size = f"Content-Length: {2 * len(half)}"
    head = f"Host: {HOST}\r\nAuthorization: Bearer {site.cast.token}\r\n{size}"
    host, port = site.web.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as web:
        web.sendall(f"POST /telemetry/dev-01 HTTP/1.1\r\n{head}\r\n\r\n".encode() + half)
        assert web.recv(1, socket.MSG_PEEK)
        web.sendall(half)
        assert web.makefile("rb").readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"


@pytest.mark.parametrize(
    ("path", "mebibytes"), [("/import/devices", 33), ("/devices", 2), ("/telemetry/dev-01", 2)]
)
def test_what_is_larger_than_anything_the_platform_takes_ends_at_the_proxy(site, path, mebibytes):
    assert LARGEST_FILE < 33 * MEBIBYTE
    with slowly(site, "127.0.0.1", path, mebibytes * MEBIBYTE + 1) as refused:
        assert b" 413 " in refused.recv(100)


@pytest.mark.parametrize(
    "name", ["import-devices", "import-credentials", "admin:devices_device_import"]
)
def test_files_may_be_larger_than_all_else(site, name):
    answer = ask(site, reverse(name), bytes(2 * MEBIBYTE + 1))
    assert answer.status in {401, 403}


def test_to_read_takes_no_body(site):
    proxy = http.client.HTTPSConnection(HOST, site.proxy.https, context=site.trust)
    with closing(proxy):
        proxy.request("GET", "/devices", iter([bytes(2000)]), encode_chunked=True)
        assert_is_problem(proxy.getresponse(), 413, "too_large")


def test_who_sends_slowly_takes_the_places_of_nobody_else(site):
    """Large bodies wait in memory: so many of one address and in all that they fit."""
    with ExitStack() as sending:
        said: dict[Any, bytes] = {}

        def send(times: int, address: str, path: str, size: int) -> list[Any]:
            slow = (slowly(site, address, path, size) for _ in range(times))
            return [sending.enter_context(each) for each in slow]

        def answered() -> list[Any]:
            said.update({each: said[each] + heard(each) for each in said})
            return [each for each, answer in said.items() if b" 429 " in answer]

        files = send(2, "127.0.1.1", "/import/devices", LARGEST_FILE)
        files += send(2, "127.0.1.2", "/import/devices", LARGEST_FILE)
        bodies = send(8, "127.0.1.1", "/devices", 2 * MEBIBYTE)
        said.update(dict.fromkeys([*files, *bodies], b""))
        refused = [files[1], files[3], bodies[-1]]
        wait_until(lambda: len(answered()) >= len(refused), "the refusals")
        assert answered() == refused
        large = bytes(100_000)
        assert ask(site, "/auth/login", large, Content_Type="application/json").status == 400
        assert ask(site, "/healthz").status == 200


@contextmanager
def slowly(site: SimpleNamespace, address: str, path: str, size: int) -> Iterator[Any]:
    """A connection of `address` that has sent the head of a body of `size` bytes, and no more."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n"
    with (
        socket.create_connection((HOST, site.proxy.https), 20, (address, 0)) as plain,
        site.trust.wrap_socket(plain, server_hostname=HOST) as encrypted,
    ):
        encrypted.sendall(head.encode())
        yield encrypted


def heard(connection: Any) -> bytes:
    """What came by now."""
    connection.setblocking(False)
    try:
        return bytes(connection.recv(100))
    except ssl.SSLWantReadError:
        return b""


def test_a_platform_that_is_away_is_told_of_as_by_the_platform(tmp_path, certificates):
    with Nginx(tmp_path, certificates).running() as proxy:
        answer = ask(SimpleNamespace(proxy=proxy, trust=certificates.trust), "/devices")
        assert answer.headers["Retry-After"] == "5"
        assert "Try again in a moment" in assert_is_problem(answer, 502, "unavailable")


def test_all_that_the_proxy_itself_answers_has_the_shape_of_our_errors():
    config = (ROOT / "deploy/proxy/nginx.conf").read_text()
    answers = re.findall(r"return (\d+) '(.*)';", config)
    assert len(answers) == config.count("application/problem+json")
    for status, text in answers:
        body = json.loads(text)
        assert body == problem(int(status), body["code"], body["detail"], [])


def test_a_certificate_is_followed_again_after_nginx_could_not_take_it(tmp_path):
    fake = tmp_path / "nginx"
    fake.write_text(
        f"#!/bin/sh\ncd {tmp_path}\ncase $* in\n-q*) ;;\n"
        "*reload*) echo reload >> log; test -e mended ;;\n*) exec sleep 20 ;;\nesac\n"
    )
    fake.chmod(0o755)
    for name in ("fullchain.pem", "privkey.pem"):
        (tmp_path / name).touch()
    command = ["sh", str(ROOT / "deploy/proxy/start.sh"), "nginx.conf", str(tmp_path), "0.05"]
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    log = tmp_path / "log"
    with subprocess.Popen(command, env=path, start_new_session=True) as process:
        try:
            # The watcher has seen the first one.
            time.sleep(0.2)
            (tmp_path / "privkey.pem").write_text("new")
            wait_until(lambda: log.exists() and log.read_text().count("reload") > 1, "another try")
            (tmp_path / "mended").touch()
        finally:
            os.killpg(process.pid, signal.SIGTERM)
