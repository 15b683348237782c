"""Records in, a static site out. Reads what runs leave on disk; imports no plug-in and nothing that computes scores."""
