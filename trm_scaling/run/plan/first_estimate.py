"""What the study's first document estimated, to be shown beside what is estimated here."""

CORE_HOURS = 2460
"""One after another on a v4-64."""

CONTRIBUTION_HOURS = 860

DAYS_IN_SEQUENCE = 139
DAYS_FOUR_AT_ONCE = 35
PRIORITIZED_DAYS_FOUR_AT_ONCE = 15

DISK_BYTES_LEAST = 100 * 10**9
DISK_BYTES = 500 * 10**9
"""Recommended."""

USD_A_MONTH = 50.0
"""Of that disk."""

NETWORK_BYTES = 100 * 10**9
"""Results, at the most."""

USD_A_BYTE_MONTH = USD_A_MONTH / DISK_BYTES
"""Its price of a persistent disk: ten cents a gigabyte and month."""
