"""The package's unit, with the rights that it brings, read as systemd reads them."""

from __future__ import annotations

from pathlib import Path

from etlmon.node.doctor.unit import read_unit, unit_word

DEBIAN = Path(__file__).parents[3] / "debian"


def make(root: Path, path: str, text: str) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def install(root: Path, *rights: str) -> None:
    unit = (DEBIAN / "etlmon.etlmon-node.service").read_text()
    make(root, "lib/systemd/system/etlmon-node.service", unit)
    for right in rights:
        text = (DEBIAN / "rights" / f"{right}.conf").read_text()
        make(root, f"etc/systemd/system/etlmon-node.service.d/{right}.conf", text)


def test_as_it_is_it_has_no_rights_and_few_places_to_write(tmp_path: Path) -> None:
    assert read_unit(tmp_path) is None
    install(tmp_path)
    unit = read_unit(tmp_path)
    assert unit is not None
    assert (unit.user, unit.groups, unit.capabilities) == ("etlmon", (), frozenset())
    assert unit.descriptors == 65_536
    for place in ("/var/lib/etlmon", "/var/log/etlmon", "/run/etlmon", "/var/backups/etlmon/x"):
        assert unit.may_write(Path(place))
    assert not unit.may_write(Path("/var/backups"))


def test_each_drop_in_counts_wherever_it_is(tmp_path: Path) -> None:
    install(tmp_path, "read-logs", "kill", "read-all", "see-open-files")
    made = "[Unit]\nReadWritePaths=/no\n[Service]\n#ReadWritePaths=/no\n"
    odd = unit_word('/50% "c d"')
    made += f"ReadWritePaths={odd}\nLimitNOFILE=1024:infinity\n"
    made += "ReadWritePaths=/a \\\n /b\n"
    make(tmp_path, "run/systemd/system/etlmon-node.service.d/mine.conf", made)
    unit = read_unit(tmp_path)
    assert unit is not None
    assert unit.groups == ("adm", "systemd-journal")
    assert unit.capabilities == {"CAP_KILL", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"}
    for place in ("/a", "/b/c", '/50% "c d"/x'):
        assert unit.may_write(Path(place)), place
    assert not unit.may_write(Path("/no"))
    assert unit.descriptors == -1


def test_an_empty_word_takes_all_back(tmp_path: Path) -> None:
    install(tmp_path, "kill")
    last = "[Service]\nAmbientCapabilities=\nProtectSystem=full\n"
    make(tmp_path, "etc/systemd/system/etlmon-node.service.d/zz.conf", last)
    unit = read_unit(tmp_path)
    assert unit is not None
    assert unit.capabilities == frozenset()
    assert unit.may_write(Path("/srv"))


def test_of_one_name_the_administrator_s_holds(tmp_path: Path) -> None:
    install(tmp_path, "kill")
    make(
        tmp_path,
        "usr/lib/systemd/system/etlmon-node.service.d/kill.conf",
        "[Service]\nUser=x\n",
    )
    unit = read_unit(tmp_path)
    assert unit is not None
    assert (unit.user, unit.capabilities) == ("etlmon", {"CAP_KILL"})
