"""Promise: a worker answers /healthz and /metrics over HTTP, and says plainly where it cannot."""

import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.health import HOST, HealthServer
from flows.meter import Meter
from flows.settings import SettingsError


@pytest.fixture
def meter() -> Meter:
    meter = Meter("decide", "0-7")
    meter.state("running")
    meter.beat()
    return meter


@pytest.fixture
def server(meter: Meter) -> Iterator[HealthServer]:
    with HealthServer(meter, 0) as server:
        yield server


def get(server: HealthServer, path: str) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection(HOST, server.port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


def test_healthz_is_the_snapshot(server: HealthServer, meter: Meter) -> None:
    meter.read(7, 123)
    response, body = get(server, "/healthz")
    assert (response.status, response.getheader("Content-Type")) == (200, "application/json")
    said, now = json.loads(body), meter.snapshot()
    for text in ("uptime_s", "poll_age_s", "rows_per_s"):  # of a clock that went on
        said.pop(text), now.pop(text)
    assert said == now
    assert said["rows_read"] == 7


def test_healthz_is_503_with_the_reason_until_the_loop_goes_on(
    server: HealthServer, meter: Meter
) -> None:
    meter.failed("the broker is gone")
    response, body = get(server, "/healthz")
    assert response.status == 503
    assert json.loads(body)["trouble"] == "the broker is gone"
    meter.beat()
    assert get(server, "/healthz")[0].status == 200


def test_metrics_are_prometheus_text(server: HealthServer, meter: Meter) -> None:
    meter.read(7, 123)
    response, body = get(server, "/metrics?name[]=ignored")
    assert response.status == 200
    assert str(response.getheader("Content-Type")).startswith("text/plain; version=0.0.4")
    values = {s.name: s.value for f in text_string_to_metric_families(body) for s in f.samples}
    assert values["trifecta_rows_read_total"] == 7


@pytest.mark.parametrize("path", ["/", "/healthzz", "/metrics/x", "/../etc/passwd"])
def test_another_path_is_not_found(server: HealthServer, path: str) -> None:
    response, body = get(server, path)
    assert (response.status, body) == (404, "there are /healthz and /metrics\n")


def test_nothing_is_written_about_requests(
    server: HealthServer, capfd: pytest.CaptureFixture[str]
) -> None:
    get(server, "/healthz")
    get(server, "/nothing")
    with socket.create_connection((HOST, server.port)) as rude:
        rude.sendall(b"nonsense\r\n\r\n")
        rude.recv(1)
    assert capfd.readouterr() == ("", "")


def test_two_workers_have_ports_of_their_own(meter: Meter, server: HealthServer) -> None:
    with HealthServer(meter, 0) as other:
        assert other.port != server.port
        assert get(other, "/healthz")[0].status == 200


def test_a_port_in_use_is_refused_by_name(meter: Meter, server: HealthServer) -> None:
    with pytest.raises(SettingsError, match=rf"{HOST}:{server.port} \(Address already in use\)"):
        HealthServer(meter, server.port)


def test_the_port_is_free_and_the_thread_gone_afterwards(meter: Meter) -> None:
    before = threading.active_count()
    with HealthServer(meter, 0) as server:
        port = server.port
    assert threading.active_count() == before
    with HealthServer(meter, port):
        pass


def test_a_client_that_says_nothing_holds_up_nobody(meter: Meter, server: HealthServer) -> None:
    with socket.create_connection((HOST, server.port)):
        assert get(server, "/healthz")[0].status == 200
