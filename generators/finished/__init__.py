"""Images that were made elsewhere."""
