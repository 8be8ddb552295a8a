"""What finds and counts notices among those of years: nothing is deleted from them.

`alert_tallies` says how many there are of each kind, kept by triggers in the transaction of what it
counts: to count them each time means to read them. The pages of a list come from one index, in
which those of one channel and status lie in order of their age; a digest is found by its own.
"""

from __future__ import annotations

_COUNT = """
    INSERT INTO alert_tallies (org_id, channel_id, status, event, reason, notices)
    VALUES (NEW.org_id, NEW.channel_id, NEW.status, NEW.event, coalesce(NEW.reason, ''), 1)
    ON CONFLICT DO UPDATE SET notices = notices + 1;
"""
_UNCOUNT = """
    UPDATE alert_tallies SET notices = notices - 1
    WHERE org_id = OLD.org_id AND channel_id = OLD.channel_id AND status = OLD.status
    AND event = OLD.event AND reason = coalesce(OLD.reason, '');
"""

SQL = f"""
CREATE TABLE alert_tallies (
    org_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    status TEXT NOT NULL,
    event TEXT NOT NULL,
    -- Of what is suppressed; of all else ''.
    reason TEXT NOT NULL,
    notices INTEGER NOT NULL,
    PRIMARY KEY (org_id, channel_id, status, event, reason)
) STRICT, WITHOUT ROWID;
INSERT INTO alert_tallies (org_id, channel_id, status, event, reason, notices)
    SELECT org_id, channel_id, status, event, coalesce(reason, ''), count(*)
    FROM alert_events GROUP BY 1, 2, 3, 4, 5;
CREATE TRIGGER alert_events_written AFTER INSERT ON alert_events BEGIN {_COUNT} END;
CREATE TRIGGER alert_events_removed AFTER DELETE ON alert_events BEGIN {_UNCOUNT} END;
CREATE TRIGGER alert_events_settled
    AFTER UPDATE OF org_id, channel_id, status, event, reason ON alert_events
    WHEN (OLD.org_id, OLD.channel_id, OLD.status, OLD.event, OLD.reason)
    IS NOT (NEW.org_id, NEW.channel_id, NEW.status, NEW.event, NEW.reason)
BEGIN {_UNCOUNT} {_COUNT} END;

DROP INDEX alert_events_org;
CREATE INDEX alert_events_listed
    ON alert_events (org_id, channel_id, status, seq, event, reason, rule_id);
DROP INDEX alert_events_monitor;
CREATE INDEX alert_events_monitor
    ON alert_events (monitor_id, rule_id, seq, org_id, status, channel_id, event);
DROP INDEX alert_events_digest;
CREATE INDEX alert_events_digest ON alert_events (digest_id, org_id) WHERE digest_id IS NOT NULL;
"""
