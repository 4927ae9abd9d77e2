"""What one scene costs: CPU-seconds by service, bytes by artifact, rows by table."""
