"""The op table: every op graphc knows, one line an op, by kind."""
