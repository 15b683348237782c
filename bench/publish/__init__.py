"""What of a run would be sent, and sending it."""
