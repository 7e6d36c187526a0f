"""By what means a link is made lossy: decided from findings alone, and told in the figures."""

from dataclasses import replace

import pytest

from bench.cluster.links import Findings, Links, Means, choose
from bench.cluster.scenarios import BY_NAME
from bench.cluster.screen import show_one
from bench.cluster.wiring import told
from bench.packetloss import Lost
from tests.bench.cluster.made_up import outcome_of, trial_at

ABLE = Findings("Linux", is_root=True, missing=())
LOSSY = BY_NAME["lossy-link"]


def test_real_packets_are_lost_where_they_can_be() -> None:
    assert choose(ABLE).means is Means.NAMESPACES


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (replace(ABLE, system="Darwin"), "network namespaces are Linux's, this is Darwin"),
        (replace(ABLE, is_root=False, missing=("nft",)), "network namespaces need root"),
        (replace(ABLE, missing=("ip", "nft")), "not installed: ip, nft"),
        (replace(ABLE, refusal="nft: no such thing"), "nft: no such thing"),
    ],
)
def test_else_it_is_the_proxy_and_the_first_obstacle_is_the_reason(found: Findings, why: str) -> None:
    assert choose(found) == Links(Means.PROXIES, why)


def test_figures_say_by_what_means_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    real = outcome_of(told(LOSSY, choose(ABLE)), replace(trial_at(400), lost=Lost(7, 140)))
    figures = real.to_json()
    assert figures["scenario"] == "lossy-link namespaces", "stalls and losses are never compared"
    assert (figures["proxied"], figures["namespaced"]) == (False, True)
    assert figures["fault"]["means"] == "namespaces"
    assert figures["fault"]["means_why"]
    assert figures["fault"]["packets"] == {"lost": 7, "sent": 140}
    assert "loses one packet in twenty" in figures["fault"]["words"]
    show_one(real)
    shown = capsys.readouterr().out
    assert "through namespaces" in shown
    assert "7 of 140" in shown


def test_figures_of_the_proxy_are_as_they_were() -> None:
    stalled = outcome_of(told(LOSSY, Links(Means.PROXIES, "network namespaces need root")), trial_at(400))
    figures = stalled.to_json()
    assert figures["scenario"] == "lossy-link"
    assert (figures["proxied"], figures["namespaced"]) == (True, False)
    assert (figures["fault"]["means"], figures["fault"]["packets"]) == ("proxies", None)
    assert figures["fault"]["means_why"] == "network namespaces need root"


def test_a_fault_in_no_link_has_no_means() -> None:
    figures = outcome_of(BY_NAME["leader-killed"], trial_at(800)).to_json()
    assert (figures["proxied"], figures["namespaced"], figures["fault"]["means"]) == (False, False, None)
