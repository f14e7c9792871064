"""Packaging: what etlmon is made of and what it needs. Tool settings are in pyproject.toml."""

import ast
from pathlib import Path

from setuptools import find_packages, setup


def version() -> str:
    """Read ``__version__`` from the source: importing etlmon would need what is yet to install."""
    tree = ast.parse(Path(__file__).with_name("etlmon").joinpath("__init__.py").read_text("utf-8"))
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name("__version__")], value=ast.Constant(str(text))):
                return text
    raise RuntimeError("etlmon/__init__.py has no __version__")


# The lowest releases that the tests pass with; requirements.lock has the exact ones that we run.
RUN = [
    "twisted[conch,tls]>=24.11",
    "klein>=24.8",
    "treq>=24.9",
    "psutil>=6.0",
    "pyyaml>=6.0.1",
    "urwid>=2.6.15",
    "wcwidth>=0.2.13",
    "msgspec>=0.19",
    "click>=8.1.7",
    "prometheus-client>=0.21",
    "google-re2>=1.1.20240702",
    "backports.zstd>=1.0; python_version < '3.14'",  # then it is in the standard library
    "tzdata>=2024.1",  # the time zones, for a host that has not installed its own
]

TEST = [
    "pytest>=8.3",
    "pytest-twisted>=1.14.3",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "hypothesis>=6.112",
    "schemathesis>=4.0",
    "jsonschema-rs>=0.30",
    "pyte>=0.8.2",
    "croniter>=6.0",
    "cronsim>=2.6",
]

DEV = [
    *TEST,
    "coverage>=7.6",
    "ruff>=0.9",
    "mypy>=1.14",
    "mypy-zope>=1.0.9",
    "types-PyYAML",
    "types-psutil",
    "import-linter>=2.1",
]

setup(
    name="etlmon",
    version=version(),
    description="Watches the hosts that run ETL jobs: disks, paths, logs, processes, cron, FTP.",
    license="MIT",
    python_requires=">=3.11",
    # "." makes the editable install a plain path entry, and only then does twistd see our plugin.
    package_dir={"": "."},
    # find_packages passes over folders without __init__.py, and twisted/ must not have one:
    # it would hide the real Twisted.
    packages=[*find_packages(include=["etlmon*"]), "twisted.plugins"],
    package_data={"etlmon": ["py.typed"], "etlmon.store": ["migrations/*.sql"]},
    zip_safe=False,
    entry_points={"console_scripts": ["etlmon = etlmon.cli.main:main"]},
    install_requires=RUN,
    extras_require={"test": TEST, "dev": DEV},
)
