"""The figures of loadtest/bench: what is measured, of which servers, and what they should come to."""

import contextlib
import dataclasses
import itertools
import statistics
import sys
import time
import typing

from . import dormant, swarm
from .cyan import SEED
from .peer import PROGRAMS, Peer
from .processes import Refused

REST_SECONDS, KEEP_SECONDS = 40, 60
SETTLE_SECONDS = 60  # the client waits that long for the machine to come to rest before exchanges
EXCHANGE_SECONDS = 10  # at least: what is done now and then, like writing to the registry who was heard, is to be in it
KEPT = "kept"  # the seed of those whose sessions are there besides
CYAND, DURABLE, OPENSSL, GNUTLS = "cyand", "with redis", "openssl", "gnutls"
OURS, ALL = (CYAND, DURABLE), (CYAND, DURABLE, OPENSSL, GNUTLS)


@dataclasses.dataclass
class Figure:
    name: str
    title: str
    measure: typing.Callable  # (lab, server's name) -> number or None
    servers: tuple = OURS
    profiles: tuple = ("psk",)  # whose devices must be enrolled, and how many of them
    devices: int = 16
    once: bool = False
    goal: typing.Callable = None  # (medians of all figures) -> (sentence, met) or None; met None: it is only to be known
    kept: int = 0  # PSK devices of a seed of their own, that keep sessions meanwhile
    group: str = None  # figures in a row with the same one are measured of one server after the other


def per_cpu_second(what, clients, *words, profile="psk", patience=60, kept=0):
    """clients 0: as many as --clients says. kept: PSK sessions of others that the server has besides."""

    def measure(lab, server):
        count = clients or lab.options.clients
        seconds = max(lab.options.seconds, EXCHANGE_SECONDS if what == "exchanges" else 0)
        line = lab.bench(server, profile, [what, "--clients", count, "--seconds", seconds, "--patience", patience, *words],
                         seconds + patience + SETTLE_SECONDS + 30, kept)
        done = line and line["handshakes" if what == "handshakes" else "exchanges"]
        if not done or line["errors"] * 50 > done:
            lab.say(f"{what} with {server}: " + (f"{line['errors']} errors, {done} done" if line else "not in time"))
            return None
        return done / line["server_cpu_s"] if line["server_cpu_s"] > 0 else None

    return measure


def resident_per_session(sessions):
    def measure(lab, server):
        with lab.serving(server) as running:
            first = lab.client(running, "psk", ["handshakes", "--clients", 4, "--seconds", 1])
            first.line(60)  # what the first sessions of a process touch is not what a session takes
            first.close()
            before = running.resident_bytes()
            client = lab.client(running, "psk", ["sessions", "--clients", sessions, "--patience", 240])
            try:
                if not client.line(270):
                    return None
                time.sleep(REST_SECONDS)  # what the handshakes took is given back by then, or it is not
                return (running.resident_bytes() - before) / sessions
            finally:
                client.close()

    return measure


def ratio_of(name, other, least=None):
    """Of our own median of a figure to a peer's; least None: there is no goal."""

    def goal(medians):
        ours, theirs = medians.get((name, CYAND)), medians.get((name, other))
        if not ours or not theirs:
            return None
        if least is None:
            return f"{ours / theirs:.2f} x {other}", None
        return f"{least} x {other}: {ours / theirs:.2f}", ours >= least * theirs

    return goal


def share_of(name, other, least):
    """Of our own median to our own of another figure."""

    def goal(medians):
        ours, base = medians.get((name, CYAND)), medians.get((other, CYAND))
        if not ours or not base:
            return None
        return f"{least * 100:.0f} % of {other}: {100 * ours / base:.0f} %", ours >= least * base

    return goal


def at_least(name, least):
    def goal(medians):
        ours = medians.get((name, CYAND))
        return (f"{least:,}", ours >= least) if ours else None

    return goal


def below(name, most):
    def goal(medians):
        ours = medians.get((name, CYAND))
        return (f"below {most}", ours < most) if ours else None

    return goal


def part_of(name, other, parts):
    def goal(medians):
        ours, theirs = medians.get((name, CYAND)), medians.get((name, other))
        if not ours or not theirs:
            return None
        return f"1/{parts} of {other}: 1/{theirs / ours:.0f}", ours * parts <= theirs

    return goal


def all_figures():
    psk, device = ("psk",), ("deviceos",)
    return [
        Figure("psk-handshakes", "PSK handshakes per CPU s, 1,000 sessions", per_cpu_second("handshakes", 0, kept=1000), ALL,
               psk, kept=1000, goal=ratio_of("psk-handshakes", GNUTLS, 1.5)),
        Figure("psk-alone", "the same with no other sessions", per_cpu_second("handshakes", 0), ALL, psk,
               goal=ratio_of("psk-alone", GNUTLS)),
        Figure("mutual-handshakes", "mutual P-256 handshakes per CPU s",
               per_cpu_second("handshakes", 0, "--exchange", "none", profile="deviceos"), OURS, device,
               goal=at_least("mutual-handshakes", 2500)),
        Figure("mutual-hello", "the same with Hello and registry",
               per_cpu_second("handshakes", 0, profile="deviceos"), OURS, device),
        Figure("exchanges-1000", "exchanges per CPU s, 1,000 sessions", per_cpu_second("exchanges", 1000), ALL, psk, 1000,
               group="exchanges", goal=ratio_of("exchanges-1000", GNUTLS, 2.5)),
        Figure("exchanges-10000", "exchanges per CPU s, 10,000 sessions",
               per_cpu_second("exchanges", 10000, patience=180), ALL, psk, 10000,
               group="exchanges", goal=share_of("exchanges-10000", "exchanges-1000", 0.9)),
        Figure("exchanges-100000", "exchanges per CPU s, 100,000 sessions",
               per_cpu_second("exchanges", 100000, patience=240), OURS, psk, 100000,
               group="exchanges", goal=share_of("exchanges-100000", "exchanges-1000", 0.8)),
        Figure("pings-1000", "Device OS pings per CPU s, 1,000 sessions",
               per_cpu_second("exchanges", 1000, profile="deviceos"), OURS, device, 1000),
        Figure("resident-10000", "resident bytes per session at 10,000", resident_per_session(10000), ALL, psk, 10000, True,
               part_of("resident-10000", GNUTLS, 15)),
        Figure("dormant-100000", "resident bytes per dormant session, 100,000", dormant.per_session(100000), OURS, device,
               100000, True, below("dormant-100000", 700)),
        Figure("dormant-1000000", "resident bytes per dormant session, 1,000,000", dormant.per_session(1000000), OURS,
               device, 1000000, True, below("dormant-1000000", 700)),
    ]


def chosen(options):
    """--only names a figure, or the beginning of several."""
    every = all_figures()
    names = {figure.name for figure in every}
    wanted = options.only or [""]
    return [figure for figure in every
            if any(figure.name == word if word in names else figure.name.startswith(word) for word in wanted)
            and (options.million or figure.devices < 1000000)]


def in_order(wanted):
    """Each with each of its servers: what is compared comes close together, since the machine's own speed changes in minutes."""
    for _, group in itertools.groupby(wanted, lambda figure: figure.group or figure.name):
        group = list(group)
        for server in ALL:
            yield from ((figure, server) for figure in group if server in figure.servers)


def programs(wanted):
    peers = {PROGRAMS[server] for figure in wanted for server in figure.servers if server in PROGRAMS}
    return sorted(peers)


class Lab:
    """The servers, the client, and what came out."""

    def __init__(self, room, options):
        self.room, self.cyan, self.say, self.options = room, room.cyan, room.say, options
        self.values = {}  # (figure, server) -> numbers

    def serving(self, server):
        """A context in which this server runs, started anew."""
        return Serving(self, server)

    def client(self, running, profile, words, seed=SEED):
        who = running.client(profile, seed) if running is self.cyan else running.client()
        return swarm.Swarm(self.room.build, self.room.started, self.room.swarm_log, ["bench", *words, *who])

    @contextlib.contextmanager
    def keeping(self, running, sessions):
        """That many PSK sessions, whose clients say nothing."""
        if sessions == 0:
            yield
            return
        client = self.client(running, "psk", ["sessions", "--clients", sessions, "--patience", KEEP_SECONDS], KEPT)
        try:
            if not client.line(KEEP_SECONDS + 30):
                raise Refused(f"{sessions} sessions could not be kept: {client.said()}")
            yield
        finally:
            client.close()

    def bench(self, server, profile, words, seconds, kept=0):
        with self.serving(server) as running, self.keeping(running, kept):
            client = self.client(running, profile, words)
            try:
                return client.line(seconds)
            finally:
                client.close()

    def measure_all(self):
        self.cyan.start_stores()
        for profile in ("psk", "deviceos"):
            needed = [figure.devices for figure in self.options.figures if profile in figure.profiles]
            if needed:
                self.cyan.enrol(profile, max(needed + [self.options.clients]))
        kept = max(figure.kept for figure in self.options.figures)
        if kept:
            self.cyan.enrol("psk", kept, KEPT)
        if not self.cyan.knows("--store-redis"):
            self.say("cyand does not know --store-redis: its figures with Redis are not measured")
        for number in range(self.options.rounds):
            print(f"round {number + 1} of {self.options.rounds}", file=sys.stderr, flush=True)
            for figure, server in in_order(self.options.figures):
                if not figure.once or number == 0:
                    self.measure(figure, server)

    def measure(self, figure, server):
        if server == DURABLE and not self.cyan.knows("--store-redis"):
            return
        value = figure.measure(self, server)
        self.say(f"{figure.name} {server}: " + (f"{value:,.0f}" if value is not None else "-"))
        if value is not None:
            self.values.setdefault((figure.name, server), []).append(value)

    def medians(self):
        return {key: statistics.median(values) for key, values in self.values.items()}

    def goal_of(self, figure):
        return figure.goal(self.medians()) if figure.goal else None

    def print_table(self):
        medians = self.medians()
        print(f"\n{'medians':<46}" + "".join(f"{server:>12}" for server in ALL) + "  goal")
        for figure in self.options.figures:
            texts = [medians.get((figure.name, server)) for server in ALL]
            goal = self.goal_of(figure)
            print(f"{figure.title:<46}" + "".join(f"{value:>12,.0f}" if value is not None else f"{'-':>12}"
                                                  for value in texts)
                  + (f"  {goal[0]} {({True: 'met', False: 'NOT MET', None: ''})[goal[1]]}".rstrip() if goal else ""))

    def as_json(self):
        found = {}
        for figure in self.options.figures:
            goal = self.goal_of(figure)
            found[figure.name] = {
                "title": figure.title,
                "values": {server: self.values[figure.name, server] for server in ALL if (figure.name, server) in self.values},
                **({"goal": goal[0], "met": goal[1]} if goal else {})}
        return found


class Serving:
    def __init__(self, lab, server):
        self.lab, self.server = lab, server

    def __enter__(self):
        lab = self.lab
        if self.server in PROGRAMS:
            self.running = Peer(self.server, lab.room.folder, lab.room.started)
            self.running.start()
            return self.running
        self.running = lab.cyan
        extra = []
        if self.server == DURABLE:
            lab.cyan.start_redis()
            extra = ["--store-redis", lab.cyan.redis_socket]
        lab.cyan.start_fresh(extra)
        return lab.cyan

    def __exit__(self, *_):
        self.running.stop()
