"""What crosses between clusters fits its floors; times are told, never asserted."""

import pytest

from bench.lanes.proofs import SIZES, measure


@pytest.mark.parametrize("nodes", SIZES)
def test_headers_with_certificates_and_bundles_are_small_enough(nodes: int) -> None:
    found = measure(nodes)
    reached = found.reached()
    assert reached["certified_bytes"]
    assert reached["bundle_bytes"]
    assert found.verify_ms > 0
    assert found.log_levels == 7
    assert found.bundle_bytes < found.long_log_bundle_bytes
