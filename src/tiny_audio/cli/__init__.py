"""The `tiny-audio` command: one file a verb."""
