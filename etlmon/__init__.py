"""etlmon: a monitor for the hosts that run ETL jobs."""

__version__ = "0.1.0"
