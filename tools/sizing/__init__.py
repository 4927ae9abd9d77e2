"""What a number of scenes a day needs: GPUs, nodes, waits, storage, a database, egress, and money."""
