"""The terminal program: builds the parts, runs them on the reactor, draws at most so often."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import urwid
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from etlmon.client.http import NodeClient
from etlmon.client.token import read_token_file
from etlmon.config.ui import NodeAddress, UiConfig
from etlmon.contract.all import ENDPOINTS
from etlmon.ui.palette import PALETTE, colours
from etlmon.ui.screen import Screen
from etlmon.ui.session import Session
from etlmon.ui.terminal import Terminal
from etlmon.ui.views.base import View
from etlmon.ui.views.cron import CronView
from etlmon.ui.views.events import AuditView, ProcessEventsView
from etlmon.ui.views.fs import FilesystemsView
from etlmon.ui.views.generic import GenericTable
from etlmon.ui.views.logs import LogsView
from etlmon.ui.views.nodes import NodesView
from etlmon.ui.views.paths import PathsView
from etlmon.ui.views.processes import ProcessesView
from etlmon.ui.views.xferlog import XferlogView

_OWN_VIEWS: dict[str, Callable[[], View]] = {
    "list_filesystems": FilesystemsView,
    "list_paths": PathsView,
    "list_logs": LogsView,
    "list_processes": ProcessesView,
    "list_process_events": ProcessEventsView,
    "list_audit": AuditView,
    "list_cron_jobs": CronView,
    "list_transfers": XferlogView,
}
_WITHIN_OTHERS = (
    "list_process_watches",
    "list_cron_files",
    "summarize_transfers",
    "list_transfer_logs",
)
"""Lists that stand in the view of another one."""
_TICK_SECONDS = 1.0


class App:
    """The program on a terminal. ``run`` fires when the user has had enough."""

    log = Logger()

    def __init__(self, config: UiConfig, reactor: Any, terminal: Terminal) -> None:
        self._reactor = reactor
        self._sessions = make_sessions(config, reactor)
        self._done: Deferred[None] = Deferred()
        views = make_views(self._sessions)
        self._screen = Screen(
            self._sessions,
            views,
            node=_start_node(config),
            view=_start_view(config, views),
            quit=self.quit,
        )
        self._screen.redraw_all = self._redraw_all
        self._screen.to_draw = self._draw_soon
        self._terminal = terminal
        terminal.lost = self.quit
        self._loop = urwid.MainLoop(
            self._screen,
            PALETTE,
            screen=terminal,
            event_loop=urwid.TwistedEventLoop(reactor, manage_reactor=False),
        )
        terminal.set_terminal_properties(colors=colours(os.environ))  # type: ignore[arg-type]
        self._drawing: Any = None
        self._drawn_at = float("-inf")
        self._tick: Any = None

    async def run(self) -> None:
        """Show the screen until ``quit``; the terminal is as it was before, whatever happens."""
        self._loop.start()
        try:
            self._draw()
            for session in self._sessions:
                session.start()
            self._look_at_clock()
            await self._done
        finally:
            self._loop.stop()
            for call in (self._drawing, self._tick):
                if call is not None and call.active():
                    call.cancel()
            for session in self._sessions:
                await session.stop()

    def quit(self) -> None:
        """End the program."""
        if not self._done.called:
            self._done.callback(None)

    def _draw_soon(self, at_once: bool) -> None:
        """Draw new data, as often as the view says; ``at_once`` what answers a key."""
        now = self._reactor.seconds()
        least = self._screen.view.least_between_draws_seconds
        wait = 0.0 if at_once else max(0.0, self._drawn_at + least - now)
        if self._drawing is None or not self._drawing.active():
            self._drawing = self._reactor.callLater(wait, self._draw)
        elif self._drawing.getTime() > now + wait:
            self._drawing.reset(wait)

    def _draw(self) -> None:
        self._drawn_at = self._reactor.seconds()
        try:
            self._loop.draw_screen()
        except OSError as error:
            self.log.warn("The terminal is gone: {error}", error=str(error))
            self.quit()
        except Exception as error:
            self._screen.trouble(error)

    def _redraw_all(self) -> None:
        self._terminal.clear()
        self._draw()

    def _look_at_clock(self) -> None:
        self._tick = self._reactor.callLater(_TICK_SECONDS, self._look_at_clock)
        self._screen.look_at_clock()


def make_sessions(config: UiConfig, reactor: Any) -> list[Session]:
    """Give a session for each node of the configuration."""
    return [
        Session(
            node.name,
            NodeClient(node.address, reactor, read_token(node)),
            reactor,
            time.time,
            config.ui.refresh_interval,
            random.random,
        )
        for node in config.nodes
    ]


def read_token(node: NodeAddress) -> str | None:
    """Give the bearer token for a node; raises EtlmonError if its file is not in order."""
    if node.auth is None:
        return None
    return read_token_file(node.auth.token_file, f"auth.token_file of node {node.name}")


def make_views(sessions: Sequence[Session]) -> list[View]:
    """Give the views: the nodes, and one for each list of the contract."""
    views: list[View] = [NodesView(sessions)]
    for endpoint in ENDPOINTS:
        is_list = endpoint.method == "GET" and endpoint.item is not None
        if is_list and not endpoint.needs_parameters and endpoint.name not in _WITHIN_OTHERS:
            own = _OWN_VIEWS.get(endpoint.name)
            title = endpoint.path.strip("/").replace("/", " ").title()
            views.append(GenericTable(endpoint, title) if own is None else own())
    return views


def _start_node(config: UiConfig) -> int:
    names = [node.name for node in config.nodes]
    return names.index(config.ui.default_node) if config.ui.default_node else 0


def _start_view(config: UiConfig, views: Sequence[View]) -> int:
    """Begin with the file systems of one node, or with the list of several."""
    several = len(config.nodes) > 1 and config.ui.default_node is None
    return (
        0
        if several
        else next(place for place, view in enumerate(views) if isinstance(view, FilesystemsView))
    )
