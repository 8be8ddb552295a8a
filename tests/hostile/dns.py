"""Name servers that fail, lie, or do not know how to write a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.hostile.dns_answers import (
    GOOD,
    SHOP,
    another_type,
    badvers,
    bare_formerr,
    body,
    chain_backwards,
    changed,
    chaos,
    cname_beside,
    counts,
    not_an_answer,
    nxdomain_with_records,
    other_owner,
    other_records,
    record,
    status,
    stray_then_good,
    twice,
    two_minds,
    two_questions,
    upper,
    wired,
)
from tests.hostile.dns_servers import AnotherAddress, Deaf, Elsewhere, asking, having, nobody, ours
from tests.hostile.rows import Chapter, Row, fixed

Query = dns.message.Message
Script = Callable[[Query, bytes], list[bytes]]
SOON = {"timeout_seconds": 1}


# ---------------------------------------------------------------- others

_NO_LOOK = "is up: it looks at the code of an answer, not for records"
_NO_CHASE = "is up: the code says NOERROR, and it follows no CNAMEs"
_NO_TCP = "is up: the code of the truncated answer is enough for it"
_NO_MATCH = "is up: its library compares the id of an answer, no more"

DIG = {
    "records of another name": "shows them, and leaves the judging to who reads it",
    "drops questions with EDNS": "is down: it asks without EDNS only when told to (`+noedns`)",
    "a good answer that is marked as a question": "is up: it warns at most (RFC 1035, 4.1.1)",
    "more answers promised than there are": "is up: it shows those that it could read, and warns",
    "65,535 answers promised": "is up: it shows those that it could read, and warns",
    "the answer to a status request": "is down: it drops an answer for its opcode, which resolvers"
    " pass over",
    **dict.fromkeys(
        (
            "does not know EDNS",
            "does not know this EDNS: BADVERS",
            "does not know EDNS, and repeats no question",
        ),
        "is down: it says to try `+noedns`; RFC 6891, 7 wants the question asked again without",
    ),
    "one that leads to another question": "shows the CNAME: a stub goes on asking",
}
BLACKBOX = {
    **dict.fromkeys(("no data", "a referral", "records of another name"), _NO_LOOK),
    **dict.fromkeys(("records of another type",), _NO_LOOK),
    "one byte first": "is down: any packet ends its waiting, and one like it is cheap to send",
    **dict.fromkeys(
        (
            "the question, back",
            "a good answer that is marked as a question",
            "another name",
            "another type",
            "another class",
            "two questions",
            "no question",
        ),
        _NO_MATCH,
    ),
    "more answers promised than there are": "is up: its library takes what is there",
    "65,535 answers promised": "is up: its library takes what is there",
    **dict.fromkeys(
        (
            "to a name that does not exist",
            "to a name without such records",
            "to a name that is refused",
            "in a circle",
            "to itself",
            "twelve of them",
        ),
        _NO_CHASE,
    ),
    **dict.fromkeys(
        (
            "refuses TCP",
            "closes",
            "closes in the middle",
            "resets",
            "is truncated there too",
            "is silent there",
            "has another id there",
            "sends nothing, well framed",
        ),
        _NO_TCP,
    ),
}

# ---------------------------------------------------------------- rows


def _row(name: str, found: Any, said: str, detail: str | None = None, **more: Any) -> Row:
    serve = more.pop("serve", None)
    if serve is None:
        wanted = {key: more.pop(key) for key in ("tcp", "kind") if key in more}
        serve = asking(found, more.pop("host", SHOP), **wanted)
    return Row(
        name,
        serve,
        said,
        detail,
        kind="dns",
        dig=DIG.get(name, ""),
        blackbox=BLACKBOX.get(name, ""),
        **more,
    )


def _malformed(name: str, found: Any, words: str = "", **more: Any) -> Row:
    begin = "the answer of {at} is malformed: "
    return _row(name, found, "down dns", "malformed", words=begin + words, **more)


def _zone(name: str, host: str, said: str, detail: str | None = None, **more: Any) -> Row:
    return _row(name, None, said, detail, host=host, **more)


_LATE = "down timeout"
_CUT = "the answer of {at} does not fit into UDP, and over TCP "
_OUR = "inconclusive own_network"


def _expects(name: str, wanted: Any, said: str, kind: str = "A", match: str = "all") -> Row:
    fields = {"record_type": kind, "expected_value": wanted, "match": match}
    return _row(name, None, said, fields=fields)


CHAPTERS = (
    Chapter(
        "Name servers that say no",
        "The answer's code is the detail; no data is never up. The name server is given as"
        " `nameserver`, the name asked for is shop.example.",
        (
            _row("answers", {"A": [GOOD]}, "up"),
            _row(
                "NXDOMAIN",
                "nxdomain",
                "down dns",
                "nxdomain",
                words="shop.example does not exist (NXDOMAIN, says {at})",
            ),
            _row(
                "SERVFAIL, with its reason",
                "servfail",
                "down dns",
                "servfail",
                words="{at} cannot look shop.example up (SERVFAIL) (dnssec bogus: no?sig)",
            ),
            _row(
                "REFUSED",
                "refused",
                "down dns",
                "refused",
                words="{at} refuses to answer for shop.example (REFUSED)",
            ),
            _row(
                "NOTIMP",
                "notimp",
                "down dns",
                "notimp",
                words="{at} cannot answer such questions (NOTIMP)",
            ),
            _row(
                "FORMERR",
                "formerr",
                "down dns",
                "formerr",
                words="{at} does not understand the question for shop.example (FORMERR)",
            ),
            _row(
                "no data",
                None,
                "down dns",
                "no_data",
                fields={"record_type": "SRV"},
                words="shop.example has no SRV record, says {at}",
            ),
            _row(
                "a referral",
                "referral",
                "down dns",
                "no_data",
                words="{at} does not know shop.example and refers to other name servers",
            ),
            _row("records of another name", other_owner, "down dns", "no_data"),
            _row("records of another type", other_records, "down dns", "no_data"),
            _row("NXDOMAIN with an address", nxdomain_with_records, "down dns", "nxdomain"),
            _row(
                "nobody listens",
                None,
                "down refused",
                serve=nobody,
                words="{at} refuses: no name server listens there",
            ),
            _row(
                "cloud metadata as the name server",
                None,
                "down blocked",
                serve=fixed(SHOP),
                fields={"nameserver": "169.254.169.254"},
            ),
        ),
    ),
    Chapter(
        "Packets that are ignored",
        "An answer counts with the question's id and from the server that was asked; the rest is"
        " waited out.",
        (
            _row(
                "silence",
                "silent",
                _LATE,
                "dns",
                fields=SOON,
                words="no answer within 1 s from {at}",
            ),
            _row("an answer after a while", "late", "up"),
            _row(
                "another id",
                "wrong_id",
                _LATE,
                "dns",
                fields=SOON,
                words="no answer within 1 s from {at}; 9 packets with a wrong id ignored",
            ),
            _row("another id, and then the answer", "strays_first", "up"),
            _row("from another port", {"A": [GOOD]}, _LATE, "dns", fields=SOON, kind=Elsewhere),
            _row(
                "from another address",
                {"A": [GOOD]},
                _LATE,
                "dns",
                fields=SOON,
                kind=AnotherAddress,
            ),
            _row("an empty packet first", stray_then_good(lambda _: b""), "up"),
            _row("one byte first", stray_then_good(lambda good: good[:1]), "up"),
            _row("the answer twice", twice, "up"),
            _row("the answer, and NXDOMAIN after it", two_minds, "up"),
            _row("drops questions with EDNS", "drop_edns", "up", fields={"timeout_seconds": 2}),
        ),
    ),
    Chapter(
        "Malformed answers",
        "What has the question's id but cannot be read, or answers something else, is down at once.",
        (
            _malformed("no message", "malformed"),
            _malformed("three bytes", "short"),
            _malformed("the question, back", "echo", "it is not an answer but a question"),
            _malformed(
                "a good answer that is marked as a question",
                changed(not_an_answer),
                "it is not an answer but a question",
            ),
            _malformed("another name", "other_question", "it answers another question"),
            _malformed("another type", changed(another_type), "it answers another question"),
            _malformed("another class", changed(chaos), "it answers another question"),
            _malformed("two questions", changed(two_questions), "it answers another question"),
            _malformed("no question", "bare", "it does not repeat the question"),
            _malformed("half of it", wired(lambda wire, _: wire[: len(wire) // 2])),
            _malformed(
                "more answers promised than there are", wired(lambda wire, _: counts(wire, 9))
            ),
            _malformed("65,535 answers promised", wired(lambda wire, _: counts(wire, 65_535))),
            _malformed("an address of three bytes", "broken_record"),
            _malformed("an address of sixteen bytes", body(record(data=bytes(16)))),
            _malformed(
                "a record that is longer than the message",
                body(record()[:-4]),
            ),
            _malformed("a name that points to itself", body(record(owner=b"\xc0\x1e"))),
            _malformed("two names that point to each other", body(record(b"\xc0\x20\xc0\x1e"))),
            _malformed("a name that points ahead", body(record(owner=b"\xc0\xff"))),
            _malformed("a label of a kind that nobody knows", body(record(owner=b"\x80\x0c"))),
            _malformed(
                "a name of 300 bytes",
                body(record(owner=(b"\x3f" + b"a" * 63) * 5 + b"\0")),
            ),
            _malformed("a CNAME that points to itself", body(record(kind=5, data=b"\xc0\x2a"))),
            _row("bytes behind the message", wired(lambda wire, _: wire + b"more"), "up"),
            _row("the answer to a status request", changed(status), "up"),
            _row("names in capitals", upper, "up"),
            _row("does not know EDNS", "no_edns", "up"),
            _row("does not know this EDNS: BADVERS", badvers, "up"),
            _row("does not know EDNS, and repeats no question", bare_formerr, "up"),
        ),
    ),
    Chapter(
        "CNAMEs",
        "Followed to their end, at most 8 of them; what counts is what is there.",
        (
            _zone("two of them", "www.example", "up"),
            _row("two of them, the last one first", chain_backwards, "up"),
            _zone("one that leads to another question", "away.example", "up"),
            _row("beside an address", cname_beside, "up"),
            _zone(
                "to a name that does not exist",
                "lost.example",
                "down dns",
                "nxdomain",
                words="gone.example does not exist (NXDOMAIN, says {at})",
            ),
            _zone(
                "to a name without such records",
                "www.example",
                "down dns",
                "no_data",
                fields={"record_type": "MX"},
                words="edge.example, where the CNAME of www.example leads, has no MX record",
            ),
            _zone("to a name that is refused", "to-refused.example", "down dns", "refused"),
            _zone(
                "in a circle",
                "round.example",
                "down dns",
                "malformed",
                words="the answer of {at} for round.example is of no use: its CNAMEs lead in a circle,"
                " back to round.example",
            ),
            _zone("to itself", "itself.example", "down dns", "malformed"),
            _zone(
                "twelve of them",
                "c0.example",
                "down dns",
                "cname_chain",
                words="c0.example leads through more than 8 CNAMEs",
            ),
        ),
    ),
    Chapter(
        "Too long for UDP",
        "Asked again over TCP (RFC 7766), once.",
        (
            _row("truncated", "truncated", "up"),
            _row("3,000 addresses", "huge", "up"),
            _row("comes byte by byte", "truncated", "up", tcp="drips"),
            *(
                _row(name, "truncated", said, detail, tcp=tcp, fields=SOON, words=words)
                for name, tcp, said, detail, words in (
                    (
                        "refuses TCP",
                        "refused",
                        "down dns",
                        "truncated",
                        _CUT + "it gives none: connection refused by {at}",
                    ),
                    (
                        "closes",
                        "closes",
                        "down dns",
                        "truncated",
                        _CUT + "it broke off: the connection was closed",
                    ),
                    (
                        "closes in the middle",
                        "half",
                        "down dns",
                        "truncated",
                        _CUT + "it broke off: the connection was closed",
                    ),
                    ("resets", "resets", "down dns", "truncated", _CUT + "it broke off: "),
                    (
                        "is truncated there too",
                        "truncated",
                        "down dns",
                        "truncated",
                        _CUT + "it is cut short as well",
                    ),
                    (
                        "is silent there",
                        "silent",
                        _LATE,
                        "dns",
                        _CUT + "it did not end in time",
                    ),
                    ("has another id there", "wrong_id", "down dns", "malformed", "another id"),
                    ("sends nothing, well framed", "empty", "down dns", "malformed", "another id"),
                )
            ),
        ),
    ),
    Chapter(
        "Expected values",
        "Case, trailing dots and order are ignored; addresses compare as addresses.",
        (
            _expects("one of two", "192.0.2.1", "down mismatch"),
            _expects("one of two, any will do", "192.0.2.1", "up", match="any"),
            _expects("both, in another order", ("192.0.2.1", "192.0.2.2"), "up"),
            _expects("one too many", (GOOD, "192.0.2.2", "192.0.2.3"), "down mismatch"),
            _expects("none of them, any will do", ("192.0.2.8",), "down mismatch", match="any"),
            _expects("an IPv6 address spelled otherwise", "2001:db8:0:0::1", "up", "AAAA"),
            _expects(
                "hosts in another case, one with its preference",
                ("mail.EXAMPLE.", "20 backup.example"),
                "up",
                "MX",
            ),
            _expects("a text in several strings", ("two parts", "v=spf1 -all"), "up", "TXT"),
            _expects("a text in another case", ("Two parts", "v=spf1 -all"), "up", "TXT"),
            _zone(
                "a null MX",
                "null.example",
                "up",
                fields={"record_type": "MX", "expected_value": "0 ."},
            ),
            _zone("a name in capitals", "SHOP.EXAMPLE.", "up"),
        ),
    ),
    Chapter(
        "Our own name servers",
        "Without `nameserver` those of this host are asked, one after the other. That none of them"
        " answers is our own trouble.",
        (
            _row(
                "the first one is silent",
                None,
                "up",
                serve=ours(having("silent"), having({"A": [GOOD]})),
                fields={"timeout_seconds": 3},
            ),
            _row(
                "the first one cannot look it up",
                None,
                "up",
                serve=ours(having("servfail"), having({"A": [GOOD]})),
            ),
            _row("the first one is not there", None, "up", serve=ours(None, having({"A": [GOOD]}))),
            _row(
                "none can look it up",
                None,
                "down dns",
                "servfail",
                serve=ours(having("servfail"), having("servfail")),
            ),
            _row(
                "the name does not exist",
                None,
                "down dns",
                "nxdomain",
                serve=ours(having("nxdomain"), having({"A": [GOOD]})),
            ),
            _row(
                "none is there",
                None,
                _OUR,
                "no_resolver",
                serve=ours(None, None),
                fields={"timeout_seconds": 2},
                words="so shop.example cannot be looked up",
            ),
            _row(
                "none answers anything",
                None,
                _OUR,
                "no_resolver",
                serve=ours(lambda: Deaf({})),
                fields={"timeout_seconds": 2},
            ),
            _row(
                "silent for this name only",
                None,
                "down dns",
                "timeout",
                serve=ours(having("silent")),
                fields={"timeout_seconds": 2},
                words="the name servers of shop.example do not answer: our own do, not for it",
            ),
        ),
    ),
)
