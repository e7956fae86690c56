"""The page of a trace, see `page.page`."""
