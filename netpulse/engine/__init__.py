"""What runs all the time: schedule, checks, edges, notices, housekeeping, live events."""
