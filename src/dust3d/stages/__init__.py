"""The steps of the workflow: paths in, paths out. One module for each rules file."""
