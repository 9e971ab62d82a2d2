"""What the end-to-end and interop tests stand on: real programs, a private Postgres, and ways to watch them."""
