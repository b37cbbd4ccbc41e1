"""The report of a search: page, plots, tables."""
