"""The explorer: its files and their headers, its pages in a real browser, its proofs against the vectors."""
