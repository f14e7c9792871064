"""Which nodes the screen shows, and what is said when that cannot be known."""

from __future__ import annotations

from pathlib import Path

import pytest

from etlmon.config.ui import NodeAddress, NodeAuth, UiConfig
from etlmon.errors import ConfigError, EtlmonError
from etlmon.ui.app import make_views, read_token
from etlmon.ui.start import choose_nodes, log_path
from etlmon.ui.views.fs import FilesystemsView
from etlmon.ui.views.nodes import NodesView
from etlmon.ui.views.paths import PathsView

FILE = "nodes: [{name: a, address: 'http://a:1'}]"


def addresses(config: UiConfig) -> list[tuple[str, str]]:
    return [(node.name, node.address) for node in config.nodes]


class TestChooseNodes:
    def test_nothing_said_is_the_node_of_this_host(self, tmp_path: Path) -> None:
        none = tmp_path / "none.yaml"
        config = choose_nodes([], None, {"XDG_CONFIG_HOME": str(tmp_path)}, none)
        assert addresses(config) == [("localhost", "http://localhost:8080")]

    def test_the_file_of_the_user_counts_if_it_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "etlmon").mkdir()
        (tmp_path / "etlmon" / "ui.yaml").write_text(FILE)
        config = choose_nodes([], None, {"XDG_CONFIG_HOME": str(tmp_path)})
        assert addresses(config) == [("a", "http://a:1")]

    def test_the_file_of_the_host_counts_where_the_user_has_none(self, tmp_path: Path) -> None:
        hosts = tmp_path / "ui.yaml"
        hosts.write_text(FILE.replace("a:1", "c:3"))
        home = {"XDG_CONFIG_HOME": str(tmp_path)}
        assert addresses(choose_nodes([], None, home, hosts)) == [("a", "http://c:3")]
        (tmp_path / "etlmon").mkdir()
        (tmp_path / "etlmon" / "ui.yaml").write_text(FILE)
        assert addresses(choose_nodes([], None, home, hosts)) == [("a", "http://a:1")]

    def test_a_file_that_is_named_comes_before_it(self, tmp_path: Path) -> None:
        named = tmp_path / "other.yaml"
        named.write_text(FILE.replace("a:1", "b:2"))
        assert addresses(choose_nodes([], str(named), {})) == [("a", "http://b:2")]

    def test_a_file_that_is_named_and_missing_is_a_mistake(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no such file"):
            choose_nodes([], str(tmp_path / "none.yaml"), {})

    def test_addresses_come_before_all_files(self) -> None:
        config = choose_nodes(["http://b:2", "c:3", "unix:/run/d", "c:3"], "/none.yaml", {})
        assert addresses(config) == [
            ("b:2", "http://b:2"),
            ("c:3", "http://c:3"),
            ("unix:/run/d", "unix:/run/d"),
        ]

    def test_what_is_no_address_is_named(self) -> None:
        with pytest.raises(EtlmonError, match="nowhere is not the address of a node; write http"):
            choose_nodes(["nowhere"], None, {})


class TestReadToken:
    def node(self, path: Path) -> NodeAddress:
        if path.exists():
            path.chmod(0o600)
        return NodeAddress(name="a", address="http://a:1", auth=NodeAuth(token_file=str(path)))

    def test_it_is_the_word_in_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("secret-word\n")
        assert read_token(self.node(tmp_path / "token")) == "secret-word"

    def test_without_auth_there_is_none(self) -> None:
        assert read_token(NodeAddress(name="a", address="http://a:1")) is None

    @pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a\nb", b"a\x1bb", b"\xff"])
    def test_what_is_no_word_is_refused_and_not_shown(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "token").write_bytes(content)
        with pytest.raises(EtlmonError, match="token") as caught:
            read_token(self.node(tmp_path / "token"))
        assert "words" not in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(EtlmonError, match=r"cannot read auth\.token_file of node a: .*none"):
            read_token(self.node(tmp_path / "none"))


def test_the_log_is_in_the_state_directory() -> None:
    assert log_path({"XDG_STATE_HOME": "/state"}) == Path("/state/etlmon/ui.log")
    assert log_path({"XDG_STATE_HOME": "state"}) == Path.home() / ".local/state/etlmon/ui.log"


def test_each_list_of_the_contract_has_a_view() -> None:
    kinds = [type(view) for view in make_views([])]
    assert kinds[:3] == [NodesView, FilesystemsView, PathsView]
