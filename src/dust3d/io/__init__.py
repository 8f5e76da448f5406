"""Reading and writing: star tables, fields, histories, maps."""
