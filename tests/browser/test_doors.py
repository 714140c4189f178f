"""Nobody comes in by another name, and the server asks nobody outside: a real server and raw requests."""

import socket

import pytest

HANDSHAKE = (
    "GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://{origin}\r\n\r\n"
)
OWN = "localhost:{port}"


def answer_to(server, request):
    """The status that the server answers with, in bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=600) as connection:
        connection.sendall(request.encode())
        return connection.recv(4096).split(b"\r\n")[0]


def handshake(server, host, origin):
    own = OWN.format(port=server.port)
    return answer_to(server, HANDSHAKE.format(host=host or own, origin=origin or own))


def test_the_dashboard_itself_comes_in(server):
    assert b" 101 " in handshake(server, "", "")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", "evil.example"),
        ("evil.example:8501", "evil.example:8501"),
        ("evil.example", ""),
        ("", "evil.example"),
    ],
)
def test_no_other_name_does(server, host, origin):
    assert b" 101 " not in handshake(server, host, origin)
    assert b" 101 " in handshake(server, "", "")  # and the server still answers
