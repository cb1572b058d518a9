"""Programs that the fork server of the tests runs in place of the real ones."""
