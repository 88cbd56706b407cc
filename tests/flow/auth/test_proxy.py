"""Behind a proxy that passes TLS on: whose connection it is says the PROXY protocol, from the proxy only."""

import os
import socket
import struct
import sys

import pytest
from test_tls import make_certificate, trust

from penstock.wait import PATIENCE_S

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "pressure"))

from raw import upgrade_request  # noqa: E402

PROXY, STRANGER = "127.0.0.9", "127.0.0.10"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(client):
    return f"PROXY TCP{6 if ':' in client else 4} {client} {client} 50000 443\r\n".encode()


def v2(client=None):
    """Version 2, with an extension behind the addresses; without a client, the proxy's own (LOCAL)."""
    if client is None:
        return SIGNATURE + b"\x20\x00\0\0"
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    address = socket.inet_pton(family, client)
    body = address * 2 + struct.pack("!HH", 50000, 443) + b"\x04\0\x03abc"
    return SIGNATURE + (b"\x21\x21" if ":" in client else b"\x21\x11") + struct.pack("!H", len(body)) + body


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture
def server(make_server, folder):
    certificate, key = make_certificate(folder, "proxied")
    server = make_server(settings={
        "tls_certificate": str(certificate), "tls_key": str(key), "trusted_proxy": PROXY,
        "proxy_protocol": True, "address_connections": 3, "log_level": "info,session=debug"})
    server.tls = trust(certificate)
    return server.start()


def upgrade(server, header, source=PROXY):
    """A connection, a header in two pieces, a TLS handshake, an upgrade: (the status, the connection)."""
    plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE_S, source_address=(source, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.sendall(header[:9])
    plain.sendall(header[9:])
    secured = server.tls.wrap_socket(plain, server_hostname="localhost")
    secured.sendall(upgrade_request())
    return int(secured.recv(1 << 16).split()[1]), secured


@pytest.mark.parametrize("version", [v1, v2])
@pytest.mark.parametrize("client,shown", [("198.51.100.7", "198.51.100.7"), ("2001:db8::7", "2001:db8::")])
def test_the_address_in_the_header_is_the_clients(server, version, client, shown):
    """In the log, and where connections of one address are counted: not of the proxy."""
    answers = [upgrade(server, version(client)) for _ in range(4)]
    assert [status for status, _ in answers] == [101, 101, 101, 429]
    server.wait_for_log(f"from={shown}")
    answers.append(upgrade(server, version("198.51.100.99")))
    assert answers[-1][0] == 101, "another client"
    assert f"from={PROXY}" not in server.log()
    for _, connection in answers:
        connection.close()


def test_a_proxy_that_asks_for_itself_is_answered(server):
    """Version 2, LOCAL: a health check, which is counted for nobody."""
    answers = [upgrade(server, v2()) for _ in range(5)]
    for status, connection in answers:
        assert status == 101
        connection.close()


def test_what_others_send_is_no_header(server):
    """A stranger's header is taken for a bad handshake; a proxy without one, or with half of one, is closed
    and counted. Everybody else comes as before."""
    with pytest.raises(OSError):
        upgrade(server, v1("198.51.100.7"), source=STRANGER)
    for start in (b"", b"PROXY TCP4 198.51.100.7\r\n"):
        with pytest.raises(OSError):
            upgrade(server, start)
    assert server.metrics()['penstock_limit_hits_total{limit="proxy_protocol"}'] == 2
    assert "198.51.100.7" not in server.log()
    status, connection = upgrade(server, b"", source=STRANGER)
    assert status == 101
    connection.close()
