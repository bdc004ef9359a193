"""Choosing ports for the parts of the local stack."""

import socket

from deploy.local import ports


def test_a_chosen_port_can_be_listened_on() -> None:
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, ports.choose()))


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        assert not ports.is_free(server.getsockname()[1])


def test_chosen_ports_lie_below_those_that_clients_are_given() -> None:
    # Linux gives 32768 and up to outgoing connections.
    assert all(ports.choose(companion=10_000) + 10_000 < 32_768 for _ in range(50))


def test_a_taken_port_is_not_chosen_again() -> None:
    taken: set[int] = set()
    for _ in range(50):
        taken.add(ports.choose(taken))
    assert len(taken) == 50
