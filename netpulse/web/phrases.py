"""What the API says of a request (in English, whoever asks), as pages repeat it to a reader.

A page shows the API's own refusal at its form, so that both obey one law. Here its sentences are
marked; one that is not known stays English. What stands at the place `rest` is looked up as well.
"""

from __future__ import annotations

import re
from functools import cache

from netpulse.web.errors import ApiError
from netpulse.web.figures import duration
from netpulse.web.languages import SOURCE, code, mark, say

PHRASES = (
    mark("The email address or the password is wrong"),
    mark("This code is wrong, or was used before; wait for the next one"),
    mark("Too many failed sign-ins from your address; wait %(rest)s"),
    mark(
        "Too many failed sign-ins for this account from all over; wait %(rest)s, or sign in from"
        " where you did before"
    ),
    mark("Too many wrong passwords for your account; wait %(rest)s"),
    mark("Too many wrong codes for your account; wait %(rest)s, or use a recovery code"),
    mark("Too many wrong codes for your account; wait %(rest)s"),
    mark("as long as Retry-After says"),
    mark("Too many requests; wait %(rest)s"),
    mark("Too many requests from your address; wait %(rest)s"),
    mark("Too many requests from your address without a sign-in that stands; wait %(rest)s"),
    mark("Too many checks by hand in one minute for this organization; wait %(rest)s"),
    mark("Too many tests of channels in one minute for this organization; wait %(rest)s"),
    mark("Too many exports in one minute for this organization; wait %(rest)s"),
    mark("not checked: too many checks by hand in one minute"),
    mark("Too many attempts; wait %(rest)s"),
    mark("Too many unknown links; wait %(rest)s"),
    mark("The request cannot be understood"),
    mark("NetPulse cannot do this right now; try again in a moment"),
    mark("NetPulse cannot read or write its data right now; its log says why"),
    mark(
        "NetPulse runs without its encryption key, so that no secret can be read or stored: it must"
        " be started with the right one first"
    ),
    mark(
        "NetPulse runs without its encryption key and cannot check your code: it must be started"
        " with the right key first"
    ),
    mark("NetPulse made a mistake and wrote it to its log; the X-Request-Id header finds it there"),
    mark("There is nothing at this address; /v1/openapi.json lists what there is"),
    mark("There is no status page at this address"),
    mark("This request came from a page of another site; open NetPulse itself and try again"),
    mark("Your role here is viewer; this needs admin. Ask an administrator of the organization"),
    mark(
        "Your role here is viewer; this needs super_admin. Ask an administrator of the organization"
    ),
    mark(
        "Your role here is admin; this needs super_admin. Ask an administrator of the organization"
    ),
    mark(
        "Your role here is %(role)s; this needs %(needed)s. Ask an administrator of the"
        " organization"
    ),
    mark(
        "This page is of %(page)s, and this browser is in %(here)s by now: nothing was done."
        " Switch back first, and send it again"
    ),
    mark("There is no %(noun)s with this id"),
    mark("This was changed since you read it; read it again and repeat your change"),
    mark("This organization may have no %(things)s; ask %(whom)s for some"),
    mark("There is a user with this email address already"),
    mark("You are a member of this organization already"),
    mark(
        "This invitation is not complete, was used or withdrawn, or has expired: it lasts 7"
        " days. Ask who invited you for another"
    ),
    mark(
        "This link is not complete, was used, or has expired: it lasts 30 minutes, works"
        " once, and only the newest one works. Ask for another"
    ),
    mark("The channel of this notice was deleted"),
    mark("The channel %(name)s is switched off: switch it on first"),
    mark("This notice waits to be sent anyway"),
    mark("A monitor of this incident is down: wait until it recovers, or pause it"),
    mark("This incident is over; the next outage of the monitor opens its own"),
    mark(
        "Another change of many monitors is under way in this organization; wait until it is done"
    ),
    mark("A push monitor is not checked: it waits for pings. Call its ping URL instead"),
    mark("No window of this maintenance lasts now; nothing to end"),
    mark(
        "Nobody changes their own role, disables or removes themselves; ask another"
        " administrator of the organization"
    ),
    mark("Only a super administrator may change or remove a super administrator"),
    mark("Another status page has the domain %(name)s already"),
    mark("Another status page is at %(path)s already"),
    mark("This status page has no domain of its own; set one first"),
    mark("The slug %(slug)s is taken; choose another one"),
    mark("Your second factor is on already; turn it off before you set another up"),
    mark("This page cannot be subscribed to in this way"),
    mark("This page takes no more subscribers"),
    mark("the password needs at least %(n)s characters"),
    mark("the password is longer than %(n)s bytes"),
    mark("the password must not be the email address"),
    mark("this password is among the most common ones; choose another"),
    mark("this is no email address"),
    mark("this field is required"),
    mark("there is no such field here"),
    mark("must not be empty"),
    mark("must be at least %(n)s"),
    mark("must be at most %(n)s"),
    mark("must have at least %(n)s characters"),
    mark("must have at most %(n)s characters"),
    mark("must have at least %(n)s entries"),
    mark("must have at most %(n)s entries"),
    mark("must be a whole number, not text"),
    mark("must be a number, not text"),
    mark("must be a whole number, not null"),
    mark("must be text, not null"),
    mark("must be a whole number"),
    mark("must be a number"),
    mark("must have the form %(form)s"),
    mark("%(value)s is none of %(known)s"),
    mark("%(value)s is not known here"),
    mark("is too large a number"),
    mark("is empty"),
    mark("is too long"),
    mark("has no value"),
    mark("has a line break or another control character"),
    mark("the name is empty"),
    mark("the tag is empty"),
    mark("a tag is empty"),
    mark("the message is empty"),
    mark("%(timeout)s is above interval_seconds (%(interval)s)"),
    mark("an https monitor needs an https:// target"),
    mark("is not a host, such as shop.example or shop.example:8080"),
    mark("RE2 does not take it: %(trouble)s"),
    mark("the answer to HEAD has no body; use GET"),
    mark("is compared with json_path, which is not set"),
    mark("is not a header name: letters, digits and - only (RFC 9110)"),
    mark("is there twice"),
    mark("the token is missing"),
    mark("there is no monitor with this id"),
    mark("there is no alert channel with this id"),
    mark("there is no status page with this id"),
    mark("must be in the future"),
    mark("must be later than starts_at"),
    mark("to must be later than from"),
    mark("must not be more than ten years away"),
    mark("a maintenance lasts a minute at least and 30 days at most"),
    mark("it is over already: what has passed stays as it was"),
    mark("it names no time that is still to come"),
    mark("a window would last longer than until the next one"),
    mark("a crontab has five fields: minute, hour, day, month, weekday"),
    mark("%(name)s is no time zone; write an IANA name such as Europe/Berlin"),
    mark("is no time of day: write HH:MM, from 00:00 to 23:59"),
    mark("unknown word %(word)s; did you mean %(known)s?"),
    mark("unknown word %(word)s"),
    mark("the condition ends here; expected a word such as down"),
    mark("must be 2 to 64 characters, each a lower-case letter, a digit or -"),
    mark("is a name alone, such as status.example.com: no https://, port or path"),
    mark("must be a domain of your own, such as status.example.com"),
    mark("a colour is written #rrggbb, such as #1660b8"),
    mark("a page shows at most %(n)s monitors"),
    mark("keep or remove those there are (%(n)s): they were not asked for this password"),
    mark("this is another server: enter the secret again"),
    mark("%(text)s is no address or network such as 192.0.2.7 or 192.0.2.0/24"),
    mark("%(address)s is %(what)s: this organization may only reach public addresses"),
    mark("name at least one thing to watch, one on each line"),
    mark("use letters a to z, digits and - only"),
    mark("it has a space or control character at column %(n)s"),
    mark("a URL starts with http:// or https://, such as https://shop.example/"),
    mark("the scheme is %(scheme)s; use http or https"),
    mark("port 0 cannot be connected to; use 1 to 65535"),
    mark("%(text)s is not an IPv6 address"),
    mark("%(text)s is not an IPv6 address, such as %(example)s"),
    mark("%(text)s is not an IPv4 address, such as %(example)s"),
    mark("%(text)s is not an address: write four decimal numbers, such as 192.0.2.7"),
    mark("%(text)s is not a host name"),
    mark("%(text)s is not a name that can be looked up"),
    mark("%(text)s is not a port: use 1 to 65535"),
    mark("%(text)s is a name; write the name server's address, such as 192.0.2.53"),
    mark("the host has the sign %(sign)s; write plain digits, dots and colons"),
    mark("a tcp target is host:port, such as db.example:5432, without a scheme"),
    mark("a tcp target has no user name: write host:port"),
    mark("an IPv6 target is written [2001:db8::1]:port"),
    mark("the target has no port: write host:port, or set port"),
    mark("the target says port %(one)s and port says %(other)s: give one"),
    mark("an ssl target is a host, such as shop.example, without a scheme"),
    mark("an ssl target has no user name: write the host alone"),
    mark("a ping goes to a host or an address, such as shop.example, and no more"),
    mark("a ping has no port: write the host alone, or use a tcp monitor"),
    mark("the same as line %(n)s"),
    mark("these are %(n)s monitors, and there is room for %(room)s more"),
    mark("%(n)s lines are more than the %(most)s that go at once; paste them in parts"),
    mark('%(value)s is neither a status such as 200 nor a range such as "200-299"'),
    mark("%(value)s is empty: write the smaller number first"),
    mark("the target has a user name, and auth is set too: give one"),
    mark("a user name has no colon (RFC 7617)"),
    mark("the target is an IPv%(n)s address"),
    mark("is set by NetPulse itself"),
    mark("an Authorization header is set too: give one"),
    mark("a token has neither spaces nor signs outside ASCII"),
    mark("is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)"),
    mark("the client certificate needs its key"),
    mark("the client key needs its certificate"),
    mark("a JSONPath starts with $, such as $.status"),
    mark("a signing secret is whsec_ followed by Base64 of at least 16 bytes"),
    mark("%(text)s is no mail address: %(rest)s"),
    mark("it looks like ops@example.com, without a name"),
    mark("%(text)s has a space, two dots or a strange sign"),
    mark("%(text)s is no telephone number: write + and the country's code, such as +4915112345678"),
    mark("is no bot token: it is a number, a colon and letters, as @BotFather gave it"),
    mark("is no chat: give its number, such as -1001234567890, or @ and a channel's name"),
    mark("is no account SID: that is AC and 32 hexadecimal digits"),
    mark(
        "is no integration key: that is 32 letters and digits, from the service's integration"
        " “Events API v2”"
    ),
    mark("is no topic: at most 64 letters, digits, - and _"),
    mark("has a space or a sign that no token has"),
    mark("is no user or group key: that is 30 letters and digits"),
    mark("is no application token: that is 30 letters and digits"),
    mark("%(word)s cannot be used in a condition yet: nothing measures it here"),
    mark("column %(n)s: %(rest)s"),
    mark("expected a word such as down, not %(found)s"),
    mark("expected a number, not %(found)s"),
    mark("expected a duration such as 5m, not %(found)s"),
    mark("expected ), not %(found)s"),
    mark("%(word)s is compared: expected >, >=, <, <=, = or !="),
    mark("for belongs behind a comparison"),
    mark("on its way"),
    mark("could not be sent: %(error)s"),
    mark("not sent yet: %(why)s; it is tried again"),
    mark("is larger than %(n)s KiB"),
    mark("is neither PNG, JPEG, GIF nor WebP"),
    mark("is wider or higher than %(n)s pixels, or empty"),
    mark("has more than %(n)s million pixels"),
    mark("is cut short"),
    mark("is a kind of JPEG that browsers do not draw"),
    mark("is damaged: there is no picture in it"),
    mark("is damaged: a checksum does not fit"),
    mark("is damaged: it does not begin as a PNG does"),
    mark("is damaged: a marker is missing"),
    mark("is damaged: a marker is out of place"),
    mark("is damaged: a block is unknown"),
    mark("is damaged: it does not begin with a key frame"),
    mark("is where NetPulse itself is; a page needs a domain of its own"),
    mark("is longer than %(n)s bytes"),
    mark("is longer than %(n)s characters"),
    mark("this monitor is on the page twice"),
    mark("a page has at most %(n)s announcements; delete an old one first"),
    mark("only addresses on the public internet are told"),
    mark("must not contain a user name or password"),
    mark("Too many subscriptions were asked for; wait %(rest)s"),
    mark("This link is not complete; copy all of it"),
    mark("not a URL: %(why)s"),
    mark("the URL has no host"),
    mark("%(name)s is not a host name"),
    mark("there are more than %(n)s entries"),
    mark("your own address %(ip)s is not in it, and you would be locked out"),
    mark("%(text)s has bits beyond its prefix; did you mean %(other)s?"),
    mark("%(text)s is no network such as 192.0.2.0/24 or 2001:db8::/32"),
    mark(
        "The setup token is missing or wrong; the start of NetPulse printed it, and it is in"
        " the file setup-token of the data directory"
    ),
    mark(
        "Your password or your second factor was changed meanwhile, and nothing was done; look"
        " at your account, and begin again"
    ),
    mark("Your account has no second factor; turn it on first"),
    mark("Your role here was changed meanwhile, and nothing was done; look at the page again"),
    mark("This person has rights in this organization already, from your provider"),
    mark("This person is a member of this organization already"),
    mark("Your organization has sent %(n)s invitations within the hour; wait %(rest)s"),
    mark("%(name)s is a client itself, and a client cannot have clients of its own"),
    mark("your own organization may reach public addresses only"),
    mark(
        "A super administrator belongs to this client; make them a member elsewhere, and remove"
        " them here first"
    ),
    mark("This person is disabled in your organization; enable them first"),
    mark("This person is a member of the client itself; their role is changed there"),
    mark("The log of the instance is for its super administrators, signed in"),
    mark(
        "This person has their rights here from your provider, who alone can change them or"
        " take them back"
    ),
    mark(
        "A super administrator must be at home in this organization; this person's account"
        " belongs to another one"
    ),
    mark(
        "This is the last active administrator of the organization; make somebody else an"
        " administrator first"
    ),
    mark(
        "This person's account is at home in another organization; only there can its second"
        " factor be reset"
    ),
    mark("You may do nothing in this organization any more"),
    mark("This sign-in has ended; sign in again"),
    mark(
        "You may not come from this address: it is not on the list of addresses that you"
        " allowed for your account"
    ),
    mark("Too many wrong codes with this link; use a recovery code, or ask for another link"),
    mark(
        "This NetPulse cannot send you a link. Ask one of its administrators: on its machine,"
        " netpulse user password sets a new password"
    ),
    mark("the organization needs a name in one line"),
)

TOLD = (
    mark("Outage of %(name)s"),
    mark("%(name)s does not work as it should."),
    mark("%(name)s works again."),
    mark("%(name)s is not watched any more."),
    mark("We are looking into it."),
    mark("The cause is known."),
    mark("It should work again; we are watching whether it stays so."),
    mark("Resolved."),
)
"""What `rules.boards` tells of an incident where nobody has written anything."""

PLACEHOLDERS = (
    mark("the monitor's name"),
    mark("what it watches, without user name and password"),
    mark("http, tcp, icmp, dns, ssl or push"),
    mark("what happened, such as monitor.down"),
    mark("why, in a sentence"),
    mark("when it began, by the organization's clock"),
    mark("how long it has lasted, or lasted"),
    mark("the organization's name"),
    mark("the address of the incident's page"),
    mark("the address to acknowledge the incident at"),
    mark("when the message is sent, by the organization's clock"),
)
"""What `rules.templates` says that its placeholders stand for."""


def phrase(message: str) -> str:
    """Return a message of the API in the language of the request."""
    return _found(PHRASES, message)


def refusal(error: ApiError) -> str:
    """Return what an error says in the language of the request, with the time to wait itself where
    the API points to a header: no page shows one."""
    wait = error.headers.get("Retry-After")
    message = error.message
    if wait is not None:
        message = message.replace("as long as Retry-After says", duration(int(wait)))
    return phrase(message)


def told(text: str) -> str:
    """Return the product's own words about an incident in the language of the request. What people
    wrote is not to be asked for: it may be the same by chance."""
    return _found(TOLD, text)


def _found(known: tuple[str, ...], message: str) -> str:
    if code() == SOURCE:
        return message
    said = say(message)
    if said != message:
        return said
    for text, pieces in _forms(known):
        values = _filled(pieces, message)
        if values is not None:
            if "rest" in values:
                values["rest"] = phrase(values["rest"])
            return say(text, **values)
    return message


@cache
def _forms(known: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return those with placeholders, each with its pieces: text, name, text, …, text."""
    return tuple((text, tuple(_PLACE.split(text))) for text in known if "%(" in text)


_PLACE = re.compile(r"%\((\w+)\)s")


def _filled(pieces: tuple[str, ...], message: str) -> dict[str, str] | None:
    """Return by name what stands in `message` at the places of a text, or None if it is another."""
    if not message.startswith(pieces[0]):
        return None
    values: dict[str, str] = {}
    at = len(pieces[0])
    last = len(pieces) - 1
    for i in range(1, last, 2):
        name, after = pieces[i], pieces[i + 1]
        if i + 1 == last:
            end = len(message) - len(after)
            if end <= at or not message.endswith(after):
                return None
        else:
            end = message.find(after, at + 1)
            if end < 0:
                return None
        values[name] = message[at:end]
        at = end + len(after)
    return values
