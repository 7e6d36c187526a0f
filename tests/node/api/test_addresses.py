"""Where a node listens, and how a program on its machine reaches it: by IPv6 as by IPv4."""

import socket

import httpx2
import pytest

from node.config import ApiSettings
from tests.node.api.fake_backend import FakeBackend
from tests.node.api.live import serving


def own_addresses() -> list[str]:
    """Addresses of this machine to listen on, as operators may write them."""
    found = ["127.0.0.1", "0.0.0.0", "localhost"]
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return found  # a machine without IPv6
    return [*found, "::1", "::", "0:0::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0"]


@pytest.mark.parametrize("host", own_addresses())
async def test_a_node_is_reached_and_known_at_the_url_of_its_settings(host: str) -> None:
    names = ApiSettings(host=host).own_names
    async with serving(FakeBackend(), allowed_hosts=names, host=host) as live:
        url = ApiSettings(host=host, port=live.port).url
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{url}/v1/status", headers={"origin": url})
        assert answer.status_code == 200, url
