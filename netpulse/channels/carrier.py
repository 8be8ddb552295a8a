"""What the configuration gives channels to send with."""

from __future__ import annotations

from netpulse.channels.base import Carrier, Mail, Twilio
from netpulse.config import Config, Secrets
from netpulse.egress.connect import Egress


def carrier_of(config: Config, secrets: Secrets, egress: Egress) -> Carrier:
    """Return the carrier of this process: the way out, and the accounts of the configuration."""
    smtp = config.smtp
    mail = Mail(
        host=smtp.host,
        port=smtp.port,
        user=smtp.user or None,
        password=smtp.password or None,
        sender=smtp.sender or None,
        security=smtp.security,
    )
    twilio = Twilio(
        account_sid=secrets.twilio_sid,
        auth_token=secrets.twilio_auth_token,
        sender=secrets.twilio_phone,
    )
    return Carrier(
        egress=egress,
        mail=mail if smtp.host else None,
        twilio=twilio if secrets.twilio_sid else None,
    )
