"""Write the report of a search: page, plots, tables."""
