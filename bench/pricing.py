"""What requests cost: list prices as parameters, durations as measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prices:
    """List prices in US dollars, region us-east-1, x86_64, without the free tier.

    Source: aws.amazon.com/lambda/pricing and aws.amazon.com/api-gateway/pricing.
    """

    date: str = "2025-11"
    request: float = 0.20e-6
    gb_second: float = 16.6667e-6
    rest_api_request: float = 3.50e-6
    http_api_request: float = 1.00e-6


PRICES = Prices()


def billed_seconds(milliseconds: float) -> float:
    """Billed duration: rounded up to a whole millisecond."""
    return -(-milliseconds // 1) / 1000


def per_million(
    memory_mb: int,
    warm_ms: float,
    cold_ms: float,
    cold_share: float,
    prices: Prices = PRICES,
) -> float:
    """Dollars for a million requests at Lambda, without the gateway.

    cold_ms: of a request that starts an environment, init included: since August 2025 it is billed
    for all functions. cold_share: the share of such requests, 0 to 1.
    """
    seconds = (1 - cold_share) * billed_seconds(warm_ms) + cold_share * billed_seconds(cold_ms)
    return 1e6 * (prices.request + seconds * memory_mb / 1024 * prices.gb_second)
