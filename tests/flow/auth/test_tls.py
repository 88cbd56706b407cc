"""TLS: the same server behind a certificate, which can be another after a SIGHUP."""

import contextlib
import signal
import socket
import ssl
import subprocess
import time
import warnings

import pytest

from penstock import run, until
from penstock.wait import PATIENCE_S

AN = "00000000-0000-4000-8000-000000000001"


def event(text="click"):
    return {"userId": AN, "eventType": text}


EC, RSA = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], ["rsa:2048"]


def make_certificate(folder, name, kind=EC):
    """A self-signed certificate for localhost, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "2", "-subj",
                    f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key),
                    "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


def trust(*certificates):
    context = ssl.create_default_context()
    for certificate in certificates:
        context.load_verify_locations(certificate)
    return context


@pytest.fixture
def secured(make_server, tmp_path):
    certificate, key = make_certificate(tmp_path, "first")
    server = make_server(settings={"tls_certificate": str(certificate), "tls_key": str(key)})
    server.tls = trust(certificate)
    return server.start()


def shake_hands(server, **changes):
    """One TLS handshake: (version, ALPN, the certificate's name)."""
    context = changes.pop("context", server.tls)
    for name, value in changes.items():
        setattr(context, name, value)
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
    with contextlib.closing(context.wrap_socket(plain, server_hostname="localhost")) as wrapped:
        subject = dict(pair[0] for pair in wrapped.getpeercert()["subject"])
        return wrapped.version(), wrapped.selected_alpn_protocol(), subject["commonName"]


def test_everything_works_over_tls(secured, encoding):
    """Publishing, large messages, subscribing, pages and the log of what came before, over wss."""
    client, other = secured.connect(encoding), secured.connect(encoding)
    client.subscribe("stream:behavior")
    client.subscribe(f"user:{AN}")
    many = [event(f"{number} " + "x" * 300) for number in range(2000)]
    assert other.publish("behavior", many, ack="committed")["count"] == 2000
    got = client.events(2000, channel="stream:behavior")
    assert [e["data"]["eventType"] for e in got] == [e["eventType"] for e in many]
    assert secured.database.count("BehaviorLog") == 2000
    client.subscribe("stream:behavior", last=10)
    assert secured.http("GET", "/v1/streams")[0] == 200
    for _ in range(200):
        other.publish("behavior", [event()], ack="none")
    secured.database.wait_for_count("BehaviorLog", 2200)


def test_versions_and_protocols(secured):
    """TLS 1.2 and 1.3, nothing older; HTTP/1.1, also when HTTP/2 is offered first."""
    offered = trust(secured.settings["tls_certificate"])
    offered.set_alpn_protocols(["h2", "http/1.1"])
    assert shake_hands(secured, context=offered)[:2] == ("TLSv1.3", "http/1.1")
    old = trust(secured.settings["tls_certificate"])
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake_hands(secured, context=old)[0] == "TLSv1.2"
    only_h2 = trust(secured.settings["tls_certificate"])
    only_h2.set_alpn_protocols(["h2"])
    with contextlib.suppress(ssl.SSLError):  # no protocol in common may be an alert, or ignored
        assert shake_hands(secured, context=only_h2)[1] is None
    older = trust(secured.settings["tls_certificate"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated is why
        older.minimum_version = older.maximum_version = ssl.TLSVersion.TLSv1_1
    older.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake_hands(secured, context=older)


def test_who_speaks_no_tls(secured):
    """Plain HTTP, rubbish, and handshakes that are given up get nothing and leave nothing behind."""
    before = secured.descriptors()
    for data in (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\xff\xff" * 9, b"",
                 b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"):
        for _ in range(5):
            with contextlib.closing(secured.socket()) as plain, contextlib.suppress(OSError):
                plain.sendall(data)
                if data.startswith(b"GET"):
                    assert b"200 OK" not in plain.recv(100)
    until("all descriptors are closed", lambda: secured.descriptors() <= before)
    assert secured.http("GET", "/healthz")[0] == 200


def test_sighup_takes_another_certificate(secured, tmp_path):
    """After SIGHUP new connections see the new certificate, those that are there go on, and files that
    do not belong together change nothing."""
    client = secured.connect()
    certificate, key = (tmp_path / name for name in ("first.pem", "first.key"))
    second, second_key = make_certificate(tmp_path, "second")
    both = trust(certificate, second)
    assert shake_hands(secured, context=both)[2] == "first"
    certificate.write_bytes(second.read_bytes())
    secured.process.send_signal(signal.SIGHUP)
    secured.wait_for_log("is not the key of tls_certificate")
    assert shake_hands(secured, context=both)[2] == "first"
    key.write_bytes(second_key.read_bytes())
    secured.process.send_signal(signal.SIGHUP)
    secured.wait_for_log("new connections get the certificate")
    until("the new certificate", lambda: shake_hands(secured, context=both)[2] == "second")
    client.publish("behavior", [event()], ack="committed")
    secured.tls = both
    secured.connect().publish("behavior", [event()], ack="committed")


def test_a_certificate_of_another_kind_takes_the_place_of_the_first(secured, tmp_path):
    """From ECDSA to RSA and back: OpenSSL has a place for each kind of key, and what is replaced must not
    be offered any more, to nobody. The metric says when the one in force expires."""
    expires = "penstock_tls_certificate_expires_seconds"
    assert secured.metrics()[expires] == pytest.approx(time.time() + 2 * 86400, abs=3600)
    first = [(tmp_path / name).read_bytes() for name in ("first.pem", "first.key")]
    other = [file.read_bytes() for file in make_certificate(tmp_path, "other", RSA)]
    trusted = trust(secured.settings["tls_certificate"], tmp_path / "other.pem")
    for number, (name, files) in enumerate([("other", other), ("first", first)], start=1):
        for path, content in zip(("first.pem", "first.key"), files):
            (tmp_path / path).write_bytes(content)
        secured.process.send_signal(signal.SIGHUP)
        until("SIGHUP was heard", lambda: secured.log().count("new connections get the cert") == number)
        until("the certificate", lambda: shake_hands(secured, context=trusted)[2] == name)
        old = trust(tmp_path / "other.pem")
        old.load_verify_locations(cadata=first[0].decode())
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        for ciphers in ("ECDHE+aRSA", "ECDHE+ECDSA"):  # a client that would rather have the former
            old.set_ciphers(ciphers)
            with contextlib.suppress(ssl.SSLError):
                assert shake_hands(secured, context=old)[2] == name


def test_files_that_cannot_be_used(database, tmp_path):
    """A start with wrong files fails with the file's name and the reason."""
    certificate, key = make_certificate(tmp_path, "one")
    _, other_key = make_certificate(tmp_path, "two")
    locked = tmp_path / "locked.key"
    subprocess.run(["openssl", "ec", "-in", str(key), "-aes128", "-passout", "pass:x", "-out",
                    str(locked)], check=True, capture_output=True)
    cases = [(tmp_path / "nowhere", key, "cannot be opened"), (key, key, "holds no certificate"),
             (certificate, certificate, "holds no private key"),
             (certificate, locked, "without a password"),
             (certificate, other_key, "is not the key of tls_certificate")]
    config = tmp_path / "penstock.conf"
    config.write_text('stream "behavior" { table = "BehaviorLog" }\n')
    assert run("migrate", env={"DATABASE_URL": database.url})[0] == 0
    for one, two, reason in cases:
        code, _, err = run("serve", f"--config={config}", "--listen=127.0.0.1:0",
                           f"--data-dir={tmp_path}/data", f"--tls-certificate={one}",
                           f"--tls-key={two}", env={"DATABASE_URL": database.url})
        assert code == 2 and reason in err, err
