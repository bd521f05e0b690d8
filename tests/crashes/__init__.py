"""Work that is killed at random moments, that meets a full disk, or whose files vanish; and what it leaves."""
