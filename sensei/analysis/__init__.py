"""From finished runs to a tidy table, and from that table to figures, tables and one page. Nothing here trains."""
