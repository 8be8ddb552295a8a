"""dns: the records of a name, asked of a name server anew at every check."""

from __future__ import annotations

import time
from collections.abc import Sequence

from dns.message import Message

from netpulse.egress.connect import Egress
from netpulse.egress.trace import Trace
from netpulse.egress.trouble import DialError, shown_endpoint
from netpulse.model.check import Failure, Reading, Timings, round_latency
from netpulse.model.monitor import DnsSpec
from netpulse.probes import messages, usual
from netpulse.probes.asking import MOST_LATE, Sent, Silence, ask, patience
from netpulse.probes.begun import Begun
from netpulse.probes.line import Line
from netpulse.probes.messages import Found, Malformed, Question
from netpulse.rules import records
from netpulse.rules.targets import Endpoint

MOST_ALIASES = 8
"""CNAMEs that are followed by asking again, where a server does not follow them itself."""

_RCODES = {
    "nxdomain": "{name} does not exist (NXDOMAIN, says {server})",
    "servfail": "{server} cannot look {name} up (SERVFAIL)",
    "refused": "{server} refuses to answer for {name} (REFUSED)",
    "notimp": "{server} cannot answer such questions (NOTIMP)",
    "formerr": "{server} does not understand the question for {name} (FORMERR)",
}


async def probe(spec: DnsSpec, deadline: float, egress: Egress) -> Reading:
    """Ask once and measure. `deadline` is a moment of the loop's clock.

    total is the wall time from the first question to the last answer, name servers that did not
    answer included.
    """
    return await _probed(spec, deadline, egress, None)


def begin(spec: DnsSpec, egress: Egress) -> Asked | None:
    """Ask a name server of the monitor's own; None where there is none, or it cannot be asked: the
    probe says so.

    Raises:
        TargetError: there is something wrong with the monitor.
    """
    if spec.nameserver is None:
        return None
    name = records.question(spec.target, spec.record_type)
    server = records.nameserver(spec.nameserver)
    try:
        line = Line(egress, server, ours=False)
    except DialError:
        return None
    asked = Asked(spec, egress, line, messages.question(name, spec.record_type))
    try:
        line.send(asked.question.wire)
    except DialError:
        line.close()
        return None
    return asked


class Asked(Begun):
    """A question that was sent."""

    __slots__ = ("_egress", "_line", "_spec", "began", "clock", "question")

    def __init__(self, spec: DnsSpec, egress: Egress, line: Line, question: Question) -> None:
        """Take what is about to be sent."""
        super().__init__(line.server.host, patience(spec.timeout_seconds))
        self._spec = spec
        self._egress = egress
        self._line = line
        self.descriptor = line.descriptor
        self.question = question
        self.clock = time.monotonic()
        self.began = time.perf_counter()

    @property
    def sent(self) -> Sent:
        """The question as `ask` goes on with it."""
        return Sent(self._line, self.clock + self.patience)

    def heard(self, now: float) -> bool:
        """Look at what came: an answer of the usual shape ends it, and what has another id is not
        for us."""
        line = self._line
        packet = line.heard()
        if packet is None:
            return False
        if isinstance(packet, bytes):
            if not messages.is_for(self.question, packet):
                line.strays += 1
                return False
            found = usual.records(self.question, packet)
            if found is not None:
                line.close()
                self.descriptor = None
                self.said = found
                took = round_latency((now - self.began) * 1000)
                self.timings = Timings(dns_ms=took, total_ms=took)
                return True
        line.keep(packet)
        return True

    def late(self) -> None:
        """Look whether an answer waits to be read, behind what is not for us perhaps."""
        now = time.perf_counter()
        for _ in range(MOST_LATE):
            strays = self._line.strays
            if self.heard(now) or self._line.strays == strays:
                return

    def reading(self, timings: Timings) -> Reading:
        """Return what was read of the answer."""
        return Reading(timings=timings, address=self.address, answers=self.said)

    def close(self) -> None:
        """Hear no answer any more."""
        super().close()
        self.descriptor = None
        self._line.close()

    async def go_on(self, deadline: float) -> Reading:
        """Ask on, and return what came of all of it."""
        if self.timings is not None:
            return self.reading(self.timings)
        return await _probed(self._spec, deadline, self._egress, self)


async def _probed(spec: DnsSpec, deadline: float, egress: Egress, first: Asked | None) -> Reading:
    if first is None:
        began, clock = time.perf_counter(), time.monotonic()
    else:
        began, clock = first.began, first.clock
    trace = Trace(began)
    ours = spec.nameserver is None
    answers: tuple[str, ...] = ()
    failure: tuple[Failure, str | None, str] | None = None
    try:
        if spec.nameserver is None:
            servers: Sequence[Endpoint] = egress.resolver.servers
        else:
            servers = (records.nameserver(spec.nameserver),)
        # Who hears nobody of our own has to find out whether we are heard at all.
        until = deadline - (deadline - clock) * 0.25 if ours else deadline
        answers = await _look_up(spec, servers, egress, trace, until, first)
        trace.resolved((time.perf_counter() - began) * 1000)
    except Silence as silence:
        if spec.nameserver is not None:
            # Whose silence it was: that is evidence about our own network.
            trace.address = records.nameserver(spec.nameserver).host
        failure = await _silent(spec, egress, silence, clock, deadline)
    except DialError as error:
        trace.address = error.address or trace.address
        failure = (error.failure, error.detail, error.message)
        if ours and error.failure in {Failure.REFUSED, Failure.UNREACHABLE}:
            failure = _nobody(egress, spec.target)
    trace.stop()
    word, detail, sentence = failure or (None, None, None)
    return Reading(
        timings=trace.timings(),
        failure=word,
        detail=detail,
        error=sentence,
        address=trace.address,
        answers=answers,
    )


async def _look_up(
    spec: DnsSpec,
    servers: Sequence[Endpoint],
    egress: Egress,
    trace: Trace,
    until: float,
    first: Asked | None,
) -> tuple[str, ...]:
    """Return the records of the name, following its CNAMEs; `first` is asked for already.

    Raises:
        Silence: no server answered.
        DialError: they cannot be reached, or there are no records.
    """
    name = records.question(spec.target, spec.record_type)
    ours = spec.nameserver is None
    for _ in range(MOST_ALIASES):
        asked, sent = messages.question(name, spec.record_type), None
        if first is not None:
            asked, sent, first = first.question, first.sent, None
        answer = await ask(egress, servers, asked, ours=ours, deadline=until, sent=sent)
        trace.address = answer.server.host
        if answer.message is None:
            return answer.records
        found = _found(answer.message, answer.server, asked)
        if found.records:
            return found.records
        end = messages.shown(found.end)
        if found.final:
            raise _no_data(spec, answer.message, answer.server, end, name)
        name, servers = end, (answer.server,)
    raise DialError(
        Failure.DNS,
        "cname_chain",
        f"{spec.target} leads through more than {MOST_ALIASES} CNAMEs",
        address=trace.address,
    )


def _found(message: Message, sender: Endpoint, asked: messages.Question) -> Found:
    server = shown_endpoint(*sender)
    word = messages.rcode(message)
    name = messages.shown(asked.name)
    try:
        found = messages.found(asked, message)
    except Malformed as error:
        raise DialError(
            Failure.DNS,
            "malformed",
            f"the answer of {server} for {name} is of no use: {error}",
            address=sender.host,
        ) from None
    if word == "noerror":
        return found
    sentence = _RCODES.get(word, "{server} answers {word} for {name}")
    # With NXDOMAIN it is the end of the CNAMEs that does not exist (RFC 6604).
    end = messages.shown(found.end)
    if end != name:
        name = f"{end}, where the CNAME of {name} leads,"
    raise DialError(
        Failure.DNS,
        word,
        sentence.format(name=name, server=server, word=word.upper()) + messages.reasons(message),
        address=sender.host,
    )


def _no_data(spec: DnsSpec, message: Message, sender: Endpoint, end: str, name: str) -> DialError:
    server = shown_endpoint(*sender)
    sentence = f"{end} has no {spec.record_type} record, says {server}"
    if end != name:
        sentence = f"{end}, where the CNAME of {name} leads, has no {spec.record_type} record"
    elif messages.refers(message):
        sentence = f"{server} does not know {end} and refers to other name servers"
    return DialError(Failure.DNS, "no_data", sentence, address=sender.host)


async def _silent(
    spec: DnsSpec, egress: Egress, silence: Silence, began: float, deadline: float
) -> tuple[Failure, str, str]:
    strays = ""
    if silence.strays:
        plural = "" if silence.strays == 1 else "s"
        strays = f"; {silence.strays} packet{plural} with a wrong id ignored"
    if spec.nameserver is not None:
        server = shown_endpoint(*records.nameserver(spec.nameserver))
        return (
            Failure.TIMEOUT,
            "dns",
            f"no answer within {spec.timeout_seconds:g} s from {server}{strays}",
        )
    if await egress.resolver.heard(began, deadline):
        return (
            Failure.DNS,
            "timeout",
            f"the name servers of {spec.target} do not answer: our own do, not for it{strays}",
        )
    return _nobody(egress, spec.target)


def _nobody(egress: Egress, target: str) -> tuple[Failure, str, str]:
    servers = ", ".join(shown_endpoint(*server) for server in egress.resolver.servers)
    return (
        Failure.OWN_NETWORK,
        "no_resolver",
        f"no name server answers this host ({servers}), so {target} cannot be looked up",
    )
